/*
 * From the startup packet to ReadyForQuery: who are you, what does a real server say to your
 * settings. The last is asked once per account and set of startup settings, and remembered.
 * Protocol: "Message Flow", Start-up.
 */
#include "client/login.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/caller.h"
#include "client/parameters.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"
#include "server/tuning.h"

enum { PROTOCOL_3_2 = 0x00030002 }; /* the newest we speak with clients */

static void free_login(struct client *c)
{
    struct login *l = c->login;
    if (l == NULL) { return; }
    c->login = NULL;
    welcome_drop(&l->welcome);
    forward_drop(&l->forward);
    admit_free(&l->admit);
    config_unref(&l->config);
    tls_context_unref(&l->tls);
    varset_unref(&l->given);
    mem_free(&l->user);
    mem_free(&l->database);
    mem_free(&l->application_name);
    mem_free(&l);
}

void client_login_drop(struct client *c)
{
    if (c->login != NULL) { replication_end(c); }
    free_login(c);
}

void client_login_names(const struct client *c, const char **ret_database, const char **ret_user)
{
    *ret_database = c->login->database;
    *ret_user = c->login->user;
}

/* 57P03, as PostgreSQL has it: libpq and others then try their next host. */
static enum err refuse_late(struct fault *why)
{
    return fault_state(why, E_SHUTDOWN, "57P03", "pooler is shutting down");
}

void client_login_sweep(struct client *c)
{
    struct fault why;
    if (c->login->late) { return; } /* it may be the console's */
    (void)refuse_late(&why);
    client_fail(c, &why);
}

static void on_timeout(struct timer *t)
{
    struct client *c = container_of(t, struct client, timer);
    struct fault why;
    if (c->login != NULL && c->login->step == LOGIN_REFUSED) {
        why = c->login->refused;
        client_fail(c, &why);
        return;
    }
    bool server = c->login != NULL && c->login->step == LOGIN_WELCOME;
    (void)fault_state(&why, E_TIMEOUT, "08006", "client_login_timeout%s",
                      server ? " (server down)" : "");
    client_fail(c, &why);
}

void client_login_start(struct client *c, const struct address *peer)
{
    struct login *l = mem_new(struct login);
    l->peer = *peer;
    c->login = l;
    l->config = registry_config(c->front->registry);
    l->late = c->front->draining;
    if (c->unix_socket) { c->port = l->config->o.listen_port; }
    l->given = varset_ref(varset_empty());
    if (l->config->o.client_tls_sslmode != TLS_DISABLE && !c->unix_socket) {
        l->tls = registry_client_tls(c->front->registry);
    }
    struct socket_tuning tuning = tuning_of(&l->config->o);
    tuning.accepted = true;
    socket_tune(c->stream.fd, &tuning);
    stream_open(&c->stream, c->front->loop, c->stream.fd, packets_event, c);
    c->timer.due = on_timeout;
    if (l->config->o.client_login_timeout_us > 0) {
        timer_set(&c->front->loop->timers, &c->timer,
                  c->connected_us + l->config->o.client_login_timeout_us);
    }
    /* The kernel has waited for the first bytes. */
    if (tuning_defers_accept(&l->config->o) && !c->unix_socket) { packets_event(c, UV_READABLE); }
}

/* ---- the startup packet ---------------------------------------------------------------------- */

static enum err take_params(struct client *c, const struct startup *s, struct fault *why)
{
    struct login *l = c->login;
    struct varset_edit edit;
    varset_edit_begin(&edit, l->given);
    enum err e = E_OK;
    size_t at = 0;
    const char *name, *value, *options = NULL;
    while (e == E_OK && startup_next(s, &at, &name, &value)) {
        if (strcmp(name, "user") == 0) {
            mem_free(&l->user);
            l->user = mem_strdup(value);
        } else if (strcmp(name, "database") == 0) {
            mem_free(&l->database);
            l->database = mem_strdup(value);
        } else if (strcmp(name, "options") == 0) {
            options = value;
        } else if (strcmp(name, "replication") == 0) {
            e = replication_read(value, &l->replication, why);
        } else if (strncmp(name, "_pq_.", 5) == 0) {
            l->negotiate = true;
        } else if (!parameter_is_listed(l->config->o.ignore_startup_parameters, name)) {
            e = parameter_check(&l->config->o, name, "", why);
            varset_edit_set(&edit, name, value);
        }
    }
    if (e == E_OK && options != NULL) {
        e = parameters_take_options(&edit, options, &l->config->o, why);
    }
    varset_unref(&l->given);
    l->given = varset_edit_end(&edit);
    if (e != E_OK) { return e; }
    if (l->user == NULL || l->user[0] == '\0') {
        return fault_state(why, E_PROTOCOL, "28000",
                           "no PostgreSQL user name specified in startup packet");
    }
    if (l->database == NULL || l->database[0] == '\0') {
        mem_free(&l->database);
        l->database = mem_strdup(l->user);
    }
    return E_OK;
}

/* ---- identity and settings --------------------------------------------------------------------
 */

