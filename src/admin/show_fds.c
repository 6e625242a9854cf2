/*
 * SHOW FDS: every socket, with the descriptor itself attached to its row (SCM_RIGHTS) where the
 * console came over a unix socket from a process of our own user, and nobody else's: who has them
 * has the connections. Passwords and keys are not told. Connections with TLS are left out, as in
 * PgBouncer: the state that goes with such a descriptor cannot go along. The descriptors are
 * duplicated on the loop that owns them, so that they stay what they are until they are sent.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/fds.h"
#include "admin/roll.h"
#include "admin/show.h"
#include "base/mem.h"
#include "request/request.h"

static const struct column columns[] = {
    SHOW_INT("fd"),
    SHOW_TEXT("task"),
    SHOW_TEXT("user"),
    SHOW_TEXT("database"),
    SHOW_TEXT("addr"),
    SHOW_INT("port"),
    SHOW_LONG("cancel"),
    SHOW_INT("link"),
    SHOW_TEXT("client_encoding"),
    SHOW_TEXT("std_strings"),
    SHOW_TEXT("datestyle"),
    SHOW_TEXT("timezone"),
    SHOW_TEXT("password"),
    {"scram_client_key", COLUMN_BYTEA},
    {"scram_server_key", COLUMN_BYTEA},
};

struct fds { /* what is still to be sent */
    struct buf rows;
    struct fd_row *list;
    size_t count, next;
};

/* ---- gathering, on each loop ----------------------------------------------------------------- */

struct told {
    const char *task, *user, *database, *addr;
    int port;
    uint64_t cancel;
    int link; /* 0: none */
    const char *client_encoding, *std_strings, *date_style, *time_zone;
};

static void put_row(struct gathering *g, int fd, const struct told *told)
{
    struct table t = show_table(g);
    table_row(&t);
    table_int(&t, fd);
    table_text(&t, told->task);
    table_text(&t, told->user);
    table_text(&t, told->database);
    table_text(&t, told->addr);
    table_int(&t, told->port);
    table_int(&t, (int64_t)told->cancel);
    table_int(&t, told->link);
    table_text(&t, told->client_encoding);
    table_text(&t, told->std_strings);
    table_text(&t, told->date_style);
    table_text(&t, told->time_zone);
    for (unsigned i = 0; i < 3; i++) { table_null(&t); }
    table_end(&t);
    g->fds = mem_grow(g->fds, g->fds_count + 1, sizeof *g->fds);
    g->fds[g->fds_count++] = (struct fd_row){.fd = g->with_fds ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1,
                                             .end = buf_len(&g->rows)};
}

static bool has_tls(const struct stream *s)
{
    return s->secure != NULL;
}

static void put_client(struct gathering *g, const struct client *c)
{
    const struct server *s = c->request == NULL ? NULL : c->request->server;
    if (c->console_user != NULL || c->state == CLIENT_CLOSED) { return; }
    if (has_tls(&c->stream) || (s != NULL && has_tls(&s->stream))) { return; }
    const struct told told = {
        .task = "client",
        .user = c->account == NULL ? NULL : c->account->user,
        .database = c->account == NULL ? NULL : c->account->database->name,
        .addr = c->address,
        .port = c->port,
        .cancel = (uint64_t)get_u32(c->key) << 32 | get_u32(c->key + 4),
        .link = s == NULL ? 0 : s->stream.fd,
        .client_encoding = varset_get(c->wanted, "client_encoding"),
        .std_strings = varset_get(c->wanted, "standard_conforming_strings"),
        .date_style = varset_get(c->wanted, "datestyle"),
        .time_zone = varset_get(c->wanted, "timezone"),
    };
    put_row(g, c->stream.fd, &told);
}

