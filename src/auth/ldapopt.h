/*
 * Options of LDAP logins, as auth_hba_file and auth_ldap_options write them. Pure.
 * Source: PostgreSQL manual, "LDAP Authentication".
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"

enum ldapopt_scope { LDAPOPT_BASE, LDAPOPT_ONE, LDAPOPT_SUB };

struct ldapopt {
    const char *server; /* hosts by space; NULL: libldap's default */
    const char *scheme; /* "ldap", "ldaps" */
    int port;           /* 0: by the scheme */
    bool start_tls;
    const char *prefix, *suffix;         /* the DN is prefix, user, suffix; "" when not given */
    const char *base_dn;                 /* not NULL: the user is searched for, and bound as */
    const char *bind_dn, *bind_password; /* of the search; NULL: anonymous */
    const char *search_attribute, *search_filter; /* at most one of them; NULL: uid */
    enum ldapopt_scope scope;
};

/* Before the first option. */
void ldapopt_init(struct ldapopt *o);
/*
 * Errors: E_NOTFOUND when the name is none of LDAP's; E_CONFIG with the reason, without a place.
 * Owner:  texts are copied to the arena.
 */
MUST_USE enum err ldapopt_set(struct ldapopt *o, struct arena *memory, const char *name,
                              const char *value, struct fault *why);
/* After the last one: do they fit together? */
MUST_USE enum err ldapopt_check(const struct ldapopt *o, struct fault *why);
/* auth_ldap_options: name=value pairs by space, values plain or in "quotes". All of the above. */
MUST_USE enum err ldapopt_parse(const char *text, struct arena *memory, struct ldapopt *ret,
                                struct fault *why);

/*
 * The URL of the server; "ldap://host:port" of each host by space. Owner: the caller frees it.
 */
char *ldapopt_url(const struct ldapopt *o);
/* The DN to bind as without a search, or the filter to search with: user names are escaped. */
char *ldapopt_user_dn(const struct ldapopt *o, const char *user);
char *ldapopt_user_filter(const struct ldapopt *o, const char *user);
