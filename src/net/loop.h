/*
 * One thread's event loop: one epoll set, one clock reading per turn, one heap of deadlines behind
 * a single timer, one mailbox that other threads post to, and one read buffer that all its streams
 * share. Everything but loop_post() belongs to the loop's own thread.
 * The descriptors of the data plane are entries of that set (watch.h); a libuv loop, for all that
 * is not (libpq, Redis, signals), is one entry of it. Watched by libuv each
 * descriptor would cost five system calls and a control message instead of one, at each connection
 * and at each move between workers, and four times the memory.
 */
#pragma once

#include <uv.h>

#include "base/buf.h"
#include "base/dlist.h"
#include "base/sync.h"
#include "net/timer.h"

enum { LOOP_READ_BYTES = 65536 };

struct names;
struct resolver;

struct letter { /* embedded in what is sent; owned by the receiver from loop_post() on */
    struct dlist node;
    void (*open)(struct letter *l);
};

/* Embedded in what belongs to nobody and ends by an event, which may not come before the loop's
 * end: loop_done() drops what is left. */
struct leftover {
    struct dlist node; /* of the loop's */
    void (*drop)(struct leftover *l);
};

struct loop {
    uv_loop_t uv;
    int epoll;
    struct watch *closed; /* in this turn; watch.c */
    struct watch *uv_watch;
    uv_prepare_t *uv_keeper; /* keeps it alive: without a handle it would not run at all */
    bool
        uv_always; /* it is run before each wait: its handles begin to watch outside of callbacks */
    bool stopped;
    struct timers timers;
    int wake_fd;
    struct watch *wake;
    struct lock mailbox_lock;
    struct dlist mailbox;
    struct dlist deferred; /* letters to self, opened before the next wait for events */
    struct dlist leftovers;
    uint8_t *scratch;          /* LOOP_READ_BYTES; valid within one callback */
    unsigned index;            /* of its worker */
    struct names *names;       /* what host names mean, for all loops; NULL: numbers only */
    struct resolver *resolver; /* whom it asks for them */
    int64_t now_us, wall_offset_us, wall_read_us;
    struct buf spare;     /* memory that one stream gave back and the next takes */
    struct loop_tls *tls; /* room for records, once a stream of this loop needs it; stream.c */
};

void loop_init(struct loop *l);
/* Runs until loop_stop() is called on it. */
void loop_run(struct loop *l);
/* One round: what was deferred, the events that are there, or come when it may wait for them. */
void loop_turn(struct loop *l, bool wait);
void loop_stop(struct loop *l);
/* Drops leftovers, closes the loop's own handles, runs what is left, opens what is in the mailbox.
 */
void loop_done(struct loop *l);
/*
 * When this turn's events came, monotonic microseconds: read once per turn, for deadlines and
 * statistics. What must be later than something another thread or machine did reads clock_now_us()
 * itself.
 */
static inline int64_t loop_now(const struct loop *l)
{
    return l->now_us;
}
/* The same on the wall clock, for people. */
static inline int64_t loop_wall(const struct loop *l)
{
    return l->now_us + l->wall_offset_us;
}
/* Reads the clock. */
void loop_tick(struct loop *l);
/* Own thread: open() runs before the loop waits again, in order, without a system call. */
void loop_defer(struct loop *l, struct letter *letter);
/* Any thread: open() runs later on the loop's thread, in the order of posting. */
void loop_post(struct loop *l, struct letter *letter);
/* Own thread: the letter is not opened; harmless when it was. */
void loop_unpost(struct loop *l, struct letter *letter);
