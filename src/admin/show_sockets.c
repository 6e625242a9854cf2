/* CLIENTS, SERVERS, SOCKETS, PINS: rows made on the loop that owns what they tell. */
#include <stdio.h>

#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/replication.h"
#include "request/request.h"

#define SOCKET_COLUMNS                                                                             \
    SHOW_TEXT("type"), SHOW_TEXT("user"), SHOW_TEXT("database"), SHOW_TEXT("replication"),         \
        SHOW_TEXT("state"), SHOW_TEXT("addr"), SHOW_INT("port"), SHOW_TEXT("local_addr"),          \
        SHOW_INT("local_port"), SHOW_TEXT("connect_time"), SHOW_TEXT("request_time"),              \
        SHOW_INT("wait"), SHOW_INT("wait_us"), SHOW_INT("close_needed"), SHOW_TEXT("ptr"),         \
        SHOW_TEXT("link"), SHOW_INT("remote_pid"), SHOW_TEXT("tls"),                               \
        SHOW_TEXT("application_name"), SHOW_INT("prepared_statements"), SHOW_INT("id")

static const struct column plain_columns[] = {SOCKET_COLUMNS};
static const struct column debug_columns[] = {
    SOCKET_COLUMNS,       SHOW_INT("recv_pos"),    SHOW_INT("pkt_pos"),   SHOW_INT("pkt_remain"),
    SHOW_INT("send_pos"), SHOW_INT("send_remain"), SHOW_INT("pkt_avail"), SHOW_INT("send_avail"),
};
static const struct column pin_columns[] = {
    SHOW_INT("id"),       SHOW_TEXT("database"), SHOW_TEXT("user"),
    SHOW_TEXT("reasons"), SHOW_INT("since"),     SHOW_INT("server_pid"),
};

struct table show_table(struct gathering *g)
{
    return table_of(&g->rows, g->show->columns, g->show->columns_count);
}

/* ---- what the two kinds of connection have in common ----------------------------------------- */

struct connection {
    const char *type, *user, *database, *replication, *state;
    const struct stream *stream;
    const char *host; /* where the socket itself cannot say it */
    int port;
    int64_t connect_wall_us, request_wall_us, waits_since_us;
    bool close_needed;
    const void *ptr, *link;
    uint32_t pid, id;
    const char *application_name;
    size_t prepared;
};

static void put_address(struct table *t, const struct address *a, const char *host, int port)
{
    char text[64];
    int own_port;
    if (a != NULL && a->any.sa_family != AF_UNIX) {
        address_text(a, text, sizeof text, &own_port);
        table_text(t, text);
        table_int(t, own_port);
        return;
    }
    table_text(t, a != NULL ? "unix" : host);
    table_int(t, port);
}

static void put_addresses(struct table *t, const struct connection *c)
{
    struct address a = {.len = sizeof a.room};
    int fd = c->stream->fd;
    bool known = fd >= 0 && getpeername(fd, &a.any, &a.len) == 0;
    put_address(t, known ? &a : NULL, c->host, c->port);
    a.len = sizeof a.room;
    known = fd >= 0 && getsockname(fd, &a.any, &a.len) == 0;
    put_address(t, known ? &a : NULL, "", c->port);
}

static void put_connection(struct table *t, const struct connection *c)
{
    int64_t wait_us = c->waits_since_us == 0 ? 0 : clock_now_us() - c->waits_since_us;
    table_row(t);
    table_text(t, c->type);
    table_text(t, c->user);
    table_text(t, c->database);
    table_text(t, c->replication);
    table_text(t, c->state);
    put_addresses(t, c);
    table_time(t, c->connect_wall_us);
    table_time(t, c->request_wall_us != 0 ? c->request_wall_us : c->connect_wall_us);
    table_int(t, wait_us / US_PER_S);
    table_int(t, wait_us % US_PER_S);
    table_int(t, c->close_needed);
    table_pointer(t, c->ptr);
    table_pointer(t, c->link);
    table_int(t, c->pid);
    table_text(t, tls_label(stream_tls(c->stream)));
    table_text(t, c->application_name == NULL ? "" : c->application_name);
    table_int(t, (int64_t)c->prepared);
    table_int(t, c->id & INT32_MAX);
    if (t->columns == debug_columns) {
        table_int(t, (int64_t)buf_len(&c->stream->in));
        table_int(t, 0);
        table_int(t, 0);
        table_int(t, 0);
        table_int(t, 0);
        table_int(t, (int64_t)buf_len(&c->stream->in));
        table_int(t, (int64_t)buf_len(&c->stream->out));
    }
    table_end(t);
}

