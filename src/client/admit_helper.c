/*
 * The methods that block, on a helper's thread: peer, whose uid is looked up among the system's
 * users, and PAM and LDAP, which check a password. A client that leaves meanwhile leaves its job
 * behind, which then ends for nobody.
 */
#include <pwd.h>
#include <string.h>

#include "auth/helper.h"
#include "auth/outside.h"
#include "base/mem.h"
#include "client/admit_internal.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"

/* ---- peer: the system's name of who is at the other end of the unix socket */

struct peer_job {
    struct helper_job job;
    struct admit *admit; /* NULL: the client is gone */
    uid_t uid;
    char *name; /* the answer; NULL: no such user */
};

static void run_peer(struct helper_job *j)
{
    struct peer_job *p = container_of(j, struct peer_job, job);
    struct passwd entry, *found = NULL;
    enum { ROOM = 16384 };
    char *room = mem_array(char, ROOM);
    if (getpwuid_r(p->uid, &entry, room, ROOM, &found) == 0 && found != NULL) {
        p->name = mem_strdup(entry.pw_name);
    }
    mem_free(&room);
}

static enum err judge_peer(struct admit *a, const char *name, struct fault *why)
{
    const char *map = a->rule == NULL ? NULL : a->rule->map;
    const struct ident *maps = a->hba == NULL ? NULL : hba_ident(a->hba);
    const struct log_who who = admit_log(a);
    if (name != NULL && ident_allows(maps, map, name, a->who.user) && a->secret != NULL) {
        return E_OK;
    }
    log_info(&who, "event=peer_refused system_user=%s map=%s known=%s",
             name == NULL ? "(unknown)" : name, map == NULL ? "(none)" : map,
             a->secret == NULL ? "no" : "yes");
    return fault_state(why, E_AUTH, "28000", "Peer authentication failed for user \"%.60s\"",
                       a->who.user);
}

static void peer_done(struct helper_job *j)
{
    struct peer_job *p = container_of(j, struct peer_job, job);
    struct admit *a = p->admit;
    if (a != NULL) {
        struct fault why = {0};
        a->peer = NULL;
        admit_tell(a, judge_peer(a, p->name, &why), &why);
    }
    mem_free(&p->name);
    mem_free(&p);
}

enum err admit_start_peer(struct admit *a, struct fault *why)
{
    struct peer_job *p = mem_new(struct peer_job);
    p->admit = a;
    p->job =
        (struct helper_job){.back = a->client->front->loop, .run = run_peer, .done = peer_done};
    if (!socket_peer_uid(a->client->stream.fd, &p->uid)) {
        mem_free(&p);
        return judge_peer(a, NULL, why);
    }
    if (helper_ask(a->client->front->shared->helper, &p->job) != E_OK) {
        mem_free(&p);
        return fault_set(why, E_LIMIT, "too many logins wait for the system's user names");
    }
    a->peer = p;
    a->step = ADMIT_HELPER;
    return E_AGAIN;
}

/* ---- PAM and LDAP */

struct outside_job {
    struct helper_job job;
    struct admit *admit; /* NULL: the client is gone */
    enum hba_method method;
    char *user, *password, *service, *address;
    struct hba *hba; /* owns ldap when that is a rule's */
    const struct ldapopt *ldap;
    struct ldapopt options; /* auth_ldap_options' */
    struct arena memory;    /* its texts */
    enum err e;
    struct fault why;
};

static void run_outside(struct helper_job *j)
{
    struct outside_job *o = container_of(j, struct outside_job, job);
    o->e = o->method == HBA_PAM ? outside_pam(o->service, o->user, o->password, o->address, &o->why)
                                : outside_ldap(o->ldap, o->user, o->password, &o->why);
}

static void outside_free(struct outside_job *o)
{
    mem_wipe(o->password, strlen(o->password));
    mem_free(&o->user);
    mem_free(&o->password);
    mem_free(&o->service);
    mem_free(&o->address);
    hba_unref(&o->hba);
    arena_done(&o->memory);
    mem_free(&o);
}

static enum err judge_outside(struct admit *a, const struct outside_job *o, struct fault *why)
{
    const struct log_who who = admit_log(a);
    const char *name = o->method == HBA_PAM ? "PAM" : "LDAP";
    if (o->e == E_OK) {
        /* The servers may ask for the same password. */
        a->credential = credential_password(a->who.user, bytes_str(o->password));
        return E_OK;
    }
    log_info(&who, "event=%s_refused reason=\"%s\"", o->method == HBA_PAM ? "pam" : "ldap",
             o->why.text);
    if (o->e == E_AUTH) { return admit_refuse(why); }
    return fault_state(why, E_LOST, "08006", "%s cannot be asked", name);
}

static void outside_done(struct helper_job *j)
{
    struct outside_job *o = container_of(j, struct outside_job, job);
    struct admit *a = o->admit;
    if (a != NULL) {
        struct fault why = {0};
        a->outside = NULL;
        admit_tell(a, judge_outside(a, o, &why), &why);
    }
    outside_free(o);
}

enum err admit_start_password(struct admit *a)
{
    compose_auth(&a->client->stream.out, AUTH_REQ_PASSWORD, BYTES(""));
    a->step = ADMIT_PASSWORD;
    return E_AGAIN;
}

enum err admit_ask_outside(struct admit *a, struct bytes body, struct fault *why)
{
    struct bytes password;
    enum err e = verify_read_password(body, &password, why);
    if (e != E_OK) { return e; }
    struct outside_job *o = mem_new(struct outside_job);
    o->job = (struct helper_job){
        .back = a->client->front->loop, .run = run_outside, .done = outside_done};
    o->admit = a;
    o->method = a->method;
    o->user = mem_strdup(a->who.user);
    o->password = mem_strndup((const char *)password.ptr, password.len);
    o->address = a->client->unix_socket ? NULL : mem_strdup(a->client->address);
    o->service = mem_strdup(a->rule != NULL && a->rule->pam_service != NULL ? a->rule->pam_service
                                                                            : OUTSIDE_PAM_SERVICE);
    if (a->rule != NULL) {
        o->hba = hba_ref(a->hba);
        o->ldap = a->rule->ldap;
    } else if (a->method == HBA_LDAP) {
        e = ldapopt_parse(a->who.config->o.auth_ldap_options, &o->memory, &o->options, why);
        o->ldap = &o->options;
    }
    if (e == E_OK && helper_ask(a->client->front->shared->helper, &o->job) != E_OK) {
        e = fault_set(why, E_LIMIT, "too many logins wait for %s",
                      a->method == HBA_PAM ? "PAM" : "LDAP");
    }
    if (e != E_OK) {
        outside_free(o);
        return e;
    }
    a->outside = o;
    a->step = ADMIT_HELPER;
    return E_AGAIN;
}

void admit_leave_helper(struct admit *a)
{
    if (a->peer != NULL) { a->peer->admit = NULL; }
    if (a->outside != NULL) { a->outside->admit = NULL; }
}
