/* A client's birth and end, and the names it gave to statements. */
#include "client/client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"

/* With an address and a watch this is all that an idle client takes: 0.6 KiB is the budget. */
_Static_assert(sizeof(struct client) <= 504, "a client without a request is small");

struct log_who client_who(const struct client *c)
{
    struct log_who who = {.kind = 'C',
                          .ptr = c,
                          .user = c->console_user,
                          .address = c->address,
                          .port = c->port,
                          .peer_pid = c->peer_pid};
    if (c->account != NULL) {
        who.database = c->account->database->name;
        who.user = c->account->user;
    } else if (c->console_user != NULL) {
        who.database = "pgbouncer";
    } else if (c->login != NULL) {
        client_login_names(c, &who.database, &who.user);
    }
    return who;
}

void client_accept(struct front *f, int fd, const struct address *peer)
{
    char host[64];
    int port;
    address_text(peer, host, sizeof host, &port);
    size_t host_len = strlen(host);
    struct client *c = mem_zeroed(sizeof *c + host_len + 1);
    memcpy(c->address, host, host_len + 1);
    c->port = port;
    c->front = f;
    c->ops = f->ops;
    c->status = 'I';
    c->unix_socket = peer->any.sa_family == AF_UNIX;
    if (c->unix_socket) { c->peer_pid = socket_peer_pid(fd); }
    c->id = atomic_fetch_add(&f->shared->last_id, 1) % 0x7fffffff + 1;
    c->connected_us = clock_now_us();
    c->connected_wall_us = clock_wall_us();
    c->given = varset_ref(varset_empty());
    c->startup = varset_ref(varset_empty());
    c->base = varset_ref(varset_empty());
    c->customs = varset_ref(varset_empty());
    c->wanted = varset_ref(varset_empty());
    c->in_tx = varset_ref(varset_empty());
    c->stream = (struct stream){.fd = fd};
    dlist_push_back(&f->clients, &c->node);
    atomic_fetch_add(&f->clients_count, 1);
    c->counted = true;
    c->over = atomic_fetch_add(&f->shared->clients, 1) >= f->config->o.max_client_conn;
    client_login_start(c, peer);
}

bool client_has_room(const struct client *c)
{
    const struct front *f = c->front;
    return !c->over || atomic_load(&f->shared->clients) <= f->config->o.max_client_conn;
}

void client_uncount(struct client *c)
{
    if (c->counted) { atomic_fetch_sub(&c->front->shared->clients, 1); }
    c->counted = false;
}

static void bury(struct letter *l)
{
    struct client *c = container_of(l, struct client, grave);
    mem_free(&c);
}

void client_close(struct client *c, const char *reason)
{
    struct front *f = c->front;
    if (c->state == CLIENT_CLOSED) { return; }
    if (log_tells(LOG_DISCONNECTIONS)) {
        const struct log_who who = client_who(c);
        log_info(&who, "closing because: %s (age=%llds)", reason,
                 (long long)((clock_now_us() - c->connected_us) / US_PER_S));
    }
    bool was_ready = c->state == CLIENT_READY;
    if (was_ready && c->console_user != NULL) { atomic_fetch_sub(&f->consoles_count, 1); }
    c->state = CLIENT_CLOSED;
    timer_clear(&f->loop->timers, &c->timer);
    client_drop_key(c);
    client_login_drop(c);
    if (was_ready) { c->ops->closed(c); }
    if (c->account != NULL) { registry_leave(f->registry, c->account); }
    client_uncount(c);
    stream_close(&c->stream);
    client_forget_statements(c);
    hmap_done(&c->statements);
    varset_unref(&c->given);
    varset_unref(&c->startup);
    varset_unref(&c->base);
    varset_unref(&c->customs);
    varset_unref(&c->wanted);
    varset_unref(&c->in_tx);
    dlist_remove(&c->node);
    atomic_fetch_sub(&f->clients_count, 1);
    mem_free(&c->begin);
    mem_free(&c->lost_untold);
    mem_free(&c->console_user);
    c->grave.open = bury;
    loop_defer(f->loop, &c->grave);
}

void client_log_error(const struct client *c, const struct fault *why)
{
    if (!log_tells(LOG_POOLER_ERRORS)) { return; }
    const struct log_who who = client_who(c);
    log_warn(&who, "pooler error: %s", why->text);
}

bool client_is_strict(const struct client *c)
{
    return c->front->config->o.pgbouncer_compat == COMPAT_STRICT;
}