/* ---- clients --------------------------------------------------------------------------------- */

bool client_is_waiting(const struct client *c)
{
    if (c->account == NULL) { return false; }
    /* In login with an account: it waits for the first server to tell its parameters. */
    return c->state == CLIENT_LOGIN ||
           (c->request != NULL && c->request->waiting && c->request->server == NULL);
}

int64_t client_waits_since(const struct client *c)
{
    if (!client_is_waiting(c)) { return 0; }
    if (c->state == CLIENT_LOGIN) { return c->connected_us; }
    /* Not the ticket's state: other workers change it. Its time is an older request's, or ours. */
    const struct request *r = c->request;
    return r->ticket.since_us > r->arrived_us ? r->ticket.since_us : r->arrived_us;
}

/* The server it has at this moment, or NULL. */
static const struct server *link_of(const struct client *c)
{
    if (c->replication != NULL) { return replication_server(c); }
    return c->account == NULL || c->request == NULL ? NULL : c->request->server;
}

static bool is_linked(const struct client *c)
{
    return link_of(c) != NULL;
}

/* PgBouncer has other words in SHOW SOCKETS: of the list that a client or a server is in. */
static const char *client_state_text(const struct table *t, const struct client *c)
{
    if (t->columns != debug_columns) {
        return is_linked(c) ? "active" : client_is_waiting(c) ? "waiting" : "idle";
    }
    return c->state == CLIENT_LOGIN ? "cl_login"
           : client_is_waiting(c)   ? "cl_waiting"
                                    : "cl_active";
}

static void put_client(struct table *t, const struct client *c)
{
    bool console = c->account == NULL;
    const char *state = client_state_text(t, c);
    const struct connection row = {
        .type = "C",
        .user = console ? c->console_user : c->account->user,
        .database = console ? "pgbouncer" : c->account->database->name,
        .replication = replication_name(c),
        .state = state,
        .stream = &c->stream,
        .host = c->address,
        .port = c->port,
        .connect_wall_us = c->connected_wall_us,
        .request_wall_us = c->requested_wall_us,
        .waits_since_us = client_waits_since(c),
        .ptr = c,
        .link = link_of(c),
        .pid = (uint32_t)c->peer_pid,
        .id = c->id,
        .application_name = varset_get(c->wanted, "application_name"),
        .prepared = c->statements.count,
    };
    put_connection(t, &row);
}

static void put_clients(struct gathering *g, struct front *f, bool active_only)
{
    struct table t = show_table(g);
    dlist_each (node, &f->clients) {
        const struct client *c = container_of(node, struct client, node);
        if (c->state == CLIENT_CLOSED || (c->state == CLIENT_LOGIN && c->account == NULL)) {
            continue;
        }
        if (active_only && !is_linked(c) && !client_is_waiting(c)) { continue; }
        put_client(&t, c);
    }
}

static void visit_clients(struct gathering *g, struct front *f)
{
    put_clients(g, f, false);
}

/* ---- servers --------------------------------------------------------------------------------- */

/* At rest for so long that it is checked before its next use? */
static bool is_used(const struct server *s, const struct options *o)
{
    return o->server_check_query[0] != '\0' &&
           clock_now_us() - s->released_us > o->server_check_delay_us;
}

static const char *server_state_text(const struct table *t, const struct server_seen *seen,
                                     const struct options *o)
{
    bool list = t->columns == debug_columns;
    switch (seen->state) {
    case SERVER_LOGIN: return list ? "sv_login" : "new";
    case SERVER_IDLE:
        if (is_used(seen->server, o)) { return list ? "sv_used" : "used"; }
        break;
    case SERVER_ACTIVE:
    case SERVER_MOVING: return list ? "sv_active" : "active";
    case SERVER_CLEANING:
        if (server_canceling(seen->server)) {
            return list ? "sv_being_canceled" : "being_canceled";
        }
        return list ? "sv_tested" : "tested";
    case SERVER_DEAD: break; /* not on a roll */
    }
    return list ? "sv_idle" : "idle";
}

/* The client that holds it, if it is one's. */
static const struct client *holder_of(const struct server *s)
{
    if (s->event != relay_event || s->holder == NULL) { return replication_client(s); }
    return ((const struct request *)s->holder)->client;
}

