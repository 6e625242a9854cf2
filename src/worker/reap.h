/* Now and then: what nobody uses any more is taken out and freed; pool/reap.h. Control thread. */
#pragma once

#include "worker/monitor.h"
#include "worker/worker.h"

struct reaper {
    struct crew *crew;
    struct registry *registry;
    struct monitors *monitors;
    struct shared *shared;
    struct loop *loop;
    struct timer timer;
    bool stopped;
    size_t freed; /* since the memory was given back */
};

void reaper_start(struct reaper *r);
/* Rounds that are under way come to nothing. */
void reaper_stop(struct reaper *r);
