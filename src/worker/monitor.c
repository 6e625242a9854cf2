/* Starts and stops the probes and the catalog loader of each database. */
#include "worker/monitor.h"

#include "base/log.h"
#include "base/mem.h"
#include "catalog/load.h"
#include "route/health.h"

enum { CATALOG_POLL_US = 1000000, PROBE_TIMEOUT_US = 3000000 };

struct monitor {
    struct dlist node;
    struct monitors *all;
    struct database *database;
    struct userlist *users; /* one reference: the password is in there */
    struct health *health;
    struct catalog_loader *loader;
    unsigned closing;
};

struct monitors {
    struct loop *loop;
    struct dlist list;
    unsigned count;
};

struct monitors *monitors_new(struct loop *l)
{
    struct monitors *m = mem_new(struct monitors);
    m->loop = l;
    dlist_init(&m->list);
    return m;
}

static bool find_primary(void *arg, const char **host, int *port)
{
    struct monitor *mon = arg;
    struct node *n = route_primary(mon->database->topology);
    if (n == NULL) { return false; }
    *host = n->host;
    *port = n->port;
    return true;
}

static void publish(void *arg, struct catalog *c)
{
    struct monitor *mon = arg;
    log_info(NULL, "event=catalog database=%s state=%s", mon->database->name,
             c == NULL ? "unknown" : "loaded");
    database_publish_catalog(mon->database, c);
}

static void start(struct monitors *m, struct database *db, struct userlist *users)
{
    const char *password;
    const char *user = database_monitor(db, users, &password);
    const struct options *o = &db->config->o;
    if (!database_is_monitored(db, users)) { return; }
    struct monitor *mon = mem_new(struct monitor);
    atomic_fetch_add(&db->watchers, 1);
    mon->all = m;
    mon->database = db;
    mon->users = userlist_ref(users);
    const char *dbname = db->line->dbname != NULL ? db->line->dbname : db->name;
    const struct health_config hc = {.dbname = dbname,
                                     .user = user,
                                     .password = password,
                                     .period_us = o->replica_lag_check_period_us,
                                     .timeout_us = PROBE_TIMEOUT_US,
                                     .cfg = db->config};
    mon->health = health_start(m->loop, db->topology, &hc);
    const struct catalog_source source = {.primary = find_primary,
                                          .publish = publish,
                                          .arg = mon,
                                          .database = db->name,
                                          .dbname = dbname,
                                          .user = user,
                                          .password = password,
                                          .poll_us = CATALOG_POLL_US};
    mon->loader = catalog_loader_start(m->loop, &source, db->config);
    dlist_push_back(&m->list, &mon->node);
    m->count++;
}

static void on_closed(void *arg)
{
    struct monitor *mon = arg;
    if (--mon->closing > 0) { return; }
    mon->all->count--;
    atomic_fetch_sub(&mon->database->watchers, 1);
    userlist_unref(&mon->users);
    mem_free(&mon);
}

static void stop(struct monitor *mon)
{
    dlist_remove(&mon->node);
    mon->closing = 1 + (mon->loader != NULL);
    if (mon->loader != NULL) { catalog_loader_stop(&mon->loader, on_closed, mon); }
    health_stop(&mon->health, on_closed, mon);
}

struct following {
    struct database **list;
    size_t count;
};

/* Under the registry's lock: only remembered here. */
static void collect(struct database *db, void *arg)
{
    struct following *f = arg;
    if (atomic_load(&db->retired) || atomic_load(&db->watchers) > 0) { return; }
    f->list = mem_grow(f->list, f->count + 1, sizeof *f->list);
    f->list[f->count++] = db;
}

void monitors_leave(struct monitors *m)
{
    dlist_each (node, &m->list) {
        struct monitor *mon = container_of(node, struct monitor, node);
        if (atomic_load(&mon->database->retired)) { stop(mon); }
    }
}

void monitors_follow(struct monitors *m, struct registry *r, struct userlist *users)
{
    monitors_leave(m);
    struct following f = {0};
    registry_each_database(r, collect, &f);
    for (size_t i = 0; i < f.count; i++) { start(m, f.list[i], users); }
    mem_free(&f.list);
}

void monitors_free(struct monitors **pm)
{
    struct monitors *m = *pm;
    *pm = NULL;
    dlist_each (node, &m->list) { stop(container_of(node, struct monitor, node)); }
    while (m->count > 0) { (void)uv_run(&m->loop->uv, UV_RUN_ONCE); }
    mem_free(&m);
}
