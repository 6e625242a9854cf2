/* Start, reload, stop; everything between happens on the workers. */
#include "worker/control.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "auth/keyring.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/resolve.h"
#include "worker/access.h"
#include "worker/libraries.h"
#include "worker/monitor.h"
#include "worker/notify.h"
#include "worker/reap.h"
#include "worker/secure.h"
#include "worker/start.h"
#include "worker/stop.h"
#include "worker/suspend.h"
#include "worker/worker.h"

struct control {
    struct loop loop;
    const struct launch *how;
    struct resolver *resolver;
    struct crew *crew;
    struct registry *registry;
    struct cache *cache;
    struct shared *shared;
    struct config *config;
    struct access access;
    struct secured secured;
    struct admin_hooks hooks;
    struct monitors *monitors;
    uv_signal_t *signals[6];
    struct stop stop;
    struct suspend suspend;
    struct reaper reaper;
    struct letter news; /* a database was made from "*" */
    _Atomic bool news_sent;
    bool started;          /* the workers run */
    struct timer watchdog; /* the service manager is told that the workers live */
};

/* ---- configuration --------------------------------------------------------------------------- */

static enum err open_log(const struct control *c, const struct config *cfg, struct fault *why)
{
    struct log_options log = {
        .path = cfg->o.logfile,
        .quiet = c->how->quiet || c->how->daemon,
        .json = cfg->o.log_format == LOG_JSON,
        .most = cfg->o.verbose + c->how->verbose > 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_LOG,
        .silent = {[LOG_CONNECTIONS] = !cfg->o.log_connections,
                   [LOG_DISCONNECTIONS] = !cfg->o.log_disconnections,
                   [LOG_POOLER_ERRORS] = !cfg->o.log_pooler_errors},
        .syslog_ident = cfg->o.syslog ? cfg->o.syslog_ident : NULL,
    };
    enum err e = log_facility(cfg->o.syslog_facility, &log.syslog_facility);
    assert(e == E_OK); /* config/check.c saw to it */
    if (log_open(&log) != E_OK) {
        return fault_set(why, E_IO, "cannot open logfile %s: %s", cfg->o.logfile, strerror(errno));
    }
    return E_OK;
}

static void log_useless_secrets(const struct control *c)
{
    const char *user;
    for (size_t i = 0; (user = access_useless_secret(c->config, &c->access, i)) != NULL; i++) {
        log_warn(NULL,
                 "event=auth_user_secret user=%s reason=\"its secret in auth_file is no password\" "
                 "next=\"auth_query runs with what .pgpass says\"",
                 user);
    }
}

/* All of the new configuration takes effect, or none of it. */
static enum err apply(struct control *c, struct config *cfg, struct fault *why)
{
    struct access access = {0};
    struct secured secured = {0};
    enum err e = access_load(cfg, &c->access, &access, why);
    if (e == E_OK) { e = libraries_load(cfg, &access, why); }
    if (e == E_OK) { e = secured_load(cfg, &c->secured, &secured, why); }
    if (e == E_OK) { e = open_log(c, cfg, why); }
    if (e == E_OK) { e = cache_configure(c->cache, cfg, why); } /* before who asks by its rules */
    if (e != E_OK) {
        access_done(&access);
        secured_done(&secured);
        return e;
    }
    if (access.hba != NULL) { registry_set_hba(c->registry, access.hba); }
    registry_secure(c->registry, secured.clients, secured.servers);
    registry_configure(c->registry, cfg, access.users);
    lookup_forget_all(c->shared->lookup);
    secured_done(&c->secured);
    c->secured = secured;
    access_done(&c->access);
    c->access = access;
    config_unref(&c->config);
    c->config = config_ref(cfg);
    log_useless_secrets(c);
    resolver_configure(c->resolver, cfg->o.dns_max_ttl_us, cfg->o.dns_nxdomain_ttl_us,
                       cfg->o.dns_zone_check_period_us);
    monitors_follow(c->monitors, c->registry, c->access.users);
    if (c->started) { crew_each(c->crew, worker_configure, &c->loop, NULL, NULL); }
    return E_OK;
}

static void log_kept(const struct config *cfg)
{
    const char *name;
    for (size_t i = 0; (name = config_kept(cfg, i)) != NULL; i++) {
        log_warn(NULL, "event=setting_needs_restart name=%s next=\"it stays as it is\"", name);
    }
}

