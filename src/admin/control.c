/*
 * What one command does to databases is a flag here and a tour of all loops, on each of which its
 * own servers and clients are dealt with. PAUSE then looks every 10 ms until no server is left.
 */
#include "admin/control.h"

#include <stdlib.h>

#include "admin/roll.h"
#include "admin/tour.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"

enum { LOOK_US = 10000 };

/* ---- rounds: a command's way through the loops ----------------------------------------------- */

struct round {
    struct tour tour;
    const char *tag;
    const char *scope; /* a database's name, or NULL: all */
    void (*act)(struct pool *p, struct loop *l);
    bool kill;          /* the scope's clients */
    uint32_t client_id; /* KILL_CLIENT: whom; 0: nobody */
    bool found;
    enum session_wait then; /* what the command waits for when all loops know */
};

static void kill_clients(struct round *r, struct front *f)
{
    struct fault why;
    (void)fault_set(&why, E_SHUTDOWN, "admin forced disconnect");
    dlist_each (node, &f->clients) {
        struct client *c = container_of(node, struct client, node);
        bool meant = c->account != NULL && r->kill && roll_in_scope(c->account->database, r->scope);
        if (meant || (r->client_id != 0 && c->id == r->client_id)) {
            r->found = true;
            client_fail(c, &why);
        }
    }
}

static void visit(struct tour *t, struct front *f)
{
    struct round *r = container_of(t, struct round, tour);
    if (r->kill || r->client_id != 0) { kill_clients(r, f); }
    if (r->act == NULL) { return; }
    struct account_roll roll = roll_accounts(f->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct account *a = roll.items[i];
        if (!roll_in_scope(a->database, r->scope) || a->shares_pools) { continue; }
        for (size_t k = 0; k < a->database->topology->count; k++) { r->act(a->pools[k], f->loop); }
    }
    mem_free(&roll.items);
}

static void look(struct session *s);

static void back(struct tour *t, struct session *s)
{
    const struct round *r = container_of(t, struct round, tour);
    if (r->client_id != 0 && !r->found) {
        session_error(s, "42704", "client not found");
    } else if (r->then != SESSION_ACTS) {
        s->wait = r->then;
        s->scope = r->scope;
        look(s);
    } else {
        session_complete(s, r->tag);
    }
}

static void drop(struct tour *t)
{
    struct round *r = container_of(t, struct round, tour);
    mem_free(&r);
}

