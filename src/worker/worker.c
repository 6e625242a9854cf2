/* Threads, accepting, and the upkeep that is due now and then. */
#include "worker/worker.h"

#include <assert.h>
#include <unistd.h>

#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/resolve.h"
#include "pool/reap.h"
#include "server/tuning.h"

enum { UPKEEP_US = 333333, TIDY_EVERY = 3, ACCEPT_PAUSE_US = 100000, WORKER_STACK = 64 << 20 };

struct worker {
    struct crew *crew;
    uv_thread_t thread;
    struct loop loop;
    struct front front;
    struct timer upkeep;
    unsigned upkeeps;
    uint64_t names_turn; /* up to which servers were looked at */
    struct timer accept_again;
};

struct door { /* a listening socket */
    struct worker *worker;
    struct watch *watch;
    int fd;
};

struct crew {
    struct worker *workers;
    unsigned count;
    struct loop **loops;
    struct front **fronts;
    struct registry *registry;
    struct cache *cache;
    struct exchange *exchange; /* LISTEN; its home is the first worker */
    const struct admin_hooks *hooks;
    struct door *doors;
    size_t doors_count;
};

struct arrival { /* an accepted socket on its way to its worker */
    struct letter letter;
    struct front *front;
    int fd;
    struct address peer;
};

struct crew *crew_new(unsigned count, struct resolver *resolver, const struct admin_hooks *hooks)
{
    struct crew *c = mem_new(struct crew);
    c->count = count;
    c->hooks = hooks;
    c->workers = mem_array(struct worker, count);
    c->loops = mem_array(struct loop *, count);
    c->fronts = mem_array(struct front *, count);
    for (unsigned i = 0; i < count; i++) {
        struct worker *w = &c->workers[i];
        w->crew = c;
        loop_init(&w->loop);
        resolver_serve(resolver, &w->loop);
        w->loop.index = i;
        dlist_init(&w->front.clients);
        c->loops[i] = &w->loop;
        c->fronts[i] = &w->front;
    }
    return c;
}

struct loop **crew_loops(struct crew *c)
{
    return c->loops;
}

unsigned crew_count(const struct crew *c)
{
    return c->count;
}

unsigned crew_clients(const struct crew *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->count; i++) {
        const struct front *f = &c->workers[i].front;
        unsigned all = atomic_load(&f->clients_count); /* first: a console leaves both */
        unsigned consoles = atomic_load(&f->consoles_count);
        n += all > consoles ? all - consoles : 0;
    }
    return n;
}

/* ---- accepting ------------------------------------------------------------------------------- */

static void open_arrival(struct letter *l)
{
    struct arrival *a = container_of(l, struct arrival, letter);
    client_accept(a->front, a->fd, &a->peer);
    mem_free(&a);
}

static void hand_out(struct crew *c, int fd, const struct address *peer)
{
    struct worker *to = &c->workers[0];
    for (unsigned i = 1; i < c->count; i++) {
        struct worker *w = &c->workers[i];
        if (atomic_load(&w->front.clients_count) < atomic_load(&to->front.clients_count)) {
            to = w;
        }
    }
    if (to == &c->workers[0]) {
        client_accept(&to->front, fd, peer);
        return;
    }
    struct arrival *a = mem_new(struct arrival);
    a->letter.open = open_arrival;
    a->front = &to->front;
    a->fd = fd;
    a->peer = *peer;
    loop_post(&to->loop, &a->letter);
}

/*
 * One: who else waits is told in the next turn, which costs less than to find nobody each time.
 * E_AGAIN: nobody is left; E_LIMIT: out of descriptors.
 */
static enum err let_in(struct door *d)
{
    int fd;
    struct address peer;
    enum err e = socket_accept(d->fd, &fd, &peer);
    if (e == E_OK) { hand_out(d->worker->crew, fd, &peer); }
    return e;
}

static void on_door(void *arg, int events)
{
    struct door *d = arg;
    struct crew *c = d->worker->crew;
    (void)events;
    if (let_in(d) != E_LIMIT) { return; }
    /* Look again when some descriptors may be free. */
    log_warn(NULL, "event=accept_paused reason=\"out of file descriptors\" ms=%d",
             (int)(ACCEPT_PAUSE_US / US_PER_MS));
    for (size_t k = 0; k < c->doors_count; k++) { watch_want(c->doors[k].watch, 0); }
    timer_set(&d->worker->loop.timers, &d->worker->accept_again, clock_now_us() + ACCEPT_PAUSE_US);
}

