/*
 * SUSPEND: nothing is read any more from clients and servers, and what was to be written to them is
 * written; nobody is let in. Only the consoles go on. RESUME and SIGUSR2 end it. Control thread.
 */
#pragma once

#include "worker/worker.h"

struct suspend {
    struct crew *crew;
    struct loop *loop; /* the control thread's */
    struct shared *shared;
    struct timer timer;
    int64_t until_us; /* who is not at rest then is thrown out */
    bool running;     /* a round of the workers is on its way */

    /* ---- who waits for it */
    struct loop *back; /* NULL: nobody */
    void (*done)(void *arg, const struct fault *why);
    void *arg;
};

void suspend_init(struct suspend *s, struct crew *crew, struct loop *l, struct shared *shared);
/* done() comes on `back`: NULL when all is at rest, or why not. */
void suspend_begin(struct suspend *s, int64_t timeout_us, struct loop *back,
                   void (*done)(void *arg, const struct fault *why), void *arg);
bool suspend_is_wanted(const struct suspend *s);
/* Goes on as before; nothing, when nothing is suspended. Who still waits is told so. */
void suspend_end(struct suspend *s);