static void start(struct session *s, struct round how)
{
    struct round *r = mem_new(struct round);
    *r = how;
    r->tour.visit = visit;
    r->tour.back = back;
    r->tour.drop = drop;
    tour_start(&r->tour, s);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void count_closing(struct server *s, void *arg)
{
    unsigned *n = arg;
    *n += s->close_needed;
}

/* Servers that the session still waits for. */
static unsigned count_left(const struct session *s)
{
    struct account_roll roll = roll_accounts(s->office->front->registry);
    unsigned left = 0;
    for (size_t i = 0; i < roll.count; i++) {
        const struct account *a = roll.items[i];
        if (!roll_in_scope(a->database, s->scope) || a->shares_pools) { continue; }
        if (s->wait == SESSION_WAITS_PAUSE) {
            left += roll_counts(a).total;
            continue;
        }
        for (size_t k = 0; k < a->database->topology->count; k++) {
            pool_each_server(a->pools[k], count_closing, &left);
        }
    }
    mem_free(&roll.items);
    return left;
}

/* Are all the scope's databases in force paused, and is there one? */
static bool is_paused(const struct session *s, const char *scope)
{
    unsigned paused, going;
    roll_paused(s->office->front->registry, scope, &paused, &going);
    return paused > 0 && going == 0;
}

static void on_look(struct timer *t)
{
    look(container_of(t, struct session, timer));
}

static void look(struct session *s)
{
    if (s->wait == SESSION_WAITS_PAUSE && !is_paused(s, s->scope)) {
        s->wait = SESSION_ACTS;
        session_error(s, "57014", "PAUSE was ended by RESUME");
        return;
    }
    if (count_left(s) == 0) {
        const char *tag = s->wait == SESSION_WAITS_PAUSE ? "PAUSE" : "WAIT_CLOSE";
        s->wait = SESSION_ACTS;
        session_complete(s, tag);
        return;
    }
    s->timer.due = on_look;
    timer_set(&s->office->front->loop->timers, &s->timer, clock_now_us() + LOOK_US);
}

static void set_paused(const struct session *s, const char *scope, bool paused)
{
    struct database_roll roll = roll_databases(s->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) {
        if (roll_in_scope(roll.items[i], scope)) { atomic_store(&roll.items[i]->paused, paused); }
    }
    mem_free(&roll.items);
}

/* Nobody waits for this answer: the loops are told, that is all. */
static void back_silently(struct tour *t, struct session *s)
{
    (void)t;
    (void)s;
}

void control_cancel(struct session *s)
{
    if (s->wait == SESSION_ACTS) { return; }
    if (s->wait == SESSION_WAITS_SUSPEND) { /* the hook answers */
        s->office->hooks.resume(s->office->hooks.arg);
        return;
    }
    timer_clear(&s->office->front->loop->timers, &s->timer);
    if (s->wait == SESSION_WAITS_PAUSE) {
        set_paused(s, s->scope, false);
        struct round *r = mem_new(struct round);
        r->scope = s->scope;
        r->act = pool_pump;
        r->tour.visit = visit;
        r->tour.back = back_silently;
        r->tour.drop = drop;
        tour_start(&r->tour, s);
    }
    s->wait = SESSION_ACTS;
    session_error(s, "57014", "canceling statement due to user request");
}

/* ---- commands on databases ------------------------------------------------------------------- */

struct order { /* a row of the commands below */
    const char *name;
    void (*run)(struct session *s, const char *scope);
    bool makes;       /* a database that only the "*" line covers comes into being */
    bool one;         /* a database must be named */
    const char *verb; /* "cannot VERB admin db" */
};

static void log_command(const struct session *s, const char *name, const char *scope)
{
    const struct log_who who = client_who(s->client);
    if (scope == NULL) {
        log_info(&who, "%s command issued", name);
    } else {
        log_info(&who, "%s '%s' command issued", name, scope);
    }
}

static bool is_suspended(const struct session *s)
{
    return atomic_load(&s->office->front->shared->rest) != REST_NONE;
}

static void run_pause(struct session *s, const char *scope)
{
    if (is_suspended(s) || (scope == NULL && is_paused(s, NULL))) {
        session_error(s, "55000", "already suspended/paused");
        return;
    }
    log_command(s, "PAUSE", scope);
    set_paused(s, scope, true);
    start(s, (struct round){
                 .tag = "PAUSE", .scope = scope, .act = pool_recycle, .then = SESSION_WAITS_PAUSE});
}

static bool any_paused(const struct session *s)
{
    unsigned paused, going;
    roll_paused(s->office->front->registry, NULL, &paused, &going);
    return paused > 0;
}

static void run_resume(struct session *s, const char *scope)
{
    if (scope == NULL && is_suspended(s)) {
        log_command(s, "RESUME", NULL);
        s->office->hooks.resume(s->office->hooks.arg);
        session_complete(s, "RESUME");
        return;
    }
    if (scope == NULL && !any_paused(s)) {
        session_error(s, "55000", "pooler is not paused/suspended");
        return;
    }
    if (scope != NULL && !is_paused(s, scope)) {
        session_error(s, "55000", "database %s is not paused", scope);
        return;
    }
    log_command(s, "RESUME", scope);
    set_paused(s, scope, false);
    start(s, (struct round){.tag = "RESUME", .scope = scope, .act = pool_pump});
}

static void run_reconnect(struct session *s, const char *scope)
{
    log_command(s, "RECONNECT", scope);
    start(s, (struct round){.tag = "RECONNECT", .scope = scope, .act = pool_recycle});
}

static void run_kill(struct session *s, const char *scope)
{
    if (is_suspended(s) || is_paused(s, NULL)) {
        session_error(s, "55000", "already suspended/paused");
        return;
    }
    log_command(s, "KILL", scope);
    set_paused(s, scope, true);
    start(s, (struct round){.tag = "KILL", .scope = scope, .act = pool_recycle, .kill = true});
}

static void run_wait_close(struct session *s, const char *scope)
{
    log_command(s, "WAIT_CLOSE", scope);
    s->wait = SESSION_WAITS_CLOSE;
    s->scope = scope;
    look(s);
}

static void set_disabled(struct session *s, const char *scope, bool disabled)
{
    struct database_roll roll = roll_databases(s->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) {
        if (roll_in_scope(roll.items[i], scope)) {
            atomic_store(&roll.items[i]->disabled, disabled);
        }
    }
    mem_free(&roll.items);
    log_command(s, disabled ? "DISABLE" : "ENABLE", scope);
    session_complete(s, disabled ? "DISABLE" : "ENABLE");
}

static void run_disable(struct session *s, const char *scope)
{
    set_disabled(s, scope, true);
}

static void run_enable(struct session *s, const char *scope)
{
    set_disabled(s, scope, false);
}

static const struct order orders[] = {
    {"PAUSE", run_pause, true, false, "pause"},
    {"RESUME", run_resume, false, false, "resume"},
    {"RECONNECT", run_reconnect, true, false, "reconnect"},
    {"KILL", run_kill, true, false, "kill"},
    {"WAIT_CLOSE", run_wait_close, true, false, "wait in"},
    {"DISABLE", run_disable, true, true, "disable"},
    {"ENABLE", run_enable, false, true, "enable"},
};

static bool is_console(const char *name)
{
    return strcmp(name, "pgbouncer") == 0 || strcmp(name, "pgusher") == 0;
}

static void run_order(struct session *s, const struct order *o, const char *name)
{
    if (name == NULL) {
        if (o->one) {
            session_error(s, "42601", "a database is required");
        } else {
            o->run(s, NULL);
        }
        return;
    }
    if (is_console(name)) {
        session_error(s, "0A000", "cannot %s admin db: %s", o->verb, name);
        return;
    }
    struct registry *r = s->office->front->registry;
    struct database *db;
    if (o->makes) {
        db = registry_database(r, name);
    } else {
        struct database_roll roll = roll_databases(r);
        db = roll_find(&roll, name);
        mem_free(&roll.items);
    }
    if (db == NULL) {
        session_error(s, "3D000", "no such database: %s", name);
    } else {
        o->run(s, db->name);
    }
}

/* ---- commands on the process ----------------------------------------------------------------- */

struct note { /* a hook's answer finds its way home by this */
    struct front *front;
    uint32_t session_id;
    char *tag;
    bool reload;
};

static void on_hook_done(void *arg, const struct fault *why)
{
    struct note *n = arg;
    struct office *o = n->front->office;
    struct session *s = o == NULL ? NULL : session_find(o, n->session_id);
    if (s != NULL) { s->wait = SESSION_ACTS; }
    if (s != NULL && why == NULL) {
        session_complete(s, n->tag);
    } else if (s != NULL && n->reload) {
        struct fault told;
        (void)fault_state(&told, E_CONFIG, "F0000",
                          "RELOAD failed, see logs for additional details");
        fault_hint(&told, "%s", why->text);
        session_fault(s, &told);
    } else if (s != NULL && why->sqlstate[0] != '\0') {
        session_fault(s, why);
    } else if (s != NULL) {
        session_error(s, why->code == E_NOTFOUND ? "42704" : "22023", "%s", why->text);
    }
    mem_free(&n->tag);
    mem_free(&n);
}

static struct note *make_note(const struct session *s, char *tag, bool reload)
{
    struct note *n = mem_new(struct note);
    n->front = s->office->front;
    n->session_id = s->id;
    n->tag = tag;
    n->reload = reload;
    return n;
}

static void run_reload(struct session *s)
{
    struct office *o = s->office;
    log_command(s, "RELOAD", NULL);
    o->hooks.reload(o->hooks.arg, o->front->loop, on_hook_done,
                    make_note(s, mem_strdup("RELOAD"), true));
}

static void run_suspend(struct session *s)
{
    struct office *o = s->office;
    if (is_suspended(s) || is_paused(s, NULL)) {
        session_error(s, "55000", "already suspended/paused");
        return;
    }
    if (any_paused(s)) {
        session_error(s, "55000", "cannot suspend with paused databases");
        return;
    }
    log_command(s, "SUSPEND", NULL);
    s->wait = SESSION_WAITS_SUSPEND;
    o->hooks.suspend(o->hooks.arg, o->front->loop, on_hook_done,
                     make_note(s, mem_strdup("SUSPEND"), false));
}

static bool is_set(const struct command *c)
{
    bool sign = c->count == 4 && (c->words[2].kind == WORD_EQUALS || command_is(c, 2, "TO"));
    return command_is(c, 0, "SET") && sign && command_name(c, 1) != NULL &&
           command_value(c, 3) != NULL;
}

static void run_set(struct session *s, const struct command *c)
{
    const char *key = command_value(c, 1), *value = command_value(c, 3);
    if (!s->client->admin) {
        session_error(s, "42501", "admin access needed");
        return;
    }
    struct office *o = s->office;
    const struct log_who who = client_who(s->client);
    log_info(&who, "SET %s command issued", key);
    o->hooks.set(o->hooks.arg, o->front->loop, key, value, on_hook_done,
                 make_note(s, mem_printf("SET %s=%s", key, value), false));
}

/* The answer goes out first: afterwards nobody may be left to give it. */
static void run_shutdown(struct session *s, enum shutdown_mode mode)
{
    static const char *const names[] = {
        [SHUTDOWN_NOW] = "SHUTDOWN",
        [SHUTDOWN_WAIT_FOR_SERVERS] = "SHUTDOWN WAIT_FOR_SERVERS",
        [SHUTDOWN_WAIT_FOR_CLIENTS] = "SHUTDOWN WAIT_FOR_CLIENTS",
    };
    struct admin_hooks hooks = s->office->hooks;
    log_command(s, names[mode], NULL);
    compose_complete(session_out(s), "SHUTDOWN");
    compose_ready(session_out(s), 'I');
    stream_flush(&s->client->stream);
    s->busy = false;
    hooks.shutdown(hooks.arg, mode);
}

static void run_kill_client(struct session *s, const char *text)
{
    char *end = NULL;
    unsigned long id = text == NULL ? 0 : strtoul(text, &end, 10);
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || id == 0 ||
        id > UINT32_MAX) {
        session_error(s, "22023", "invalid client pointer supplied");
        return;
    }
    start(s, (struct round){.tag = "KILL_CLIENT", .client_id = (uint32_t)id});
}

