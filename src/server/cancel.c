/*
 * CancelRequest on a connection of its own. The server it is for is not lent again until the
 * request is through, so a cancel never reaches the next client's query. Protocol: "Message Flow",
 * Canceling Requests in Progress.
 */
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "server/deliver.h"
#include "server/internal.h"

struct cancel {
    struct server *server; /* NULL: it is gone */
    struct delivery *delivery;
    struct leftover leftover;
    _Atomic unsigned *count;
    bool sent;
    bool again; /* once more: it was asked for after this one was sent */
};

static void on_sent(void *arg)
{
    struct cancel *c = arg;
    c->sent = true;
}

/* The postmaster closes the connection when the signal is sent. */
static void on_done(void *arg, const struct fault *why)
{
    struct cancel *c = arg;
    struct server *s = c->server;
    bool again = c->again;
    if (why != NULL) { log_warn(NULL, "event=cancel_failed reason=\"%s\"", why->text); }
    if (c->count != NULL) { atomic_fetch_sub(c->count, 1); }
    dlist_remove(&c->leftover.node);
    mem_free(&c);
    if (s == NULL) { return; }
    s->cancel = NULL;
    if (again) {
        server_cancel(s);
    } else {
        s->event(s, 0); /* whoever holds it may have waited for this */
    }
}

/* Its server is gone, and what counts it, too. */
static void drop(struct leftover *l)
{
    struct cancel *c = container_of(l, struct cancel, leftover);
    deliver_drop(&c->delivery);
    mem_free(&c);
}

void server_cancel(struct server *s)
{
    static const struct delivery_ops ops = {.sent = on_sent, .done = on_done};
    if (s->cancel != NULL) {
        s->cancel->again = s->cancel->sent; /* what was sent may have come before this query */
        return;
    }
    if (s->backend_key_len == 0) { return; }
    struct cancel *c = mem_new(struct cancel);
    struct buf packet = {0};
    c->server = s;
    c->count = s->target->cancels;
    if (c->count != NULL) { atomic_fetch_add(c->count, 1); }
    s->cancel = c;
    compose_cancel(&packet, s->backend_pid, bytes_of(s->backend_key, s->backend_key_len));
    /* As its own connection went; a name may stand for several machines. */
    bool tls = stream_tls(&s->stream) != NULL;
    c->leftover.drop = drop;
    dlist_push_back(&s->stream.loop->leftovers, &c->leftover.node);
    c->delivery = deliver_start(s->stream.loop, s->target, &s->address, tls, &packet, &ops, c);
}

bool server_canceling(const struct server *s)
{
    return s->cancel != NULL;
}

void cancel_answered(struct server *s)
{
    if (s->cancel != NULL) { s->cancel->again = false; }
}

void cancel_forget(struct server *s)
{
    if (s->cancel != NULL) { s->cancel->server = NULL; }
    s->cancel = NULL;
}
