/* One entry of the loop's epoll set. */
#include "net/watch.h"

#include <stdlib.h>
#include <sys/epoll.h>

#include "base/mem.h"

struct watch {
    struct loop *loop;
    int fd;
    int events;
    void (*ready)(void *arg, int events); /* NULL: closed */
    void *arg;
    struct watch *next; /* closed in this turn */
};

struct watch *watch_open(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg)
{
    struct watch *w = mem_new(struct watch);
    *w = (struct watch){.loop = l, .fd = fd, .ready = ready, .arg = arg};
    return w;
}

static uint32_t bits_of(int events)
{
    uint32_t bits = 0;
    if ((events & UV_READABLE) != 0) { bits |= EPOLLIN; }
    if ((events & UV_WRITABLE) != 0) { bits |= EPOLLOUT; }
    if ((events & WATCH_EDGE) != 0) { bits |= EPOLLET; }
    return bits;
}

void watch_want(struct watch *w, int events)
{
    if (events == w->events) { return; }
    struct epoll_event e = {.events = bits_of(events), .data.ptr = w};
    int how = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    w->events = events;
    if (epoll_ctl(w->loop->epoll, how, w->fd, &e) != 0) {
        abort();
    } /* no memory, or not a socket */
}

int watch_wanted(const struct watch *w)
{
    return w->events;
}

void watch_close(struct watch **pw)
{
    struct watch *w = *pw;
    if (w == NULL) { return; }
    *pw = NULL;
    watch_want(w, 0);
    w->ready = NULL;
    /* An event of this turn may still name it. */
    w->next = w->loop->closed;
    w->loop->closed = w;
}

void watch_bury(struct loop *l)
{
    struct watch *w;
    while ((w = l->closed) != NULL) {
        l->closed = w->next;
        mem_free(&w);
    }
}

void watch_tell(void *entry, uint32_t bits)
{
    struct watch *w = entry;
    if (w->ready == NULL) { return; }
    int events =
        ((bits & EPOLLIN) != 0 ? UV_READABLE : 0) | ((bits & EPOLLOUT) != 0 ? UV_WRITABLE : 0);
    if ((bits & EPOLLHUP) != 0) { events |= w->events; }
    events &= w->events;
    if ((bits & EPOLLERR) != 0) {
        /* What was read before the error may not be all. Who does not read now may do nothing about
         * it now: told again and again, it would spin. */
        if ((w->events & UV_READABLE) == 0) { watch_want(w, 0); }
        events = UV_READABLE | UV_WRITABLE;
    }
    if (events != 0) { w->ready(w->arg, events); }
}
