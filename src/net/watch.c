/* uv_poll_t with an owner that can let go at once. */
#include "net/watch.h"

#include <assert.h>

#include "base/mem.h"

struct watch {
    uv_poll_t poll;
    struct loop *loop;
    int events;
    void (*ready)(void *arg, int events);
    void *arg;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *w = container_of(poll, struct watch, poll);
    if (w->ready == NULL) { return; }
    loop_woke(w->loop);
    if (status < 0) { /* libuv stopped it; what was read before the error may not be all */
        int wanted = w->events;
        w->events = 0;
        /* Who does not read now may do nothing about it now: told again and again, it would spin.
         */
        if ((wanted & UV_READABLE) != 0) { watch_want(w, wanted); }
    }
    w->ready(w->arg, status < 0 ? UV_READABLE | UV_WRITABLE : events);
}

struct watch *watch_open(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg)
{
    struct watch *w = mem_new(struct watch);
    int rc = uv_poll_init(&l->uv, &w->poll, fd);
    assert(rc == 0);
    w->loop = l;
    w->ready = ready;
    w->arg = arg;
    return w;
}

void watch_want(struct watch *w, int events)
{
    if (events == w->events) { return; }
    w->events = events;
    if (events == 0) {
        (void)uv_poll_stop(&w->poll);
    } else {
        (void)uv_poll_start(&w->poll, events, on_poll);
    }
}

int watch_wanted(const struct watch *w)
{
    return w->events;
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *w = container_of(handle, struct watch, poll);
    mem_free(&w);
}

void watch_close(struct watch **w)
{
    if (*w == NULL) { return; }
    (*w)->ready = NULL;
    uv_close((uv_handle_t *)&(*w)->poll, on_closed); /* it is out of the poll set at once */
    *w = NULL;
}
