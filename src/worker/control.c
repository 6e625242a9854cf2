/* Start, reload, stop; everything between happens on the workers. */
#include "worker/control.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/keyring.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker/monitor.h"
#include "worker/worker.h"

enum { DRAIN_LOOK_US = 20000, DRAIN_MOST_US = 60 * 1000000 };

enum stopping { RUNNING, DRAINING, CLOSING };

struct control {
    struct loop loop;
    struct crew *crew;
    struct registry *registry;
    struct cache *cache;
    struct shared *shared;
    struct config *config;
    struct userlist *users;
    struct buf users_file; /* its bytes, to see whether a reload changed it */
    struct admin_hooks hooks;
    struct monitors *monitors;
    uv_signal_t *signals[6];
    struct timer drain;
    int64_t drain_until_us; /* 0: no limit */
    enum stopping stopping;
};

/* ---- configuration --------------------------------------------------------------------------- */

static enum err read_file(const char *path, struct buf *out)
{
    if (path[0] == '\0') { return E_OK; }
    FILE *f = fopen(path, "rb");
    if (f == NULL) { return E_IO; }
    size_t got;
    do {
        uint8_t *at = buf_reserve(out, 4096);
        got = fread(at, 1, 4096, f);
        out->end += got;
    } while (got > 0);
    enum err e = ferror(f) ? E_IO : E_OK;
    (void)fclose(f);
    return e;
}

/* The list is the same object as long as the file's bytes are the same: nothing is retired in vain.
 */
static enum err load_users(struct control *c, const struct config *cfg, struct userlist **ret,
                           struct buf *ret_file, struct fault *why)
{
    if (read_file(cfg->o.auth_file, ret_file) != E_OK) {
        return fault_set(why, E_IO, "cannot read auth_file %s: %s", cfg->o.auth_file,
                         strerror(errno));
    }
    if (c->users != NULL && bytes_equal(buf_view(ret_file), buf_view(&c->users_file))) {
        *ret = userlist_ref(c->users);
        return E_OK;
    }
    return userlist_load(cfg->o.auth_file, ret, why);
}

static void wipe(struct buf *b)
{
    if (b->data != NULL) { mem_wipe(b->data, b->cap); }
    buf_done(b);
}

static enum err open_log(const struct config *cfg, struct fault *why)
{
    enum log_level most = cfg->o.verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_LOG;
    if (log_open(cfg->o.logfile, cfg->o.log_format == LOG_JSON, most) != E_OK) {
        return fault_set(why, E_IO, "cannot open logfile %s: %s", cfg->o.logfile, strerror(errno));
    }
    return E_OK;
}

/* All of the new configuration takes effect, or none of it. */
static enum err apply(struct control *c, struct config *cfg, struct fault *why)
{
    struct userlist *users = NULL;
    struct buf file = {0};
    enum err e = load_users(c, cfg, &users, &file, why);
    if (e == E_OK) { e = open_log(cfg, why); }
    if (e != E_OK) {
        userlist_unref(&users);
        wipe(&file);
        return e;
    }
    if (c->cache != NULL) {
        cache_configure(c->cache, cfg);
    } /* its rules before who asks by them */
    registry_configure(c->registry, cfg, users);
    config_unref(&c->config);
    userlist_unref(&c->users);
    wipe(&c->users_file);
    c->config = config_ref(cfg);
    c->users = users;
    c->users_file = file;
    monitors_follow(c->monitors, c->registry, c->users);
    return E_OK;
}

static enum err reload(struct control *c, struct fault *why)
{
    struct config *cfg = NULL;
    enum err e = config_load(c->config->path, &cfg, why);
    if (e == E_OK) { e = apply(c, cfg, why); }
    config_unref(&cfg);
    if (e != E_OK) {
        log_error(NULL, "event=reload_failed reason=\"%s\" next=\"the old configuration stays\"",
                  why->text);
        return e;
    }
    log_info(NULL, "event=reloaded file=%s", c->config->path);
    crew_each(c->crew, worker_tidy, &c->loop, NULL, NULL);
    return E_OK;
}

/* ---- stopping: drain, close clients, close servers, stop the threads ---------------------------
 */

static void stop_loop(void *arg)
{
    struct control *c = arg;
    loop_stop(&c->loop);
}

static void close_servers(void *arg)
{
    struct control *c = arg;
    crew_each(c->crew, worker_close_servers, &c->loop, stop_loop, c);
}

/* Servers on their way between workers arrive before the next round, whichever way they go. */
static void settle_again(void *arg)
{
    struct control *c = arg;
    crew_each(c->crew, worker_settle, &c->loop, close_servers, c);
}

static void settle(void *arg)
{
    struct control *c = arg;
    crew_each(c->crew, worker_settle, &c->loop, settle_again, c);
}

