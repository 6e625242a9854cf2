/* The loop's parts put together; the mailbox is a locked list and one eventfd. */
#include "net/loop.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/watch.h"

static void open_letters(struct loop *l)
{
    for (;;) {
        lock_take(&l->mailbox_lock);
        struct dlist *node = dlist_pop_front(&l->mailbox);
        lock_drop(&l->mailbox_lock);
        if (node == NULL) { return; }
        struct letter *letter = container_of(node, struct letter, node);
        letter->open(letter);
    }
}

static void open_deferred(struct loop *l)
{
    struct dlist *node;
    while ((node = dlist_pop_front(&l->deferred)) != NULL) {
        struct letter *letter = container_of(node, struct letter, node);
        letter->open(letter);
    }
}

/* Its edge is seen once for each write: nothing need be read. */
static void on_wake(void *arg, int events)
{
    (void)events;
    open_letters(arg);
}

/* Twice: what the callbacks of a round begin to watch the kernel hears of in the next one. */
static void run_uv(struct loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
}

static void on_uv(void *arg, int events)
{
    (void)events;
    run_uv(arg);
}

static void keep(uv_prepare_t *handle)
{
    (void)handle;
}

static void open_uv(struct loop *l)
{
    int rc = uv_loop_init(&l->uv);
    assert(rc == 0);
    l->uv.data = l;
    l->uv_keeper = mem_new(uv_prepare_t);
    (void)uv_prepare_init(&l->uv, l->uv_keeper);
    (void)uv_prepare_start(l->uv_keeper, keep);
    l->uv_watch = watch_open(l, uv_backend_fd(&l->uv), on_uv, l);
    watch_want(l->uv_watch, UV_READABLE);
    l->uv_always = false;
    run_uv(l);
}

void loop_init(struct loop *l)
{
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert(l->epoll >= 0);
    l->closed = NULL;
    l->stopped = false;
    open_uv(l);
    lock_init(&l->mailbox_lock, RANK_MAILBOX);
    dlist_init(&l->mailbox);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(l->wake_fd >= 0);
    l->wake = watch_open(l, l->wake_fd, on_wake, l);
    watch_want(l->wake, UV_READABLE | WATCH_EDGE);
    dlist_init(&l->leftovers);
    dlist_init(&l->deferred);
    timers_init(&l->timers, l);
    l->spare = (struct buf){0};
    l->names = NULL;
    l->resolver = NULL;
    l->tls = NULL;
    l->wall_read_us = 0;
    loop_tick(l);
    l->scratch = mem_try(LOOP_READ_BYTES);
    assert(l->scratch != NULL);
}

/* Lets libuv do what it has to do by now, and returns for how long it has nothing to do; -1: for
 * ever. */
static int serve_uv(struct loop *l)
{
    uv_update_time(&l->uv);
    int left_ms = uv_backend_timeout(&l->uv);
    if (left_ms != 0 && !l->uv_always) { return left_ms; }
    run_uv(l);
    return uv_backend_timeout(&l->uv);
}

void loop_turn(struct loop *l, bool wait)
{
    enum { MOST = 128 };
    struct epoll_event events[MOST];
    int timeout_ms;
    do { /* what was deferred may give libuv something to do, and the other way round */
        open_deferred(l);
        timeout_ms = serve_uv(l);
    } while (!dlist_empty(&l->deferred));
    int n = epoll_wait(l->epoll, events, MOST, wait && !l->stopped ? timeout_ms : 0);
    assert(n >= 0 || errno == EINTR);
    if (n > 0) { loop_tick(l); }
    for (int i = 0; i < n; i++) { watch_tell(events[i].data.ptr, events[i].events); }
    open_deferred(l);
    watch_bury(l);
}

void loop_run(struct loop *l)
{
    while (!l->stopped) { loop_turn(l, true); }
    l->stopped = false;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

static void free_handle(uv_handle_t *handle)
{
    mem_free(&handle);
}

void loop_done(struct loop *l)
{
    for (struct dlist *node; (node = dlist_pop_front(&l->leftovers)) != NULL;) {
        struct leftover *left = container_of(node, struct leftover, node);
        left->drop(left);
    }
    open_letters(l);
    open_deferred(l);
    timers_done(&l->timers);
    uv_close((uv_handle_t *)l->uv_keeper, free_handle);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    open_letters(l);
    open_deferred(l);
    watch_close(&l->uv_watch);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0);
    watch_close(&l->wake);
    watch_bury(l);
    (void)close(l->wake_fd);
    (void)close(l->epoll);
    mem_free(&l->scratch);
    buf_done(&l->spare);
    mem_free(&l->tls);
    lock_done(&l->mailbox_lock);
}

void loop_tick(struct loop *l)
{
    enum { READ_WALL_US = 1000000 };
    l->now_us = clock_now_us();
    if (l->now_us - l->wall_read_us > READ_WALL_US ||
        l->wall_read_us == 0) { /* it may be set meanwhile */
        l->wall_read_us = l->now_us;
        l->wall_offset_us = clock_wall_us() - l->now_us;
    }
}

void loop_defer(struct loop *l, struct letter *letter)
{
    dlist_push_back(&l->deferred, &letter->node);
}

void loop_post(struct loop *l, struct letter *letter)
{
    lock_take(&l->mailbox_lock);
    bool first = dlist_empty(&l->mailbox);
    dlist_push_back(&l->mailbox, &letter->node);
    /* Under the lock: the loop closes it only after a last look here. */
    if (first) { (void)eventfd_write(l->wake_fd, 1); }
    lock_drop(&l->mailbox_lock);
}

void loop_unpost(struct loop *l, struct letter *letter)
{
    lock_take(&l->mailbox_lock);
    dlist_remove(&letter->node);
    lock_drop(&l->mailbox_lock);
}
