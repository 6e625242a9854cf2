/* The loop's parts put together; the mailbox is a locked list and one uv_async_t. */
#include "net/loop.h"

#include <assert.h>

#include "base/clock.h"
#include "base/mem.h"

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

/* Before the wait: what timers deferred. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    open_deferred(l);
    l->woken = false;
}

/* After the events of this turn: what they deferred. */
static void on_check(uv_check_t *check)
{
    open_deferred(check->data);
}

static void on_async(uv_async_t *async)
{
    loop_woke(async->data);
    open_letters(async->data);
}

static void tick(uv_loop_t *uv)
{
    loop_tick(uv->data);
}

void loop_init(struct loop *l)
{
    int rc = uv_loop_init(&l->uv);
    assert(rc == 0);
    l->uv.data = l;
    lock_init(&l->mailbox_lock, RANK_MAILBOX);
    dlist_init(&l->mailbox);
    l->async = mem_new(uv_async_t);
    rc = uv_async_init(&l->uv, l->async, on_async);
    assert(rc == 0);
    l->async->data = l;
    dlist_init(&l->deferred);
    l->prepare = mem_new(uv_prepare_t);
    (void)uv_prepare_init(&l->uv, l->prepare);
    l->prepare->data = l;
    (void)uv_prepare_start(l->prepare, on_prepare);
    l->check = mem_new(uv_check_t);
    (void)uv_check_init(&l->uv, l->check);
    l->check->data = l;
    (void)uv_check_start(l->check, on_check);
    timers_init(&l->timers, &l->uv);
    l->timers.tick = tick;
    l->spare = (struct buf){0};
    l->names = NULL;
    l->tls = NULL;
    l->wall_read_us = 0;
    loop_tick(l);
    l->scratch = mem_try(LOOP_READ_BYTES);
    assert(l->scratch != NULL);
}

void loop_run(struct loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *l)
{
    uv_stop(&l->uv);
}

static void free_handle(uv_handle_t *handle)
{
    mem_free(&handle);
}

void loop_done(struct loop *l)
{
    open_letters(l);
    open_deferred(l);
    uv_close((uv_handle_t *)l->prepare, free_handle);
    uv_close((uv_handle_t *)l->check, free_handle);
    uv_close((uv_handle_t *)l->async, free_handle);
    timers_done(&l->timers);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    open_letters(l);
    open_deferred(l);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0);
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
    dlist_push_back(&l->mailbox, &letter->node);
    (void)uv_async_send(
        l->async); /* under the lock: the loop closes it only after a last look here */
    lock_drop(&l->mailbox_lock);
}

void loop_unpost(struct loop *l, struct letter *letter)
{
    lock_take(&l->mailbox_lock);
    dlist_remove(&letter->node);
    lock_drop(&l->mailbox_lock);
}