static enum err reload(struct control *c, struct fault *why)
{
    struct config *cfg = NULL;
    notify_send("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_now_us());
    enum err e = config_reload(c->config, &cfg, why);
    if (e == E_OK) { e = apply(c, cfg, why); }
    if (e == E_OK) {
        log_kept(cfg);
        log_info(NULL, "event=reloaded file=%s", cfg->path);
        notify_send("READY=1\nSTATUS=serving");
    } else {
        struct fault log_why; /* a rotated log is let go of all the same */
        if (open_log(c, c->config, &log_why) != E_OK) {
            log_error(NULL, "event=log_not_reopened reason=\"%s\"", log_why.text);
        }
        log_error(NULL, "event=reload_failed reason=\"%s\" next=\"the old configuration stays\"",
                  why->text);
        notify_send("READY=1\nSTATUS=reload failed, the old configuration stays: %s", why->text);
    }
    config_unref(&cfg);
    return e;
}

/* ---- signals --------------------------------------------------------------------------------- */

static void pause_all(struct control *c, bool paused)
{
    registry_pause(c->registry, paused);
    crew_each(c->crew, worker_tidy, &c->loop, NULL, NULL);
}

static void on_usr1(struct control *c)
{
    if (suspend_is_wanted(&c->suspend) || registry_is_paused(c->registry)) {
        log_info(NULL, "got SIGUSR1, but already paused/suspended");
        return;
    }
    log_info(NULL, "got SIGUSR1, pausing all activity");
    pause_all(c, true);
}

static void on_usr2(struct control *c)
{
    if (c->stop.state != RUNNING) {
        log_info(NULL, "got SIGUSR2 while shutting down, ignoring");
    } else if (suspend_is_wanted(&c->suspend)) {
        log_info(NULL, "got SIGUSR2, continuing from SUSPEND");
        suspend_end(&c->suspend);
    } else if (registry_is_paused(c->registry)) {
        log_info(NULL, "got SIGUSR2, continuing from PAUSE");
        pause_all(c, false);
    } else {
        log_info(NULL, "got SIGUSR2, but not paused/suspended");
    }
}

static void shut_down(struct control *c, enum shutdown_mode mode)
{
    suspend_end(&c->suspend);
    switch (mode) {
    case SHUTDOWN_NOW: stop_now(&c->stop); break;
    case SHUTDOWN_WAIT_FOR_SERVERS: stop_drain(&c->stop, true, 0, c->config->o.so_reuseport); break;
    case SHUTDOWN_WAIT_FOR_CLIENTS:
        stop_drain(&c->stop, false, c->config->o.drain_timeout_us, c->config->o.so_reuseport);
        break;
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct control *c = handle->data;
    struct fault why;
    bool second = c->stop.state != RUNNING; /* the first one was not quick enough */
    log_info(NULL, "event=signal name=%s", strsignal(number));
    switch (number) {
    case SIGHUP: (void)reload(c, &why); break; /* logged there */
    case SIGTERM: shut_down(c, second ? SHUTDOWN_NOW : SHUTDOWN_WAIT_FOR_CLIENTS); break;
    case SIGINT: shut_down(c, second ? SHUTDOWN_NOW : SHUTDOWN_WAIT_FOR_SERVERS); break;
    case SIGQUIT: shut_down(c, SHUTDOWN_NOW); break;
    case SIGUSR1: on_usr1(c); break;
    case SIGUSR2: on_usr2(c); break;
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
    shut_down(c, mode);
}

static void open_suspend(struct letter *l)
{
    struct wish *w = container_of(l, struct wish, letter);
    struct control *c = w->control;
    suspend_begin(&c->suspend, c->config->o.suspend_timeout_us, w->back, w->done, w->arg);
    mem_free(&w);
}

static void ask_suspend(void *arg, struct loop *l,
                        void (*done)(void *done_arg, const struct fault *why), void *done_arg)
{
    struct control *c = arg;
    struct wish *w = make_wish(c, l, done, done_arg);
    w->letter.open = open_suspend;
    loop_post(&c->loop, &w->letter);
}

static void open_resume(struct letter *l)
{
    struct order *o = container_of(l, struct order, letter);
    suspend_end(&o->control->suspend);
    mem_free(&o);
}

static void ask_resume(void *arg)
{
    struct order *o = mem_new(struct order);
    o->letter.open = open_resume;
    o->control = arg;
    atomic_store(&o->control->shared->rest, REST_NONE); /* who asks next is told so already */
    loop_post(&o->control->loop, &o->letter);
}

static unsigned tell_doors(void *arg, int *fds, unsigned room)
{
    struct control *c = arg;
    return crew_doors(c->crew, fds, room);
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

/* Round all workers: one that hangs keeps the answer away, and the manager restarts us. */
static void tell_watchdog(void *arg)
{
    struct control *c = arg;
    notify_send("WATCHDOG=1");
    timer_set(&c->loop.timers, &c->watchdog, clock_now_us() + notify_watchdog_us());
}

static void on_watchdog(struct timer *t)
{
    struct control *c = container_of(t, struct control, watchdog);
    crew_each(c->crew, worker_settle, &c->loop, tell_watchdog, c);
}

static void log_unsupported(const struct config *cfg)
{
    const char *line;
    for (size_t i = 0; (line = config_unsupported(cfg, i)) != NULL; i++) {
        log_warn(NULL, "event=setting_without_effect %s", line);
    }
}

static void close_signals(struct control *c)
{
    for (size_t i = 0; i < sizeof c->signals / sizeof *c->signals; i++) {
        uv_close((uv_handle_t *)c->signals[i], free_handle);
    }
}

/* ---- databases made from "*" are watched as others are ----------------------------------------
 */

static void open_news(struct letter *l)
{
    struct control *c = container_of(l, struct control, news);
    atomic_store(&c->news_sent, false);
    if (c->monitors == NULL) { return; } /* it comes at the very end */
    monitors_follow(c->monitors, c->registry, c->access.users);
}

static void on_news(void *arg)
{
    struct control *c = arg;
    if (!atomic_exchange(&c->news_sent, true)) { loop_post(&c->loop, &c->news); }
}

static void serve(struct control *c, struct start *start, unsigned workers)
{
    const struct options *o = &c->config->o;
    log_unsupported(c->config);
    c->shared->started_us = clock_now_us();
    bool inherited = start->inherited;
    c->started = true;
    c->news.open = open_news;
    registry_watch(c->registry, on_news, c);
    c->reaper = (struct reaper){.crew = c->crew,
                                .registry = c->registry,
                                .monitors = c->monitors,
                                .shared = c->shared,
                                .loop = &c->loop};
    reaper_start(&c->reaper);
    crew_start(c->crew, c->registry, c->cache, c->shared, &start->listeners);
    log_info(NULL, "event=started version=%s workers=%u listen=%s:%d unix=%s%s", PGUSHER_VERSION,
             workers, o->listen_addr, o->listen_port, o->unix_socket_dir,
             inherited ? " sockets=\"of the service manager\"" : "");
    start_ready(start);
    notify_send("READY=1\nSTATUS=serving");
    if (notify_watchdog_us() > 0) { tell_watchdog(c); }
    loop_run(&c->loop);
    log_info(NULL, "event=stopped");
}

int control_run(struct config *cfg, const struct launch *how)
{
    struct control c = {.how = how};
    struct start start = {.ready = -1};
    struct fault why = {0};
    if (start_detach(&start, cfg, how, &why) != E_OK) {
        log_error(NULL, "event=start_failed reason=\"%s\"", why.text);
        return 1;
    }
    unsigned workers = cfg->o.workers > 0 ? (unsigned)cfg->o.workers : uv_available_parallelism();
    loop_init(&c.loop);
    c.loop.uv_always = true;
    if (resolver_new(&c.loop, cfg->o.resolv_conf, &c.resolver, &why) != E_OK) {
        log_error(NULL, "event=start_failed reason=\"%s\"", why.text);
        loop_done(&c.loop);
        start_done(&start);
        return 1;
    }
    resolver_serve(c.resolver, &c.loop);
    c.hooks = (struct admin_hooks){.reload = ask_reload,
                                   .set = ask_set,
                                   .shutdown = ask_shutdown,
                                   .suspend = ask_suspend,
                                   .resume = ask_resume,
                                   .doors = tell_doors,
                                   .arg = &c};
    c.crew = crew_new(workers, c.resolver, &c.hooks);
    c.registry = registry_new(crew_loops(c.crew), workers);
    c.shared = shared_new();
    c.shared->lookup = lookup_new(&c.loop);
    c.monitors = monitors_new(&c.loop);
    c.config = config_ref(cfg);
    c.watchdog.due = on_watchdog;
    stop_init(&c.stop, c.crew, &c.loop);
    suspend_init(&c.suspend, c.crew, &c.loop, c.shared);

    watch_signals(&c); /* who finds the port open may signal */
    enum err e = start_listen(&start, cfg, how, &why);
    if (e == E_OK) { e = cache_open(cfg, &c.cache, &why); }
    if (e == E_OK) { e = apply(&c, cfg, &why); }
    if (e == E_OK) {
        serve(&c, &start, workers);
    } else {
        log_error(NULL, "event=start_failed reason=\"%s\" hint=\"%s\"", why.text, why.hint);
    }
    close_signals(&c);
    stop_done(&c.stop);
    timer_clear(&c.loop.timers, &c.watchdog);
    if (e == E_OK) { reaper_stop(&c.reaper); }
    monitors_free(&c.monitors);
    lookup_stop(c.shared->lookup);
    shared_stop_helpers(c.shared);
    resolver_stop(c.resolver);
    if (e == E_OK) {
        crew_stop(&c.crew);
    } else {
        crew_drop(&c.crew);
    }
    start_done(&start);
    loop_done(&c.loop);
    resolver_free(&c.resolver);
    lookup_free(&c.shared->lookup);
    cache_close(&c.cache);
    registry_free(&c.registry);
    shared_free(&c.shared);
    keyring_forget();
    config_unref(&c.config);
    access_done(&c.access);
    secured_done(&c.secured);
    return e == E_OK ? 0 : 1;
}