static void close_now(struct control *c)
{
    if (c->stopping == CLOSING) { return; }
    if (c->stopping == RUNNING) { crew_each(c->crew, worker_stop_accepting, &c->loop, NULL, NULL); }
    c->stopping = CLOSING;
    timer_clear(&c->loop.timers, &c->drain);
    crew_each(c->crew, worker_close_clients, &c->loop, settle, c);
}

static void on_drain(struct timer *t)
{
    struct control *c = container_of(t, struct control, drain);
    int64_t now_us = clock_now_us();
    bool late = c->drain_until_us != 0 && now_us >= c->drain_until_us;
    if (crew_clients(c->crew) == 0 || late) {
        if (late) {
            log_warn(NULL, "event=drain_late clients=%u next=\"closing them\"",
                     crew_clients(c->crew));
        }
        close_now(c);
        return;
    }
    timer_set(&c->loop.timers, &c->drain, now_us + DRAIN_LOOK_US);
}

static void drain(struct control *c, bool bounded)
{
    if (c->stopping != RUNNING) { /* asked twice: at once */
        close_now(c);
        return;
    }
    c->stopping = DRAINING;
    c->drain_until_us = bounded ? clock_now_us() + DRAIN_MOST_US : 0;
    crew_each(c->crew, worker_stop_accepting, &c->loop, NULL, NULL);
    crew_each(c->crew, worker_drain, &c->loop, NULL, NULL);
    timer_set(&c->loop.timers, &c->drain, clock_now_us() + DRAIN_LOOK_US);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void pause_database(struct database *db, void *arg)
{
    atomic_store(&db->paused, *(bool *)arg);
}

static void pause_all(struct control *c, bool paused)
{
    registry_each_database(c->registry, pause_database, &paused);
    crew_each(c->crew, worker_tidy, &c->loop, NULL, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct control *c = handle->data;
    struct fault why;
    log_info(NULL, "event=signal name=%s", strsignal(number));
    switch (number) {
    case SIGHUP: (void)reload(c, &why); break; /* logged there */
    case SIGTERM: drain(c, true); break;
    case SIGINT: drain(c, false); break;
    case SIGQUIT: close_now(c); break;
    case SIGUSR1: pause_all(c, true); break;
    case SIGUSR2: pause_all(c, false); break;
    default: break;
    }
}

static void watch_signals(struct control *c)
{
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2};
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        c->signals[i] = mem_new(uv_signal_t);
        (void)uv_signal_init(&c->loop.uv, c->signals[i]);
        c->signals[i]->data = c;
        (void)uv_signal_start(c->signals[i], on_signal, numbers[i]);
    }
}

static void free_handle(uv_handle_t *handle)
{
    mem_free(&handle);
}

/* ---- what the consoles ask ----------------------------------------------------------------------
 */

struct wish { /* from a console's worker to here and back */
    struct letter letter;
    struct control *control;
    struct loop *back;
    char *key, *value; /* SET; NULL: RELOAD */
    void (*done)(void *arg, const struct fault *why);
    void *arg;
    struct fault why;
};

static void open_answer(struct letter *l)
{
    struct wish *w = container_of(l, struct wish, letter);
    w->done(w->arg, w->why.code == E_OK ? NULL : &w->why);
    mem_free(&w);
}

static void open_wish(struct letter *l)
{
    struct wish *w = container_of(l, struct wish, letter);
    struct control *c = w->control;
    enum err e;
    if (w->key == NULL) {
        e = reload(c, &w->why);
    } else {
        struct config *cfg = NULL;
        e = config_set(c->config, w->key, w->value, &cfg, &w->why);
        if (e == E_OK) { e = apply(c, cfg, &w->why); }
        config_unref(&cfg);
    }
    if (e == E_OK) { w->why.code = E_OK; }
    mem_free(&w->key);
    mem_free(&w->value);
    w->letter.open = open_answer;
    loop_post(w->back, &w->letter);
}

static struct wish *make_wish(struct control *c, struct loop *back,
                              void (*done)(void *arg, const struct fault *why), void *arg)
{
    struct wish *w = mem_new(struct wish);
    w->letter.open = open_wish;
    w->control = c;
    w->back = back;
    w->done = done;
    w->arg = arg;
    return w;
}

static void ask_reload(void *arg, struct loop *l,
                       void (*done)(void *done_arg, const struct fault *why), void *done_arg)
{
    struct control *c = arg;
    loop_post(&c->loop, &make_wish(c, l, done, done_arg)->letter);
}

static void ask_set(void *arg, struct loop *l, const char *key, const char *value,
                    void (*done)(void *done_arg, const struct fault *why), void *done_arg)
{
    struct control *c = arg;
    struct wish *w = make_wish(c, l, done, done_arg);
    w->key = mem_strdup(key);
    w->value = mem_strdup(value);
    loop_post(&c->loop, &w->letter);
}

