/* A look three times a second, and two rounds through the workers for what it found. */
#include "worker/reap.h"

#include <malloc.h>

#include "base/clock.h"
#include "pool/reap.h"

enum { LOOK_US = 333333, MANY = 200 };

static void look_again(struct reaper *r)
{
    timer_set(&r->loop->timers, &r->timer, clock_now_us() + LOOK_US);
}

static void second_is_over(void *arg)
{
    struct reaper *r = arg;
    if (r->stopped) { return; }
    r->freed += registry_reap(r->registry);
    if (r->freed >= MANY) { /* of some 20 kB each: the system shall have them back */
        (void)malloc_trim(0);
        r->freed = 0;
    }
    look_again(r);
}

static void first_is_over(void *arg)
{
    struct reaper *r = arg;
    if (!r->stopped) { crew_each(r->crew, worker_settle, r->loop, second_is_over, r); }
}

static void on_look(struct timer *t)
{
    struct reaper *r = container_of(t, struct reaper, timer);
    bool found = false;
    if (atomic_load(&r->shared->rest) == REST_NONE) { /* else time stands still */
        found = registry_doom(r->registry, clock_now_us());
        monitors_leave(r->monitors);
    }
    if (found) {
        crew_each(r->crew, worker_forget, r->loop, first_is_over, r);
    } else {
        look_again(r);
    }
}

void reaper_start(struct reaper *r)
{
    r->timer.due = on_look;
    look_again(r);
}

void reaper_stop(struct reaper *r)
{
    r->stopped = true;
    timer_clear(&r->loop->timers, &r->timer);
}