/*
 * DateStyle may be given in part, the rest then is the server's own; what is carried from server to
 * server must be whole, as the server reported it.
 */
static void complete_date_style(struct client *c, struct bytes parameters)
{
    struct frame f;
    if (varset_get(c->base, "datestyle") == NULL) { return; }
    for (size_t at = 0; frame_peek(bytes_skip(parameters, at), &f) == E_OK; at += f.size) {
        const char *name, *value;
        if (f.size > parameters.len - at) { return; }
        struct bytes body = frame_body(bytes_skip(parameters, at), f);
        if (response_read_parameter(body, &name, &value) != E_OK ||
            strcmp(name, "DateStyle") != 0) {
            continue;
        }
        struct varset_edit edit;
        varset_edit_begin(&edit, c->base);
        varset_edit_set(&edit, name, value);
        const struct varset *all = varset_edit_end(&edit);
        varset_unref(&c->base);
        varset_unref(&c->wanted);
        varset_unref(&c->in_tx);
        c->base = all;
        c->wanted = varset_ref(all);
        c->in_tx = varset_ref(all);
        return;
    }
}

static void finish(struct client *c, struct bytes parameters)
{
    complete_date_style(c, parameters);
    struct buf *out = &c->stream.out;
    const struct options *o = &c->login->config->o;
    buf_put_bytes(out, parameters);
    client_make_key(c, o->peer_id, c->login->long_key);
    compose_key(out, bytes_of(c->key, c->key_len));
    compose_ready(out, 'I');
    free_login(c);
    const struct log_who who = client_who(c);
    log_debug(&who, "logged in");
    timer_clear(&c->front->loop->timers, &c->timer);
    c->state = CLIENT_READY;
    c->active_us = clock_now_us();
    client_keep_key(c);
    if (c->console_user != NULL) { atomic_fetch_add(&c->front->consoles_count, 1); }
    if (c->account != NULL) {
        stats_add(&client_stats(c)->logins, 1);
        if (c->account->mode == POOL_SESSION) { c->pins = PIN_SESSION; }
    }
    stream_flush(&c->stream);
}

void login_go_on(struct client *c)
{
    if (c->state != CLIENT_READY) { return; }
    if (c->front->draining && c->console_user == NULL) {
        c->draining = true; /* it goes after its first transaction */
    }
    if (c->state == CLIENT_READY && buf_len(&c->stream.in) > 0) { c->ops->events(c, 0); }
}

static void on_welcome(void *arg, struct bytes parameters, const struct fault *why)
{
    struct client *c = arg;
    c->login->welcome = NULL;
    if (why != NULL) {
        client_fail(c, why);
        return;
    }
    finish(c, parameters);
    login_go_on(c);
}

/* Logical replication takes any SQL, and nobody looks into it. */
static enum err check_replication(const struct client *c, struct fault *why)
{
    if (c->login->replication != REPLICATION_LOGICAL || c->account->identity == NULL) {
        return E_OK;
    }
    (void)fault_state(why, E_REFUSED, "0A000",
                      "logical replication is not possible where settings are protected");
    fault_hint(why, "Use a database line that no [settings] row applies to.");
    return E_REFUSED;
}

static void authenticated(struct client *c)
{
    struct login *l = c->login;
    enum { TOLD = 512 }; /* in all, mostly */
    (void)buf_reserve(&c->stream.out, TOLD);
    compose_auth(&c->stream.out, 0, (struct bytes){0});
    if (c->account == NULL) { /* the console */
        varset_unref(&c->wanted);
        c->wanted = varset_ref(l->given);
        struct buf parameters = {0};
        welcome_console(&parameters, varset_get(l->given, "client_encoding"));
        finish(c, buf_view(&parameters));
        buf_done(&parameters);
        return;
    }
    const char *notice = l->config->o.login_notify_message;
    if (notice[0] != '\0') {
        compose_notice(&c->stream.out, "NOTICE", "00000", notice, NULL, NULL);
    }
    struct fault why;
    varset_unref(&c->given);
    c->given = varset_ref(l->given);
    if (caller_identify(c, &why) != E_OK || check_replication(c, &why) != E_OK) {
        client_fail(c, &why);
        return;
    }
    if (l->replication != REPLICATION_NONE) {
        l->step = LOGIN_WELCOME;
        replication_start(c, l->replication, on_welcome);
        return;
    }
    struct bytes parameters = account_profile(c->account, c->startup);
    if (parameters.len > 0) {
        finish(c, parameters);
        return;
    }
    l->step = LOGIN_WELCOME;
    l->welcome = welcome_ask(c->account, c->startup, c->front->loop, on_welcome, c);
}

/* The console: its users prove themselves as others do. */
static enum err open_console(struct client *c, struct fault *why)
{
    struct login *l = c->login;
    if (l->replication != REPLICATION_NONE) {
        return fault_state(why, E_REFUSED, "0A000", "the console does not replicate");
    }
    c->ops = c->front->console;
    c->console_user = mem_strdup(l->user);
    c->admin = user_is_listed(l->config->o.admin_users, l->user) ||
               l->config->o.auth_type == AUTH_ANY || admit_is_operator(l->admit);
    c->stats_only = !c->admin && user_is_listed(l->config->o.stats_users, l->user);
    if (!c->admin && !c->stats_only) { return fault_state(why, E_AUTH, "42501", "not allowed"); }
    return E_OK;
}