static void on_accept_again(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, accept_again);
    for (size_t k = 0; k < w->crew->doors_count; k++) {
        watch_want(w->crew->doors[k].watch, UV_READABLE);
    }
}

static void open_door(struct door *d)
{
    d->watch = watch_open(&d->worker->loop, d->fd, on_door, d);
    watch_want(d->watch, UV_READABLE);
}

/* The first worker's. */
static void tune_doors(struct worker *w)
{
    const struct crew *c = w->crew;
    const struct options *o = &w->front.config->o;
    for (size_t i = 0; w == &c->workers[0] && i < c->doors_count; i++) {
        socket_defer_accept(c->doors[i].fd, tuning_defers_accept(o));
        socket_tune_listener(c->doors[i].fd, o->tcp_keepalive);
    }
}

static void open_doors(struct crew *c, struct listeners *ls)
{
    struct worker *w = &c->workers[0];
    c->doors = mem_array(struct door, ls->count);
    c->doors_count = ls->count;
    for (size_t i = 0; i < ls->count; i++) {
        struct door *d = &c->doors[i];
        d->worker = w;
        d->fd = ls->fds[i];
        open_door(d);
    }
    mem_free(&ls->fds);
    ls->count = 0;
    tune_doors(w);
}

unsigned crew_doors(const struct crew *c, int *fds, unsigned room)
{
    unsigned n = 0;
    for (; n < c->doors_count && n < room; n++) { fds[n] = c->doors[n].fd; }
    return n;
}

static void close_door(struct door *d)
{
    watch_close(&d->watch);
    (void)close(d->fd);
}

void worker_hush_doors(struct worker *w)
{
    struct crew *c = w->crew;
    for (size_t i = 0; w == &c->workers[0] && i < c->doors_count; i++) {
        socket_hush(c->doors[i].fd);
    }
}

/*
 * Another process may listen on the same port (so_reuseport): the kernel has shared out the
 * connections already, and those in our queue would be reset by the close. They are ours to serve.
 */
void worker_close_tcp_doors(struct worker *w)
{
    struct crew *c = w->crew;
    if (w != &c->workers[0]) { return; }
    size_t kept = 0;
    for (size_t i = 0; i < c->doors_count; i++) {
        if (socket_is_unix(c->doors[i].fd)) {
            if (i != kept) {
                watch_close(&c->doors[i].watch);
                c->doors[kept] = c->doors[i];
                open_door(&c->doors[kept]);
            }
            kept++;
            continue;
        }
        while (let_in(&c->doors[i]) == E_OK) {}
        socket_unhush(c->doors[i].fd);
        close_door(&c->doors[i]);
    }
    c->doors_count = kept;
}

void worker_close_doors(struct worker *w)
{
    struct crew *c = w->crew;
    if (w != &c->workers[0]) { return; }
    timer_clear(&w->loop.timers, &w->accept_again);
    for (size_t i = 0; i < c->doors_count; i++) { close_door(&c->doors[i]); }
    c->doors_count = 0;
}

/* ---- upkeep ---------------------------------------------------------------------------------- */

struct pools {
    struct pool **list;
    size_t count;
};

static void add_pools(struct account *a, void *arg)
{
    struct pools *ps = arg;
    size_t nodes = a->shares_pools ? 0 : a->database->topology->count;
    ps->list = mem_grow(ps->list, ps->count + nodes, sizeof *ps->list);
    for (size_t i = 0; i < nodes; i++) { ps->list[ps->count++] = a->pools[i]; }
}

/* Pools live until the callback ends at least: the list may be walked without the lock. */
static void each_pool(struct worker *w, void (*act)(struct pool *p, struct loop *l))
{
    struct pools ps = {0};
    registry_each_account(w->crew->registry, add_pools, &ps);
    for (size_t i = 0; i < ps.count; i++) { act(ps.list[i], &w->loop); }
    mem_free(&ps.list);
}

static void tidy(struct pool *p, struct loop *l)
{
    pool_tidy(p, l, clock_now_us());
}

static void fill(struct pool *p, struct loop *l)
{
    pool_fill(p, l, clock_now_us());
}

static void follow_names(struct worker *w)
{
    uint64_t turn = atomic_load(&w->loop.names->turn);
    if (turn == w->names_turn) { return; }
    w->names_turn = turn;
    each_pool(w, pool_follow_names);
}