static void put_server(struct gathering *g, const struct account *a, const struct server *s)
{
    const struct client *c =
        s->event == relay_event && s->holder != NULL ? ((struct request *)s->holder)->client : NULL;
    if (s->stream.fd < 0) { return; } /* its name is being looked up */
    if (has_tls(&s->stream) || (c != NULL && has_tls(&c->stream))) { return; }
    const struct told told = {
        .task = "server",
        .user = a->user,
        .database = a->database->name,
        .addr = s->target->node->host,
        .port = s->target->node->port,
        .cancel = (uint64_t)s->backend_pid << 32 |
                  (s->backend_key_len >= 4 ? get_u32(s->backend_key) : 0),
        .link = c == NULL ? 0 : c->stream.fd,
        .client_encoding = server_param(s, "client_encoding"),
        .std_strings = server_param(s, "standard_conforming_strings"),
        .date_style = server_param(s, "DateStyle"),
        .time_zone = server_param(s, "TimeZone"),
    };
    put_row(g, s->stream.fd, &told);
}

static void put_doors(struct gathering *g, const struct admin_hooks *hooks)
{
    enum { MOST = 64 };
    int fds[MOST];
    unsigned count = hooks->doors(hooks->arg, fds, MOST);
    for (unsigned i = 0; i < count; i++) {
        struct address a = {.len = sizeof a.room};
        char text[64] = "";
        int port = 0;
        if (getsockname(fds[i], &a.any, &a.len) == 0) {
            address_text(&a, text, sizeof text, &port);
        }
        put_row(g, fds[i], &(struct told){.task = "pooler", .addr = text, .port = port});
    }
}

static void visit(struct gathering *g, struct front *f)
{
    const struct office *o = f->office;
    if (f == o->fronts[0]) { put_doors(g, &o->hooks); }
    dlist_each (node, &f->clients) { put_client(g, container_of(node, struct client, node)); }
    struct account_roll roll = roll_accounts(f->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct server_roll servers = {0};
        roll_servers(roll.items[i], f->loop, &servers);
        for (size_t k = 0; k < servers.count; k++) {
            put_server(g, roll.items[i], servers.items[k].server);
        }
        mem_free(&servers.items);
    }
    mem_free(&roll.items);
}

/* ---- sending, at home ------------------------------------------------------------------------ */

void fds_close(struct fd_row **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((*list)[i].fd >= 0) { (void)close((*list)[i].fd); }
    }
    mem_free(list);
}

void fds_forget(struct session *s)
{
    struct fds *f = s->fds;
    if (f == NULL) { return; }
    s->fds = NULL;
    fds_close(&f->list, f->count);
    buf_done(&f->rows);
    mem_free(&f);
}

/* A row and its descriptor go out in one message, so nothing may be queued before them. */
void fds_send(struct session *s)
{
    struct fds *f = s->fds;
    struct stream *to = &s->client->stream;
    stream_flush(to);
    for (; f->next < f->count && stream_unwritten(to) == 0; f->next++) {
        struct fd_row *row = &f->list[f->next];
        size_t from = f->next == 0 ? 0 : f->list[f->next - 1].end;
        struct bytes run = bytes_of(buf_view(&f->rows).ptr + from, row->end - from);
        enum err e = E_OK;
        if (row->fd >= 0) {
            e = stream_send_fd(to, run, row->fd);
        } else {
            stream_put(to, run);
        }
        if (e != E_OK) { return; } /* to be called again, or there is nobody any more */
        if (row->fd >= 0) { (void)close(row->fd); }
        row->fd = -1;
        stream_flush(to);
    }
    if (f->next < f->count) { return; }
    fds_forget(s);
    session_complete(s, "SHOW");
}

static void finish(struct gathering *g, struct session *s)
{
    struct fds *f = mem_new(struct fds);
    f->rows = g->rows;
    f->list = g->fds;
    f->count = g->fds_count;
    g->rows = (struct buf){0};
    g->fds = NULL;
    g->fds_count = 0;
    s->fds = f;
    session_describe(s, columns, sizeof columns / sizeof *columns);
    fds_send(s);
}

bool fds_allowed(const struct session *s)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    const struct client *c = s->client;
    return c->unix_socket && c->stream.secure == NULL &&
           getsockopt(c->stream.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           peer.uid == geteuid();
}

const struct show show_fds = {"fds", SHOW_COLUMNS(columns), visit, NULL, finish};