struct order {
    struct letter letter;
    struct control *control;
    enum shutdown_mode mode;
};

static void open_order(struct letter *l)
{
    struct order *o = container_of(l, struct order, letter);
    struct control *c = o->control;
    enum shutdown_mode mode = o->mode;
    mem_free(&o);
    if (mode == SHUTDOWN_NOW) {
        close_now(c);
    } else {
        drain(c, mode == SHUTDOWN_WAIT_FOR_CLIENTS);
    }
}

static void ask_shutdown(void *arg, enum shutdown_mode mode)
{
    struct order *o = mem_new(struct order);
    o->letter.open = open_order;
    o->control = arg;
    o->mode = mode;
    loop_post(&o->control->loop, &o->letter);
}

/* ---- start -------------------------------------------------------------------------------------
 */

static enum err listen_all(const struct options *o, struct listeners *ls, struct fault *why)
{
    enum err e = socket_listen_tcp(ls, o->listen_addr, o->listen_port, o->listen_backlog,
                                   o->so_reuseport, why);
    if (e == E_OK) {
        e = socket_listen_unix(ls, o->unix_socket_dir, o->listen_port, o->unix_socket_mode,
                               o->listen_backlog, why);
    }
    if (e == E_OK && ls->count == 0) {
        e = fault_set(why, E_CONFIG,
                      "nothing to listen on: listen_addr and unix_socket_dir are empty");
    }
    return e;
}

static void write_pidfile(const char *path)
{
    if (path[0] == '\0') { return; }
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        log_warn(NULL, "event=pidfile_failed path=%s reason=\"%s\"", path, strerror(errno));
        return;
    }
    (void)fprintf(f, "%d\n", (int)getpid());
    (void)fclose(f);
}

static void log_unsupported(const struct config *cfg)
{
    const char *line;
    for (size_t i = 0; (line = config_unsupported(cfg, i)) != NULL; i++) {
        log_warn(NULL, "event=setting_without_effect %s", line);
    }
}

int control_run(struct config *cfg)
{
    struct control c = {.stopping = RUNNING};
    struct listeners listeners = {0};
    struct fault why = {0};
    unsigned workers = cfg->o.workers > 0 ? (unsigned)cfg->o.workers : uv_available_parallelism();
    loop_init(&c.loop);
    c.drain.due = on_drain;
    c.hooks = (struct admin_hooks){
        .reload = ask_reload, .set = ask_set, .shutdown = ask_shutdown, .arg = &c};
    c.crew = crew_new(workers, &c.hooks);
    c.registry = registry_new(crew_loops(c.crew), workers);
    c.shared = shared_new();
    c.monitors = monitors_new(&c.loop);
    c.config = config_ref(cfg);
    int status = 1;

    watch_signals(&c); /* who finds the port open may signal */
    enum err e = listen_all(&cfg->o, &listeners, &why);
    if (e == E_OK) { e = cache_open(cfg, &c.cache, &why); }
    if (e == E_OK) { e = apply(&c, cfg, &why); }
    if (e != E_OK) {
        log_error(NULL, "event=start_failed reason=\"%s\" hint=\"%s\"", why.text, why.hint);
        listeners_close(&listeners);
    }
    bool started = e == E_OK;
    if (started) {
        log_unsupported(cfg);
        write_pidfile(cfg->o.pidfile);
        c.shared->started_us = clock_now_us();
        crew_start(c.crew, c.registry, c.cache, c.shared, &listeners);
        log_info(NULL, "event=started version=%s workers=%u listen=%s:%d unix=%s", PGUSHER_VERSION,
                 workers, cfg->o.listen_addr, cfg->o.listen_port, cfg->o.unix_socket_dir);
        loop_run(&c.loop);
        log_info(NULL, "event=stopped");
        status = 0;
    }
    for (size_t i = 0; i < sizeof c.signals / sizeof *c.signals; i++) {
        uv_close((uv_handle_t *)c.signals[i], free_handle);
    }
    monitors_free(&c.monitors);
    if (started) {
        crew_stop(&c.crew);
        socket_unlink_unix(cfg->o.unix_socket_dir, cfg->o.listen_port);
        if (cfg->o.pidfile[0] != '\0') { (void)unlink(cfg->o.pidfile); }
    } else {
        crew_drop(&c.crew);
    }
    loop_done(&c.loop);
    cache_close(&c.cache);
    registry_free(&c.registry);
    shared_free(&c.shared);
    keyring_forget();
    config_unref(&c.config);
    userlist_unref(&c.users);
    wipe(&c.users_file);
    return status;
}
