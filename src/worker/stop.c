/* Each stage begins when all workers have done the one before. */
#include "worker/stop.h"

#include "base/clock.h"
#include "base/log.h"
#include "worker/notify.h"

enum {
    LOOK_US = 20000,
    SWEEP_US = 200000,
    HANDSHAKE_US = 250000, /* longer than who has begun to connect needs to come through */
};

/* ---- closing: clients, then servers, then the loop ------------------------------------------- */

static void stop_loop(void *arg)
{
    struct stop *s = arg;
    loop_stop(s->loop);
}

static void close_servers(void *arg)
{
    struct stop *s = arg;
    crew_each(s->crew, worker_close_servers, s->loop, stop_loop, s);
}

/* Servers on their way between workers arrive before the next round, whichever way they go. */
static void settle_again(void *arg)
{
    struct stop *s = arg;
    crew_each(s->crew, worker_settle, s->loop, close_servers, s);
}

static void settle(void *arg)
{
    struct stop *s = arg;
    crew_each(s->crew, worker_settle, s->loop, settle_again, s);
}

static void close_clients(void *arg)
{
    struct stop *s = arg;
    crew_each(s->crew, worker_close_clients, s->loop, settle, s);
}

void stop_now(struct stop *s)
{
    if (s->state == CLOSING) { return; }
    if (s->state == RUNNING) { notify_send("STOPPING=1\nSTATUS=stopping at once"); }
    s->state = CLOSING;
    timer_clear(&s->loop->timers, &s->timer);
    crew_each(s->crew, worker_close_doors, s->loop, close_clients, s);
}

/* ---- draining -------------------------------------------------------------------------------- */

static void look(struct stop *s)
{
    int64_t now_us = clock_now_us();
    unsigned clients = crew_clients(s->crew);
    bool late = s->until_us != 0 && now_us >= s->until_us;
    if (clients == 0 || late) {
        if (late) { log_warn(NULL, "event=drain_late clients=%u next=\"closing them\"", clients); }
        stop_now(s);
        return;
    }
    if (now_us >= s->sweep_us) {
        s->sweep_us = now_us + SWEEP_US;
        crew_each(s->crew, worker_sweep, s->loop, NULL, NULL);
    }
    timer_set(&s->loop->timers, &s->timer, now_us + LOOK_US);
}

static void drain_clients(void *arg)
{
    struct stop *s = arg;
    if (s->state != DRAINING) { return; }
    crew_each(s->crew, s->hasty ? worker_drain_hasty : worker_drain, s->loop, NULL, NULL);
    s->sweep_us = clock_now_us() + FRONT_GRACE_US;
    timer_set(&s->loop->timers, &s->timer, clock_now_us() + LOOK_US);
}

static void close_doors(struct stop *s)
{
    s->state = DRAINING;
    crew_each(s->crew, worker_close_tcp_doors, s->loop, drain_clients, s);
}

static void wait_for_handshakes(void *arg)
{
    struct stop *s = arg;
    if (s->state == HUSHED) {
        timer_set(&s->loop->timers, &s->timer, clock_now_us() + HANDSHAKE_US);
    }
}

static void on_timer(struct timer *t)
{
    struct stop *s = container_of(t, struct stop, timer);
    if (s->state == HUSHED) {
        close_doors(s);
    } else {
        look(s);
    }
}

void stop_drain(struct stop *s, bool hasty, int64_t most_us, bool shared_port)
{
    enum { CLOSING_US = 10000000 }; /* what comes after it takes less */
    if (s->state == CLOSING) { return; }
    s->hasty = hasty;
    s->until_us = most_us > 0 ? clock_now_us() + most_us : 0;
    notify_send("STOPPING=1\nSTATUS=waiting for transactions to end\nEXTEND_TIMEOUT_USEC=%lld",
                (long long)most_us + CLOSING_US);
    if (s->state == DRAINING) {
        drain_clients(s);
    } else if (s->state == RUNNING && shared_port) {
        s->state = HUSHED;
        crew_each(s->crew, worker_hush_doors, s->loop, wait_for_handshakes, s);
    } else if (s->state == RUNNING) {
        close_doors(s);
    }
}

void stop_init(struct stop *s, struct crew *crew, struct loop *l)
{
    *s = (struct stop){.crew = crew, .loop = l, .timer.due = on_timer};
}

void stop_done(struct stop *s)
{
    timer_clear(&s->loop->timers, &s->timer);
}