static void on_upkeep(struct timer *t)
{
    struct worker *w = container_of(t, struct worker, upkeep);
    if (atomic_load(&w->front.shared->rest) == REST_NONE) { /* else time stands still */
        if (w->upkeeps++ % TIDY_EVERY == 0) {
            if (w == &w->crew->workers[0]) { names_sweep(w->loop.names, clock_now_us()); }
            each_pool(w, tidy);
            if (w->loop.index == 0) {
                each_pool(w, fill);
                each_pool(w, pool_refresh_name);
            }
            follow_names(w);
        }
        request_check_limits(&w->front);
    }
    timer_set(&w->loop.timers, &w->upkeep, clock_now_us() + UPKEEP_US);
}

/* ---- acts ------------------------------------------------------------------------------------ */

void worker_drain(struct worker *w)
{
    front_drain(&w->front, false);
}

void worker_drain_hasty(struct worker *w)
{
    front_drain(&w->front, true);
}

void worker_sweep(struct worker *w)
{
    front_sweep(&w->front);
}

void worker_close_clients(struct worker *w)
{
    front_close_all(&w->front);
}

void worker_configure(struct worker *w)
{
    config_unref(&w->front.config);
    w->front.config = registry_config(w->crew->registry);
    tune_doors(w);
    each_pool(w, tidy); /* limits may have grown */
}

void worker_settle(struct worker *w)
{
    (void)w;
}

void worker_tidy(struct worker *w)
{
    each_pool(w, tidy);
}

void worker_forget(struct worker *w)
{
    size_t count;
    const uint32_t *ids = registry_doomed(w->crew->registry, &count);
    for (size_t i = 0; i < count && w->front.desk != NULL; i++) {
        desk_forget(w->front.desk, ids[i]);
    }
}

void worker_close_servers(struct worker *w)
{
    timer_clear(&w->loop.timers, &w->upkeep);
    if (w == &w->crew->workers[0]) { exchange_close(w->crew->exchange); }
    each_pool(w, pool_shutdown);
    struct desk *desk = w->front.desk;
    desk_free(&desk);
    w->front.desk = NULL;
}

/* ---- SUSPEND --------------------------------------------------------------------------------- */

static void want_doors(struct worker *w, int events)
{
    struct crew *c = w->crew;
    if (w != &c->workers[0]) { return; }
    timer_clear(&w->loop.timers, &w->accept_again);
    for (size_t i = 0; i < c->doors_count; i++) { watch_want(c->doors[i].watch, events); }
}

static bool is_empty(const struct stream *s)
{
    return buf_len(&s->in) == 0 && stream_unwritten(s) == 0;
}

static void rest_client(struct client *c, bool forced, unsigned *restless)
{
    if (c->console_user != NULL || c->state == CLIENT_CLOSED) { return; }
    if (c->state == CLIENT_READY && !client_is_waiting(c) && is_empty(&c->stream)) {
        stream_hold(&c->stream, true);
    } else if (forced) {
        struct fault why;
        (void)fault_set(&why, E_SHUTDOWN, "suspend_timeout");
        client_fail(c, &why);
    } else {
        ++*restless;
    }
}

static void each_server(struct worker *w, void (*act)(const struct server_seen *seen, void *arg),
                        void *arg)
{
    struct account_roll roll = roll_accounts(w->crew->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct server_roll seen = {0};
        roll_servers(roll.items[i], &w->loop, &seen);
        for (size_t k = 0; k < seen.count; k++) { act(&seen.items[k], arg); }
        mem_free(&seen.items);
    }
    mem_free(&roll.items);
}

static void rest_server(const struct server_seen *seen, void *arg)
{
    struct server *s = seen->server;
    bool still = seen->state == SERVER_IDLE || seen->state == SERVER_ACTIVE;
    if (still && s->left == 0 && is_empty(&s->stream)) {
        stream_hold(&s->stream, true);
    } else {
        ++*(unsigned *)arg;
    }
}

void worker_rest(struct worker *w)
{
    unsigned restless = 0;
    bool forced = atomic_load(&w->front.shared->rest) == REST_FORCED;
    want_doors(w, 0);
    dlist_each (node, &w->front.clients) {
        rest_client(container_of(node, struct client, node), forced, &restless);
    }
    each_server(w, rest_server, &restless);
    atomic_fetch_add(&w->front.shared->restless, restless);
}

static void raise_server(const struct server_seen *seen, void *arg)
{
    (void)arg;
    stream_hold(&seen->server->stream, false);
}