static enum err open_account(struct client *c, struct fault *why)
{
    struct login *l = c->login;
    struct registry *r = c->front->registry;
    struct account *a = NULL;
    enum err e = registry_enter(r, l->database, l->user, &a, why);
    if (e == E_NOTFOUND && l->replication == REPLICATION_PHYSICAL) {
        fault_hint(why, "For physical replication [databases] needs a line of this name: its "
                        "host is where the primary is.");
    }
    if (e != E_OK) { return e; }
    c->account = a;
    struct credential *learned = admit_credential(l->admit);
    if (learned != NULL) { account_learn(a, learned); }
    return E_OK;
}

/* The client proves itself in vain: it hears so later, see penalty.h. */
static void refuse(struct client *c, const struct fault *why)
{
    struct login *l = c->login;
    if (why->code != E_AUTH) {
        client_fail(c, why);
        return;
    }
    int64_t now_us = loop_now(c->front->loop);
    client_uncount(c);
    l->step = LOGIN_REFUSED;
    l->refused = *why;
    timer_set(&c->front->loop->timers, &c->timer,
              now_us + penalty_note(c->front->shared->penalties, &l->peer.any, now_us));
}

void login_take_verdict(struct client *c, enum err e, const struct fault *verdict)
{
    struct login *l = c->login;
    struct fault why;
    if (e == E_AGAIN) {
        stream_flush(&c->stream);
        return;
    }
    if (e != E_OK) { why = *verdict; }
    if (e == E_OK) { e = l->console ? open_console(c, &why) : open_account(c, &why); }
    if (e == E_OK) {
        authenticated(c);
    } else {
        refuse(c, &why);
    }
}

static void on_decided(struct client *c, enum err e, const struct fault *why)
{
    login_take_verdict(c, e, why);
    if (c->state == CLIENT_LOGIN) { packets_take(c); }
    if (c->state != CLIENT_CLOSED) { login_go_on(c); }
}

/* A unix socket is as good as TLS: nobody else is on the wire. */
static enum err check_encryption(const struct client *c, struct fault *why)
{
    enum tls_mode mode = c->login->config->o.client_tls_sslmode;
    if (mode < TLS_REQUIRE || c->unix_socket || stream_tls(&c->stream) != NULL) { return E_OK; }
    return fault_state(why, E_REFUSED, "28000", "SSL required");
}

void login_take_startup(struct client *c, const struct startup *s)
{
    struct login *l = c->login;
    struct fault why;
    enum err e = check_encryption(c, &why);
    if (e == E_OK) { e = take_params(c, s, &why); }
    if (e != E_OK) {
        client_fail(c, &why);
        return;
    }
    l->long_key = s->version >= PROTOCOL_3_2;
    if (l->negotiate || s->version > PROTOCOL_3_2) {
        const char *unknown[16];
        unsigned count = 0;
        size_t at = 0;
        const char *name, *value;
        while (count < 16 && startup_next(s, &at, &name, &value)) {
            if (strncmp(name, "_pq_.", 5) == 0) { unknown[count++] = name; }
        }
        uint32_t spoken = s->version > PROTOCOL_3_2 ? PROTOCOL_3_2 : s->version;
        compose_negotiate(&c->stream.out, spoken, unknown, count);
    }
    l->console = strcmp(l->database, "pgbouncer") == 0 || strcmp(l->database, "pgusher") == 0;
    if (!l->console && l->late) {
        (void)refuse_late(&why);
        client_fail(c, &why);
        return;
    }
    if (l->console) {
        client_uncount(c);
    } else if (!client_has_room(c)) {
        (void)fault_state(&why, E_LIMIT, "53300", "no more connections allowed (max_client_conn)");
        client_fail(c, &why);
        return;
    }
    const struct admit_who who = {.user = l->user,
                                  .database = l->database,
                                  .peer = &l->peer.any,
                                  .console = l->console,
                                  .replication = l->replication == REPLICATION_PHYSICAL,
                                  .config = l->config};
    if (log_tells(LOG_CONNECTIONS)) {
        const struct log_who me = client_who(c);
        static const char *const kinds[] = {[REPLICATION_NONE] = "no",
                                            [REPLICATION_LOGICAL] = "database",
                                            [REPLICATION_PHYSICAL] = "yes"};
        const char *tls = tls_label(stream_tls(&c->stream));
        log_info(&me, "login attempt: db=%s user=%s tls=%s replication=%s", l->database, l->user,
                 tls[0] == '\0' ? "no" : tls, kinds[l->replication]);
    }
    l->step = LOGIN_AUTH;
    e = admit_start(c, &who, on_decided, &l->admit, &why);
    login_take_verdict(c, e, &why);
}