/* Has PgBouncer this error too? Else it stands for what the server would say, or is ours alone. */
static bool is_poolers(const struct fault *why)
{
    switch (why->code) {
    case E_SERVER:
    case E_CANCELED:
    case E_DENIED:
    case E_SYNTAX:
    case E_EXISTS: return false;
    default: return strcmp(why->sqlstate, "25P02") != 0;
    }
}

void client_put_error(struct client *c, const char *severity, const struct fault *why)
{
    struct fault told = *why;
    if (client_is_strict(c) && is_poolers(why)) {
        (void)snprintf(told.sqlstate, sizeof told.sqlstate, "08P01");
    }
    compose_fault(&c->stream.out, severity, &told);
}

static bool is_inside(const struct client *c)
{
    return c->state == CLIENT_READY && c->ops->is_inside != NULL && c->ops->is_inside(c);
}

void client_fail(struct client *c, const struct fault *why)
{
    if (c->state == CLIENT_CLOSED) { return; }
    client_log_error(c, why);
    if (!is_inside(c)) { client_put_error(c, "FATAL", why); }
    /* The end comes in one packet with its reason: who has read the one sees the other, and does
     * not ask again in between. */
    bool plain = stream_tls(&c->stream) == NULL && stream_is_open(&c->stream);
    if (plain) { socket_cork(c->stream.fd); }
    stream_flush(&c->stream);
    if (plain) { socket_finish(c->stream.fd); }
    client_close(c, why->text);
}

/*
 * Who asked a moment ago is about to ask again, and a good-bye would cross with the question: it
 * comes with the next answer instead, or when enough time has passed.
 */
static void drain(struct front *f)
{
    int64_t now_us = clock_now_us();
    dlist_each (node, &f->clients) {
        struct client *c = container_of(node, struct client, node);
        if (c->state == CLIENT_READY && c->console_user == NULL) {
            c->draining = true;
            if (f->hasty || now_us - c->active_us > FRONT_GRACE_US) { c->ops->drain(c); }
        } else if (c->state == CLIENT_LOGIN && now_us - c->connected_us > FRONT_LOGIN_US) {
            client_login_sweep(c);
        }
    }
}

void front_drain(struct front *f, bool hasty)
{
    f->draining = true;
    f->hasty = hasty;
    drain(f);
}

void front_sweep(struct front *f)
{
    drain(f);
}

void front_close_all(struct front *f)
{
    while (!dlist_empty(&f->clients)) {
        struct client *c = container_of(f->clients.next, struct client, node);
        struct fault why;
        (void)fault_set(&why, E_SHUTDOWN, "pooler is shutting down");
        client_fail(c, &why);
    }
}

/* ---- statement names ------------------------------------------------------------------------ */

static struct client_stmt *find(const struct client *c, const char *name)
{
    struct hlink *link = hmap_find(&c->statements, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct client_stmt, link);
}

const struct prepared *client_statement(const struct client *c, const char *name)
{
    if (name[0] == '\0') { return c->unnamed; }
    struct client_stmt *st = find(c, name);
    return st == NULL ? NULL : st->prepared;
}

static void drop(struct client *c, struct client_stmt *st)
{
    hmap_remove(&c->statements, &st->link);
    prepared_unref(&st->prepared);
    mem_free(&st);
}

void client_name_statement(struct client *c, const char *name, const struct prepared *p)
{
    if (name[0] == '\0') {
        const struct prepared *old = c->unnamed;
        c->unnamed = p == NULL ? NULL : prepared_ref(p);
        prepared_unref(&old);
        return;
    }
    struct client_stmt *st = find(c, name);
    if (p == NULL) {
        if (st != NULL) { drop(c, st); }
        return;
    }
    if (st == NULL) {
        size_t len = strlen(name);
        st = mem_zeroed(sizeof *st + len + 1);
        memcpy(st->name, name, len + 1);
        hmap_insert(&c->statements, &st->link, bytes_of(st->name, len));
    }
    const struct prepared *old = st->prepared;
    st->prepared = prepared_ref(p);
    st->turn = prepared_turn(p);
    prepared_unref(&old);
}

bool client_statement_is_old(const struct client *c, const char *name)
{
    const struct client_stmt *st = find(c, name);
    return st != NULL && st->turn != prepared_turn(st->prepared);
}

void client_renew_statement(struct client *c, const char *name)
{
    struct client_stmt *st = find(c, name);
    if (st != NULL) { st->turn = prepared_turn(st->prepared); }
}

void client_forget_names(struct client *c)
{
    hmap_each (link, &c->statements) { drop(c, container_of(link, struct client_stmt, link)); }
}

void client_forget_statements(struct client *c)
{
    client_forget_names(c);
    prepared_unref(&c->unnamed);
}
