/*
 * A bind as the user is the check: under a DN made from its name, or under the one entry that a
 * search for its name finds.
 */
#include <ldap.h>
#include <string.h>
#include <sys/time.h>

#include "auth/outside.h"
#include "base/library.h"
#include "base/mem.h"

#define LDAP_CALLS(X)                                                                              \
    X(count_entries)                                                                               \
    X(err2string)                                                                                  \
    X(first_entry)                                                                                 \
    X(get_dn)                                                                                      \
    X(get_option)                                                                                  \
    X(initialize)                                                                                  \
    X(memfree)                                                                                     \
    X(msgfree)                                                                                     \
    X(sasl_bind_s)                                                                                 \
    X(search_ext_s)                                                                                \
    X(set_option)                                                                                  \
    X(start_tls_s)                                                                                 \
    X(unbind_ext_s)

/* Written before a login can need it: by whoever loads a configuration. */
static struct {
#define LDAP_POINTER(name) __typeof__(ldap_##name) *(name);
    LDAP_CALLS(LDAP_POINTER)
} ldap;

enum err outside_load_ldap(struct fault *why)
{
#define LDAP_NAME(name) "ldap_" #name,
    static const char *const names[] = {LDAP_CALLS(LDAP_NAME)};
    _Static_assert(sizeof ldap == sizeof names, "a pointer for each name");
    if (ldap.initialize != NULL) { return E_OK; }
    enum err e = library_load(LDAP_LIBRARY, names, sizeof names / sizeof names[0], &ldap, why);
    /* Its first call sets it up, and that must not be two threads' (ldap_initialize(3)). */
    int version;
    if (e == E_OK) { (void)ldap.get_option(NULL, LDAP_OPT_PROTOCOL_VERSION, &version); }
    return e;
}

/* ld NULL: there is no connection yet. What the library has to add is told too: of TLS, that is
 * all. */
static enum err failed(LDAP *ld, int rc, const char *step, struct fault *why)
{
    char *more = NULL;
    bool unable = rc == LDAP_SERVER_DOWN || rc == LDAP_TIMEOUT || rc == LDAP_CONNECT_ERROR ||
                  rc == LDAP_UNAVAILABLE || rc == LDAP_BUSY || rc == LDAP_NO_MEMORY ||
                  rc == LDAP_LOCAL_ERROR || rc == LDAP_TIMELIMIT_EXCEEDED;
    if (ld != NULL) { (void)ldap.get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more); }
    bool tells = more != NULL && more[0] != '\0';
    enum err e = fault_set(why, unable ? E_LOST : E_AUTH, "LDAP %s: %s%s%s", step,
                           ldap.err2string(rc), tells ? ": " : "", tells ? more : "");
    ldap.memfree(more);
    return e;
}

static enum err connect_to(const struct ldapopt *o, LDAP **ret, struct fault *why)
{
    const struct timeval most = {.tv_sec = OUTSIDE_LDAP_S};
    const int version = LDAP_VERSION3;
    char *url = ldapopt_url(o);
    LDAP *ld = NULL;
    int rc = ldap.initialize(&ld, url);
    mem_free(&url);
    if (rc != LDAP_SUCCESS) {
        (void)failed(NULL, rc, "initialize", why);
        why->code = E_LOST;
        return E_LOST;
    }
    (void)ldap.set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    (void)ldap.set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &most);
    (void)ldap.set_option(ld, LDAP_OPT_TIMEOUT, &most);
    (void)ldap.set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    if (o->start_tls && (rc = ldap.start_tls_s(ld, NULL, NULL)) != LDAP_SUCCESS) {
        (void)failed(ld, rc, "StartTLS", why); /* whatever it is, no password goes that way */
        (void)ldap.unbind_ext_s(ld, NULL, NULL);
        why->code = E_LOST;
        return E_LOST;
    }
    *ret = ld;
    return E_OK;
}

static enum err bind_as(LDAP *ld, const char *dn, const char *password, const char *step,
                        struct fault *why)
{
    char *own = mem_strdup(password == NULL ? "" : password);
    struct berval secret = {.bv_len = strlen(own), .bv_val = own};
    int rc = ldap.sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
    mem_wipe(own, secret.bv_len);
    mem_free(&own);
    return rc == LDAP_SUCCESS ? E_OK : failed(ld, rc, step, why);
}

/* The DN of the one entry that fits the user. */
static enum err search_dn(const struct ldapopt *o, const char *user, char **ret, struct fault *why)
{
    static const int scopes[] = {LDAP_SCOPE_BASE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_SUBTREE};
    char none[] = LDAP_NO_ATTRS, *attributes[] = {none, NULL};
    struct timeval most = {.tv_sec = OUTSIDE_LDAP_S};
    LDAP *ld = NULL;
    LDAPMessage *found = NULL;
    enum err e = connect_to(o, &ld, why);
    if (e != E_OK) { return e; }
    e = bind_as(ld, o->bind_dn == NULL ? "" : o->bind_dn, o->bind_password, "bind for the search",
                why);
    if (e == E_OK) {
        char *filter = ldapopt_user_filter(o, user);
        int rc = ldap.search_ext_s(ld, o->base_dn, scopes[o->scope], filter, attributes, 0, NULL,
                                   NULL, &most, 2, &found);
        mem_free(&filter);
        if (rc != LDAP_SUCCESS && rc != LDAP_SIZELIMIT_EXCEEDED) {
            e = failed(ld, rc, "search", why);
        }
    } else if (e == E_AUTH) {
        e = E_LOST; /* not the user's fault */
        why->code = E_LOST;
    }
    int count = e == E_OK ? ldap.count_entries(ld, found) : 0;
    if (e == E_OK && count != 1) {
        e = fault_set(why, E_AUTH, "LDAP search: %s entry for the user",
                      count == 0 ? "no" : "more than one");
    }
    if (e == E_OK) {
        char *dn = ldap.get_dn(ld, ldap.first_entry(ld, found));
        if (dn == NULL) {
            e = fault_set(why, E_LOST, "LDAP search: the entry has no DN");
        } else {
            *ret = mem_strdup(dn);
        }
        ldap.memfree(dn);
    }
    (void)ldap.msgfree(found);
    (void)ldap.unbind_ext_s(ld, NULL, NULL);
    return e;
}

enum err outside_ldap(const struct ldapopt *o, const char *user, const char *password,
                      struct fault *why)
{
    if (password[0] == '\0') { return fault_set(why, E_AUTH, "empty password"); }
    char *dn = NULL;
    LDAP *ld = NULL;
    enum err e = E_OK;
    if (o->base_dn != NULL) {
        e = search_dn(o, user, &dn, why);
    } else {
        dn = ldapopt_user_dn(o, user);
    }
    if (e == E_OK) { e = connect_to(o, &ld, why); }
    if (e == E_OK) {
        e = bind_as(ld, dn, password, "bind", why);
        (void)ldap.unbind_ext_s(ld, NULL, NULL);
    }
    mem_free(&dn);
    return e;
}
