/*
 * CancelRequest on a connection of its own. The server it is for is not lent again until the
 * request is through, so a cancel never reaches the next client's query. Protocol: "Message Flow",
 * Canceling Requests in Progress.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "server/internal.h"

struct cancel {
    struct stream stream;
    struct timer timer;
    struct server *server; /* NULL: it is gone */
    struct server_target target;
    struct dial dial;
    struct buf message;
    bool sent;
    bool again; /* once more: it was asked for after this one was sent */
};

static void finish(struct cancel *c)
{
    struct server *s = c->server;
    bool again = c->again;
    timer_clear(&c->stream.loop->timers, &c->timer);
    stream_close(&c->stream);
    buf_done(&c->message);
    if (c->target.cancels != NULL) { atomic_fetch_sub(c->target.cancels, 1); }
    mem_free(&c);
    if (s == NULL) { return; }
    s->cancel = NULL;
    if (again) {
        server_cancel(s);
    } else {
        s->event(s, 0); /* whoever holds it may have waited for this */
    }
}

static void on_timeout(struct timer *t)
{
    finish(container_of(t, struct cancel, timer));
}

static void give_up(struct cancel *c, const struct fault *why)
{
    log_warn(NULL, "event=cancel_failed reason=\"%s\"", why->text);
    finish(c);
}

static void on_event(void *arg, int events)
{
    struct cancel *c = arg;
    if (!c->sent) {
        struct fault why;
        enum err e = dial_event(&c->dial, &c->stream, &c->target, events, &why);
        if (e == E_OK) {
            c->sent = true;
            stream_put(&c->stream, buf_view(&c->message));
            stream_flush(&c->stream);
        } else if (e != E_AGAIN) {
            give_up(c, &why);
        }
        return;
    }
    if ((events & UV_WRITABLE) != 0) { stream_flush(&c->stream); }
    struct bytes in;
    if ((events & UV_READABLE) != 0 && stream_read(&c->stream, &in) != E_AGAIN) {
        finish(c); /* the postmaster closes it when the signal is sent */
    }
}

static void start(struct cancel *c, struct loop *l, const struct address *a)
{
    struct fault why;
    if (dial_start(&c->dial, &c->stream, l, &c->target, a, on_event, c, &why) != E_OK) {
        log_warn(NULL, "event=cancel_failed reason=\"%s\"", why.text);
        timer_set(&l->timers, &c->timer, 0); /* from the loop, not from in here */
    }
}

void server_cancel(struct server *s)
{
    if (s->cancel != NULL) {
        s->cancel->again = s->cancel->sent; /* what was sent may have come before this query */
        return;
    }
    if (s->backend_key_len == 0) { return; }
    struct loop *l = s->stream.loop;
    struct cancel *c = mem_new(struct cancel);
    c->stream = (struct stream){.fd = -1, .loop = l};
    c->server = s;
    c->target = *s->target;
    if (c->target.cancels != NULL) { atomic_fetch_add(c->target.cancels, 1); }
    c->dial.tls = stream_tls(&s->stream) != NULL; /* as its own connection went */
    c->timer.due = on_timeout;
    s->cancel = c;
    compose_cancel(&c->message, s->backend_pid, bytes_of(s->backend_key, s->backend_key_len));
    timer_set(&l->timers, &c->timer, clock_now_us() + s->target->cancel_timeout_us);
    start(c, l, &s->address); /* a name may stand for several machines */
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