void worker_get_up(struct worker *w)
{
    want_doors(w, UV_READABLE);
    dlist_each (node, &w->front.clients) {
        stream_hold(&container_of(node, struct client, node)->stream, false);
    }
    each_server(w, raise_server, NULL);
}

struct errand {
    struct crew *crew;
    void (*act)(struct worker *w);
    struct loop *back;
    void (*done)(void *arg);
    void *arg;
    _Atomic unsigned left;
    struct letter home;
    struct task {
        struct letter letter;
        struct errand *errand;
        struct worker *worker;
    } tasks[];
};

static void open_home(struct letter *l)
{
    struct errand *e = container_of(l, struct errand, home);
    void (*done)(void *) = e->done;
    void *arg = e->arg;
    mem_free(&e);
    if (done != NULL) { done(arg); }
}

static void open_task(struct letter *l)
{
    struct task *t = container_of(l, struct task, letter);
    struct errand *e = t->errand;
    e->act(t->worker);
    if (atomic_fetch_sub(&e->left, 1) == 1) {
        e->home.open = open_home;
        loop_post(e->back, &e->home);
    }
}

void crew_each(struct crew *c, void (*act)(struct worker *w), struct loop *back,
               void (*done)(void *arg), void *arg)
{
    struct errand *e = mem_zeroed(sizeof *e + c->count * sizeof(struct task));
    e->crew = c;
    e->act = act;
    e->back = back;
    e->done = done;
    e->arg = arg;
    atomic_store(&e->left, c->count);
    unsigned count = c->count; /* e is gone once the last task ran */
    for (unsigned i = 0; i < count; i++) {
        struct task *t = &e->tasks[i];
        t->letter.open = open_task;
        t->errand = e;
        t->worker = &c->workers[i];
    }
    for (unsigned i = 0; i < count; i++) { loop_post(&c->workers[i].loop, &e->tasks[i].letter); }
}

/* ---- the threads ----------------------------------------------------------------------------- */

static void run_worker(void *arg)
{
    struct worker *w = arg;
    loop_run(&w->loop);
}

void crew_start(struct crew *c, struct registry *r, struct cache *cache, struct shared *shared,
                struct listeners *listeners)
{
    c->registry = r;
    c->cache = cache;
    c->exchange = exchange_new(&c->workers[0].loop);
    for (unsigned i = 0; i < c->count; i++) {
        struct worker *w = &c->workers[i];
        w->front.loop = &w->loop;
        w->front.registry = r;
        w->front.config = registry_config(r);
        w->front.shared = shared;
        w->front.ops = &request_ops;
        w->front.console = &admin_ops;
        w->front.desk = desk_new(&w->front, cache, c->exchange);
        w->front.office = office_new(&w->front, c->fronts, c->count, cache, c->hooks);
        w->upkeep.due = on_upkeep;
        w->accept_again.due = on_accept_again;
        timer_set(&w->loop.timers, &w->upkeep, clock_now_us() + UPKEEP_US);
    }
    open_doors(c, listeners);
    const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE,
                                         .stack_size = WORKER_STACK};
    for (unsigned i = 0; i < c->count; i++) {
        int rc = uv_thread_create_ex(&c->workers[i].thread, &options, run_worker, &c->workers[i]);
        assert(rc == 0);
    }
}

static void open_stop(struct letter *l)
{
    struct task *t = container_of(l, struct task, letter);
    loop_stop(&t->worker->loop);
}

void crew_stop(struct crew **pc)
{
    struct crew *c = *pc;
    *pc = NULL;
    struct task *tasks = mem_array(struct task, c->count);
    for (unsigned i = 0; i < c->count; i++) {
        tasks[i].letter.open = open_stop;
        tasks[i].worker = &c->workers[i];
        loop_post(&c->workers[i].loop, &tasks[i].letter);
    }
    for (unsigned i = 0; i < c->count; i++) { (void)uv_thread_join(&c->workers[i].thread); }
    mem_free(&tasks);
    crew_drop(&c);
}

void crew_drop(struct crew **pc)
{
    struct crew *c = *pc;
    *pc = NULL;
    for (unsigned i = 0; i < c->count; i++) {
        struct office *office = c->workers[i].front.office;
        office_free(&office);
        config_unref(&c->workers[i].front.config);
        loop_done(&c->workers[i].loop);
    }
    mem_free(&c->doors);
    mem_free(&c->workers);
    mem_free(&c->loops);
    mem_free(&c->fronts);
    exchange_free(&c->exchange);
    mem_free(&c);
}
