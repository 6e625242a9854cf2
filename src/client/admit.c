/*
 * Order of events: the method; then the secret, if the method needs the user to be known; then the
 * exchange. A user that is not known goes through the same exchange as others, and fails at its
 * end.
 */
#include "client/admit.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/admit_internal.h"

struct log_who admit_log(const struct admit *a)
{
    return client_who(a->client);
}

enum err admit_refuse(struct fault *why)
{
    return fault_set(why, E_AUTH, "password authentication failed");
}

void admit_tell(struct admit *a, enum err e, const struct fault *why)
{
    if (e != E_AGAIN) { a->step = ADMIT_OVER; }
    a->decided(a->client, e, e == E_OK || e == E_AGAIN ? NULL : why);
}

/* ---- cert: the name in a certificate that our authority signed; others have none here */

static enum err judge_certificate(const struct admit *a, struct fault *why)
{
    const char *name = tls_peer_name(stream_tls(&a->client->stream));
    const char *map = a->rule == NULL ? NULL : a->rule->map;
    const struct ident *maps = a->hba == NULL ? NULL : hba_ident(a->hba);
    const struct log_who who = admit_log(a);
    if (name != NULL && ident_allows(maps, map, name, a->who.user) && a->secret != NULL) {
        return E_OK;
    }
    log_info(&who, "event=certificate_refused common_name=%s map=%s known=%s",
             name == NULL ? "(none)" : name, map == NULL ? "(none)" : map,
             a->secret == NULL ? "no" : "yes");
    return fault_state(why, E_AUTH, "28000", "certificate authentication failed for user \"%.60s\"",
                       a->who.user);
}

/* ---- the exchange */

/* What a user that nobody knows would have, if there were such a one. */
static enum secret_kind usual_secret(const struct admit *a)
{
    struct lookup_place place;
    if (a->secret != NULL && a->secret->kind != SECRET_NONE) { return a->secret->kind; }
    return admit_place(a, &place) ? lookup_usual(a->client->front->shared->lookup)
                                  : userlist_usual(a->userlist);
}

static enum err start_verify(struct admit *a, enum auth_type type, struct fault *why)
{
    struct scram_channel channel;
    _Static_assert((int)SCRAM_CHANNEL_MOST == (int)TLS_BINDING_MOST, "it has room");
    channel.len = tls_binding(stream_tls(&a->client->stream), channel.data);
    enum err e = verify_start(type, a->who.user, a->secret, usual_secret(a), &channel,
                              (uint32_t)a->who.config->o.scram_iterations, &a->verify,
                              &a->client->stream.out, why);
    if (e == E_AGAIN) { a->step = ADMIT_VERIFY; }
    return e;
}

static enum err start_method(struct admit *a, struct fault *why)
{
    switch (a->method) {
    case HBA_TRUST: return start_verify(a, AUTH_TRUST, why);
    case HBA_PASSWORD: return start_verify(a, AUTH_PLAIN, why);
    case HBA_MD5: return start_verify(a, AUTH_MD5, why);
    case HBA_SCRAM: return start_verify(a, AUTH_SCRAM, why);
    case HBA_PEER: return admit_start_peer(a, why);
    case HBA_CERT: return judge_certificate(a, why);
    case HBA_PAM:
    case HBA_LDAP: return admit_start_password(a);
    case HBA_REJECT: break;
    }
    return fault_set(why, E_REFUSED, "authentication method %s is not supported",
                     hba_method_name(a->method));
}

/* ---- the secret: of auth_file, else of auth_query */

/* What the client is told of a failed auth_query: no details, those are in the log. */
static enum err lookup_failed(enum err e, struct fault *why)
{
    if (e == E_LOST || e == E_TIMEOUT) {
        return fault_state(why, E_LOST, "08006", "auth_query: no server can be reached");
    }
    if (e == E_LIMIT) {
        return fault_state(why, E_LIMIT, "53300", "too many logins wait for auth_query");
    }
    return fault_state(why, E_CONFIG, "F0000", "bouncer config error: auth_query failed");
}

/* The answer, early or late. */
static enum err take_found(struct admit *a, enum err e, struct credential *found, struct fault *why)
{
    if (e != E_OK && e != E_NOTFOUND) { return lookup_failed(e, why); }
    if (e == E_OK) {
        a->credential = credential_ref(found);
        a->secret = credential_secret(found);
    }
    return start_method(a, why);
}

static void on_found(void *arg, enum err e, struct credential *found)
{
    struct admit *a = arg;
    struct fault why = {0};
    a->ticket = NULL;
    e = take_found(a, e, found, &why);
    admit_tell(a, e, &why);
}

static enum err find_secret(struct admit *a, struct fault *why)
{
    struct lookup_place place;
    struct credential *found = NULL;
    if (a->method == HBA_PAM || a->method == HBA_LDAP) { return start_method(a, why); }
    a->secret = userlist_find(a->userlist, a->who.user);
    if (a->secret != NULL || !admit_place(a, &place)) { return start_method(a, why); }
    a->step = ADMIT_LOOKUP;
    struct front *f = a->client->front;
    enum err e = lookup_ask(f->shared->lookup, &place, a->who.user, f->loop, on_found, a,
                            &a->ticket, &found);
    if (e == E_AGAIN) { return e; }
    e = take_found(a, e, found, why);
    credential_unref(&found);
    return e;
}

