/*
 * What one command does to databases is a flag here and a tour of all loops, on each of which its
 * own servers and clients are dealt with. PAUSE then looks every 10 ms until no server is left.
 */
#include "admin/control.h"

#include <stdlib.h>

#include "admin/process.h"
#include "admin/roll.h"
#include "admin/tour.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { LOOK_US = 10000 };

/* ---- rounds: a command's way through the loops ----------------------------------------------- */

struct round {
    struct tour tour;
    const char *tag;
    char *scope; /* a database's name, or NULL: all */
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

static char *copy(const char *scope)
{
    return scope == NULL ? NULL : mem_strdup(scope);
}

static void wait_for(struct session *s, enum session_wait what, const char *scope)
{
    mem_free(&s->scope);
    s->scope = copy(scope);
    s->wait = what;
    look(s);
}

static void back(struct tour *t, struct session *s)
{
    const struct round *r = container_of(t, struct round, tour);
    if (r->client_id != 0 && !r->found) {
        session_error(s, "42704", "client not found");
    } else if (r->then != SESSION_ACTS) {
        wait_for(s, r->then, r->scope);
    } else {
        session_complete(s, r->tag);
    }
}

static void drop(struct tour *t)
{
    struct round *r = container_of(t, struct round, tour);
    mem_free(&r->scope);
    mem_free(&r);
}

static void start(struct session *s, const char *scope, struct round how)
{
    struct round *r = mem_new(struct round);
    *r = how;
    r->scope = copy(scope);
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

static struct database *find_database(const struct session *s, const char *name)
{
    struct database_roll roll = roll_databases(s->office->front->registry);
    struct database *db = roll_find(&roll, name);
    mem_free(&roll.items);
    return db;
}

/* By this very command: a database paused by its name is not paused by PAUSE of all, and the other
 * way round. */
static bool is_paused(const struct session *s, const char *scope)
{
    if (scope == NULL) { return registry_is_paused(s->office->front->registry); }
    const struct database *db = find_database(s, scope);
    return db != NULL && atomic_load(&db->paused);
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
    if (scope == NULL) {
        registry_pause(s->office->front->registry, paused);
        return;
    }
    struct database_roll roll = roll_databases(s->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) {
        if (roll_in_scope(roll.items[i], scope)) { atomic_store(&roll.items[i]->paused, paused); }
    }
    mem_free(&roll.items);
    registry_tell_room(s->office->front->registry);
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
        r->scope = copy(s->scope);
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
    bool awake;       /* refused while everything is paused or suspended */
    const char *verb; /* "cannot VERB admin db" */
};

void control_log(const struct session *s, const char *name, const char *scope)
{
    const struct log_who who = client_who(s->client);
    if (scope == NULL) {
        log_info(&who, "%s command issued", name);
    } else {
        log_info(&who, "%s '%s' command issued", name, scope);
    }
}

bool control_is_suspended(const struct session *s)
{
    return atomic_load(&s->office->front->shared->rest) != REST_NONE;
}

bool control_refuse_at_rest(struct session *s)
{
    if (!control_is_suspended(s) && !is_paused(s, NULL)) { return false; }
    session_error(s, "55000", "already suspended/paused");
    return true;
}

/* What is idle goes now, the others at their release. */
static void pause_pool(struct pool *p, struct loop *l)
{
    pool_tidy(p, l, clock_now_us());
}

static void run_pause(struct session *s, const char *scope)
{
    control_log(s, "PAUSE", scope);
    set_paused(s, scope, true);
    start(s, scope, (struct round){.tag = "PAUSE", .act = pause_pool, .then = SESSION_WAITS_PAUSE});
}

static void run_resume(struct session *s, const char *scope)
{
    if (scope == NULL && s->office->front->draining) {
        session_error(s, "55000", "pooler is shutting down");
        return;
    }
    if (scope == NULL && control_is_suspended(s)) {
        control_log(s, "RESUME", NULL);
        s->office->hooks.resume(s->office->hooks.arg);
        session_complete(s, "RESUME");
        return;
    }
    if (!is_paused(s, scope)) {
        if (scope == NULL) {
            session_error(s, "55000", "pooler is not paused/suspended");
        } else {
            session_error(s, "55000", "database %s is not paused", scope);
        }
        return;
    }
    control_log(s, "RESUME", scope);
    set_paused(s, scope, false);
    start(s, scope, (struct round){.tag = "RESUME", .act = pool_pump});
}

static void run_reconnect(struct session *s, const char *scope)
{
    control_log(s, "RECONNECT", scope);
    start(s, scope, (struct round){.tag = "RECONNECT", .act = pool_recycle});
}

static void pause_used(const struct session *s)
{
    struct account_roll roll = roll_accounts(s->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) { set_paused(s, roll.items[i]->database->name, true); }
    mem_free(&roll.items);
}

/* Databases are paused by their names, also where none is given. */
static void run_kill(struct session *s, const char *scope)
{
    control_log(s, "KILL", scope);
    if (scope == NULL) {
        pause_used(s);
    } else {
        set_paused(s, scope, true);
    }
    start(s, scope, (struct round){.tag = "KILL", .act = pool_recycle, .kill = true});
}

static void run_wait_close(struct session *s, const char *scope)
{
    control_log(s, "WAIT_CLOSE", scope);
    wait_for(s, SESSION_WAITS_CLOSE, scope);
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
    control_log(s, disabled ? "DISABLE" : "ENABLE", scope);
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
    {"PAUSE", run_pause, true, false, true, "pause"},
    {"RESUME", run_resume, false, false, false, "resume"},
    {"RECONNECT", run_reconnect, true, false, false, "reconnect"},
    {"KILL", run_kill, true, false, true, "kill"},
    {"WAIT_CLOSE", run_wait_close, true, false, false, "wait in"},
    {"DISABLE", run_disable, true, true, false, "disable"},
    {"ENABLE", run_enable, false, true, false, "enable"},
};

static bool is_console(const char *name)
{
    return strcmp(name, "pgbouncer") == 0 || strcmp(name, "pgusher") == 0;
}

static void run_order(struct session *s, const struct order *o, const char *name)
{
    if (o->awake && control_refuse_at_rest(s)) { return; }
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
    const struct database *db =
        o->makes ? registry_database(s->office->front->registry, name) : find_database(s, name);
    if (db == NULL) {
        session_error(s, "3D000", "no such database: %s", name);
    } else {
        o->run(s, db->name);
    }
}

/* ---- the others ------------------------------------------------------------------------------ */

static void run_kill_client(struct session *s, const char *text)
{
    char *end = NULL;
    unsigned long id = text == NULL ? 0 : strtoul(text, &end, 10);
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || id == 0 ||
        id > UINT32_MAX) {
        session_error(s, "22023", "invalid client pointer supplied");
        return;
    }
    start(s, NULL, (struct round){.tag = "KILL_CLIENT", .client_id = (uint32_t)id});
}

/* Not on databases. false: none of these. */
static bool run_other(struct session *s, const struct command *c)
{
    if (!command_is(c, 0, "KILL_CLIENT") || c->count > 2) { return process_run(s, c); }
    run_kill_client(s, command_value(c, 1));
    return true;
}

static bool needs_admin(const struct command *c)
{
    static const char *const names[] = {"RELOAD", "SHUTDOWN", "KILL_CLIENT", "SUSPEND"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (command_is(c, 0, names[i])) { return true; }
    }
    return process_is_set(c);
}

bool control_run_command(struct session *s, const struct command *c)
{
    const struct order *o = NULL;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (command_is(c, 0, orders[i].name)) { o = &orders[i]; }
    }
    if (o == NULL && !needs_admin(c)) { return false; }
    if (!s->client->admin) {
        session_error(s, "42501", "admin access needed");
        return true;
    }
    if (o == NULL) { return run_other(s, c); }
    bool named = c->count == 2 && command_name(c, 1) != NULL;
    if (c->count != 1 && !named) { return false; }
    run_order(s, o, command_name(c, 1));
    return true;
}
