/* Dial, write, wait for the close. */
#include "server/deliver.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/internal.h"

struct delivery {
    struct stream stream;
    struct timer timer;
    struct server_target target;
    struct dial dial;
    struct buf packet;
    bool sent;
    struct fault why; /* it could not even begin */
    const struct delivery_ops *ops;
    void *arg;
};

void deliver_drop(struct delivery **pd)
{
    struct delivery *d = *pd;
    if (d == NULL) { return; }
    *pd = NULL;
    timer_clear(&d->stream.loop->timers, &d->timer);
    stream_close(&d->stream);
    buf_done(&d->packet);
    mem_free(&d);
}

static void finish(struct delivery *d, const struct fault *why)
{
    const struct delivery_ops *ops = d->ops;
    void *arg = d->arg;
    deliver_drop(&d);
    ops->done(arg, why);
}

static void on_timeout(struct timer *t)
{
    struct delivery *d = container_of(t, struct delivery, timer);
    struct fault why = d->why;
    finish(d, why.code == E_OK ? NULL : &why);
}

static void on_event(void *arg, int events)
{
    struct delivery *d = arg;
    if (!d->sent) {
        struct fault why;
        enum err e = dial_event(&d->dial, &d->stream, &d->target, events, &why);
        if (e == E_OK) {
            d->sent = true;
            stream_put(&d->stream, buf_view(&d->packet));
            stream_flush(&d->stream);
            d->ops->sent(d->arg);
        } else if (e != E_AGAIN) {
            finish(d, &why);
        }
        return;
    }
    if ((events & UV_WRITABLE) != 0) { stream_flush(&d->stream); }
    struct bytes in;
    if ((events & UV_READABLE) != 0 && stream_read(&d->stream, &in) != E_AGAIN) { finish(d, NULL); }
}

struct delivery *deliver_start(struct loop *l, const struct server_target *target,
                               const struct address *a, bool tls, struct buf *packet,
                               const struct delivery_ops *ops, void *arg)
{
    struct delivery *d = mem_new(struct delivery);
    d->stream = (struct stream){.fd = -1, .loop = l};
    d->target = *target;
    d->dial.tls = tls;
    d->packet = *packet;
    *packet = (struct buf){0};
    d->ops = ops;
    d->arg = arg;
    d->timer.due = on_timeout;
    int64_t most_us = target->cancel_timeout_us;
    if (dial_start(&d->dial, &d->stream, l, &d->target, a, on_event, d, &d->why) != E_OK) {
        most_us = 0; /* told from the loop, not from in here */
    }
    timer_set(&l->timers, &d->timer, clock_now_us() + most_us);
    return d;
}