/* The secret may have changed since auth_query told it. */
static void doubt_secret(struct admit *a)
{
    struct lookup_place place;
    if (a->credential != NULL && admit_place(a, &place)) {
        lookup_forget(a->client->front->shared->lookup, &place, a->who.user);
    }
}

/* ---- the method */

static enum err no_rule(struct admit *a, struct fault *why)
{
    const struct client *c = a->client;
    const char *what = a->rule == NULL ? "no entry in auth_hba_file" : "auth_hba_file rejects it";
    if (c->unix_socket) {
        return fault_state(
            why, E_AUTH, "28000",
            "login rejected: %s for user \"%.60s\", database \"%.60s\" over the unix "
            "socket",
            what, a->who.user, a->who.database);
    }
    return fault_state(why, E_AUTH, "28000",
                       "login rejected: %s for host \"%s\", user \"%.60s\", database \"%.60s\", %s",
                       what, c->address, a->who.user, a->who.database,
                       stream_tls(&c->stream) != NULL ? "SSL encryption" : "no encryption");
}

static enum err find_rule(struct admit *a, struct fault *why)
{
    const struct client *c = a->client;
    a->hba = registry_hba(c->front->registry);
    assert(a->hba != NULL); /* it is there before a configuration that needs it */
    const struct hba_who who = {.database = a->who.database,
                                .user = a->who.user,
                                .address = a->who.peer,
                                .tls = stream_tls(&c->stream) != NULL,
                                .replication = a->who.replication};
    a->rule = hba_find(a->hba, &who);
    const struct log_who log = admit_log(a);
    if (a->rule == NULL || a->rule->method == HBA_REJECT) {
        log_info(&log, "event=login_rejected hba_line=%d", a->rule == NULL ? 0 : a->rule->line);
        return no_rule(a, why);
    }
    log_debug(&log, "event=hba line=%d method=%s", a->rule->line, hba_method_name(a->rule->method));
    a->method = a->rule->method;
    return E_OK;
}

/* any: whoever it is becomes the database line's user. */
static enum err check_any(struct admit *a, struct fault *why)
{
    const struct config *cfg = a->who.config;
    const struct database_config *line = config_line(cfg, a->who.database);
    if (a->who.console || line == NULL || line->user != NULL) { return E_OK; }
    const struct log_who log = admit_log(a);
    log_error(&log, "auth_type=any requires forced user: give database %s a user=", line->name);
    return fault_state(why, E_CONFIG, "F0000", "bouncer config error");
}

/* PgBouncer's rule: who runs the process needs no password on its console. */
static bool is_operator(const struct admit *a)
{
    uid_t uid;
    return a->who.console && a->client->unix_socket && strcmp(a->who.user, "pgbouncer") == 0 &&
           socket_peer_uid(a->client->stream.fd, &uid) && uid == geteuid();
}

static enum err choose_method(struct admit *a, struct fault *why)
{
    switch (a->who.config->o.auth_type) {
    case AUTH_ANY: return check_any(a, why);
    case AUTH_TRUST: a->method = HBA_TRUST; break;
    case AUTH_PLAIN: a->method = HBA_PASSWORD; break;
    case AUTH_MD5: a->method = HBA_MD5; break;
    case AUTH_SCRAM: a->method = HBA_SCRAM; break;
    case AUTH_CERT: a->method = HBA_CERT; break;
    case AUTH_PAM: a->method = HBA_PAM; break;
    case AUTH_LDAP: a->method = HBA_LDAP; break;
    case AUTH_HBA: return find_rule(a, why);
    }
    return E_OK;
}

enum err admit_start(struct client *c, const struct admit_who *who,
                     void (*decided)(struct client *c, enum err e, const struct fault *why),
                     struct admit **ret, struct fault *why)
{
    struct admit *a = mem_new(struct admit);
    *ret = a;
    a->client = c;
    a->who = *who;
    a->decided = decided;
    a->userlist = registry_userlist(c->front->registry);
    a->is_operator = is_operator(a);
    if (a->is_operator) { return E_OK; }
    enum err e = choose_method(a, why);
    if (e != E_OK || who->config->o.auth_type == AUTH_ANY) { return e; }
    return find_secret(a, why);
}

bool admit_listens(const struct admit *a)
{
    return a->step == ADMIT_VERIFY || a->step == ADMIT_PASSWORD;
}

enum err admit_answer(struct admit *a, struct bytes body, struct fault *why)
{
    assert(admit_listens(a));
    if (a->step == ADMIT_PASSWORD) { return admit_ask_outside(a, body, why); }
    enum err e = verify_answer(a->verify, body, &a->client->stream.out, why);
    if (e != E_AGAIN) { a->step = ADMIT_OVER; }
    if (e == E_AUTH) { doubt_secret(a); }
    return e;
}

bool admit_is_operator(const struct admit *a)
{
    return a->is_operator;
}

struct credential *admit_credential(const struct admit *a)
{
    return a->credential;
}

void admit_free(struct admit **pa)
{
    struct admit *a = *pa;
    *pa = NULL;
    if (a == NULL) { return; }
    admit_leave_helper(a);
    lookup_leave(&a->ticket);
    verify_free(&a->verify);
    userlist_unref(&a->userlist);
    hba_unref(&a->hba);
    credential_unref(&a->credential);
    mem_free(&a);
}