/* Those with words of their own. false: none of them. */
static bool run_special(struct session *s, const struct command *c)
{
    if (command_is(c, 0, "RELOAD") && c->count == 1) {
        run_reload(s);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 1) {
        run_shutdown(s, SHUTDOWN_NOW);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 2 &&
               command_is(c, 1, "WAIT_FOR_SERVERS")) {
        run_shutdown(s, SHUTDOWN_WAIT_FOR_SERVERS);
    } else if (command_is(c, 0, "SHUTDOWN") && c->count == 2 &&
               command_is(c, 1, "WAIT_FOR_CLIENTS")) {
        run_shutdown(s, SHUTDOWN_WAIT_FOR_CLIENTS);
    } else if (command_is(c, 0, "KILL_CLIENT") && c->count <= 2) {
        run_kill_client(s, command_value(c, 1));
    } else if (command_is(c, 0, "SUSPEND") && c->count == 1) {
        run_suspend(s);
    } else {
        return false;
    }
    return true;
}

static bool needs_admin(const struct command *c)
{
    static const char *const names[] = {"RELOAD", "SHUTDOWN", "KILL_CLIENT", "SUSPEND"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (command_is(c, 0, names[i])) { return true; }
    }
    return false;
}

bool control_run_command(struct session *s, const struct command *c)
{
    if (is_set(c)) {
        run_set(s, c);
        return true;
    }
    const struct order *o = NULL;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (command_is(c, 0, orders[i].name)) { o = &orders[i]; }
    }
    if (o == NULL && !needs_admin(c)) { return false; }
    if (!s->client->admin) {
        session_error(s, "42501", "admin access needed");
        return true;
    }
    if (o == NULL) { return run_special(s, c); }
    bool named = c->count == 2 && command_name(c, 1) != NULL;
    if (c->count != 1 && !named) { return false; }
    run_order(s, o, command_name(c, 1));
    return true;
}