static void put_server(struct table *t, const struct account *a, const struct server_seen *seen,
                       const struct options *o)
{
    const struct server *s = seen->server;
    const struct node *n = s->target->node;
    const struct client *holder = holder_of(s);
    const struct connection row = {
        .type = "S",
        .user = a->user,
        .database = a->database->name,
        .replication = holder == NULL ? "none" : replication_name(holder),
        .state = server_state_text(t, seen, o),
        .stream = &s->stream,
        .host = n->host,
        .port = n->port,
        .connect_wall_us = s->connected_wall_us,
        .request_wall_us = s->requested_wall_us,
        .close_needed = s->close_needed,
        .ptr = s,
        .link = holder,
        .pid = s->backend_pid,
        .id = s->backend_pid,
        .application_name = s->now == NULL ? NULL : varset_get(s->now, "application_name"),
        .prepared = s->statements_count,
    };
    put_connection(t, &row);
}

static void put_servers(struct gathering *g, struct front *f, bool active_only)
{
    struct table t = show_table(g);
    struct account_roll roll = roll_accounts(f->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct server_roll servers = {0};
        roll_servers(roll.items[i], f->loop, &servers);
        for (size_t k = 0; k < servers.count; k++) {
            if (active_only && servers.items[k].state == SERVER_IDLE) { continue; }
            put_server(&t, roll.items[i], &servers.items[k], &g->config->o);
        }
        mem_free(&servers.items);
    }
    mem_free(&roll.items);
}

static void visit_servers(struct gathering *g, struct front *f)
{
    put_servers(g, f, false);
}

static void visit_sockets(struct gathering *g, struct front *f)
{
    put_clients(g, f, false);
    put_servers(g, f, false);
}

static void visit_active(struct gathering *g, struct front *f)
{
    put_clients(g, f, true);
    put_servers(g, f, true);
}

/* ---- pins ------------------------------------------------------------------------------------ */

static void put_reasons(struct table *t, uint32_t pins)
{
    static const struct {
        uint32_t pin;
        const char *text;
    } reasons[] = {
        {PIN_TEMP, "temporary table"},
        {PIN_HOLD, "cursor with hold"},
        {PIN_LISTEN, "listen"},
        {PIN_PREPARE, "prepare"},
        {PIN_LOAD, "load"},
        {PIN_ADVISORY, "advisory lock"},
        {PIN_SEQUENCE, "sequence"},
        {PIN_SEED, "setseed"},
        {PIN_SETTING, "setting"},
        {PIN_UNKNOWN, "unknown effect"},
        {PIN_STARTUP, "startup settings"},
        {PIN_SESSION, "pool_mode session"},
    };
    struct buf text = {0};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if ((pins & reasons[i].pin) == 0) { continue; }
        buf_printf(&text, "%s%s", buf_len(&text) == 0 ? "" : ", ", reasons[i].text);
    }
    table_bytes(t, buf_view(&text));
    buf_done(&text);
}

static void visit_pins(struct gathering *g, struct front *f)
{
    struct table t = show_table(g);
    int64_t now_us = clock_now_us();
    dlist_each (node, &f->clients) {
        const struct client *c = container_of(node, struct client, node);
        if (c->state != CLIENT_READY || c->account == NULL || c->pins == 0) { continue; }
        int64_t since_us = c->pinned_us != 0 ? c->pinned_us : c->connected_us;
        table_row(&t);
        table_int(&t, c->id);
        table_text(&t, c->account->database->name);
        table_text(&t, c->account->user);
        put_reasons(&t, c->pins);
        table_int(&t, (now_us - since_us) / US_PER_S);
        if (is_linked(c)) {
            table_int(&t, c->request->server->backend_pid);
        } else {
            table_null(&t);
        }
        table_end(&t);
    }
}

const struct show show_clients = {"clients", SHOW_COLUMNS(plain_columns), visit_clients, NULL,
                                  NULL};
const struct show show_servers = {"servers", SHOW_COLUMNS(plain_columns), visit_servers, NULL,
                                  NULL};
const struct show show_sockets = {"sockets", SHOW_COLUMNS(debug_columns), visit_sockets, NULL,
                                  NULL};
const struct show show_active_sockets = {"active_sockets", SHOW_COLUMNS(debug_columns),
                                         visit_active, NULL, NULL};
const struct show show_pins = {"pins", SHOW_COLUMNS(pin_columns), visit_pins, NULL, NULL};
