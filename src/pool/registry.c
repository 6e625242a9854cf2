/* The tables of databases and accounts. */
#include "pool/registry.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/definition.h"
#include "pool/pool.h"
#include "pool/registry_inside.h"

struct registry *registry_new(struct loop **loops, unsigned loops_count)
{
    struct registry *r = mem_new(struct registry);
    lock_init(&r->lock, RANK_REGISTRY);
    dlist_init(&r->databases);
    dlist_init(&r->doomed_databases);
    dlist_init(&r->doomed_accounts);
    r->loops = loops;
    r->loops_count = loops_count;
    limits_init(&r->servers);
    limits_init(&r->clients);
    return r;
}

static void free_accounts(struct registry *r, struct dlist *list)
{
    struct dlist *node;
    while ((node = dlist_pop_front(list)) != NULL) {
        struct account *a = container_of(node, struct account, node);
        account_free(r, &a);
    }
}

void database_free(struct registry *r, struct database **pdb)
{
    struct database *db = *pdb;
    *pdb = NULL;
    free_accounts(r, &db->accounts);
    limits_drop(&r->clients, &db->clients_cap);
    limits_drop(&r->servers, &db->servers_cap);
    topology_free(&db->topology);
    recency_free(&db->recency);
    catalog_unref(&db->catalog);
    tls_context_unref(&db->tls);
    lock_done(&db->catalog_lock);
    config_unref((struct config **)(uintptr_t)&db->config);
    mem_free(&db->past);
    mem_free(&db->name);
    mem_free(&db);
}

static void free_databases(struct registry *r, struct dlist *list)
{
    struct dlist *node;
    while ((node = dlist_pop_front(list)) != NULL) {
        struct database *db = container_of(node, struct database, node);
        database_free(r, &db);
    }
}

void registry_free(struct registry **pr)
{
    struct registry *r = *pr;
    if (r == NULL) { return; }
    *pr = NULL;
    hmap_done(&r->accounts);
    hmap_done(&r->names);
    free_accounts(r, &r->doomed_accounts);
    free_databases(r, &r->doomed_databases);
    free_databases(r, &r->databases);
    mem_free(&r->doomed_ids);
    limits_done(&r->servers);
    limits_done(&r->clients);
    config_unref(&r->config);
    userlist_unref(&r->userlist);
    hba_unref(&r->hba);
    tls_context_unref(&r->client_tls);
    tls_context_unref(&r->server_tls);
    lock_done(&r->lock);
    mem_free(&r);
}

const char *database_monitor(const struct database *db, const struct userlist *users,
                             const char **password)
{
    const struct options *o = &db->config->o;
    const char *user = db->line->monitor_user != NULL ? db->line->monitor_user
                       : o->monitor_user[0] != '\0'   ? o->monitor_user
                       : db->line->user != NULL       ? db->line->user
                       : db->line->auth_user != NULL  ? db->line->auth_user
                       : o->auth_user[0] != '\0'      ? o->auth_user
                                                      : NULL;
    *password = NULL;
    if (user == NULL) { return NULL; }
    const struct user_secret *secret = userlist_find(users, user);
    if (db->line->user != NULL && strcmp(user, db->line->user) == 0 && db->line->password != NULL) {
        *password = db->line->password;
    } else if (secret != NULL && secret->kind == SECRET_PLAIN) {
        *password = secret->text;
    }
    return user;
}

bool database_is_monitored(const struct database *db, const struct userlist *users)
{
    const char *password;
    bool named = db->line->monitor_user != NULL || db->config->o.monitor_user[0] != '\0';
    return (named || db->split || db->cache != CACHE_OFF || db->topology->count > 1) &&
           database_monitor(db, users, &password) != NULL;
}

/* FNV-1a: not keyed, because every pgusher that shares a Redis must come to the same number. Two
   databases with one number only void more than they must. */
static uint32_t stable_hash(const char *text)
{
    uint32_t h = 2166136261U;
    for (; *text != '\0'; text++) { h = (h ^ (uint8_t)*text) * 16777619U; }
    return h;
}

static void set_database_caps(struct registry *r, const struct database *db)
{
    const struct options *o = &r->config->o;
    const struct database_config *line = config_line(r->config, db->name);
    if (line == NULL) { return; } /* gone: its last servers and clients are as they were */
    limits_set(&r->servers, db->servers_cap,
               line->max_db_connections >= 0 ? line->max_db_connections : o->max_db_connections);
    limits_set(&r->clients, db->clients_cap,
               line->max_db_client_connections >= 0 ? line->max_db_client_connections
                                                    : o->max_db_client_connections);
}

/* What an operator said of a database by name holds for its next definition too. */
static void inherit(struct registry *r, struct database *db)
{
    dlist_each (node, &r->databases) {
        const struct database *old = container_of(node, struct database, node);
        if (old == db || strcmp(old->name, db->name) != 0) { continue; }
        atomic_store(&db->paused, atomic_load(&old->paused));
        atomic_store(&db->disabled, atomic_load(&old->disabled));
    }
}

static struct database *make_database(struct registry *r, const struct database_config *line,
                                      const char *name)
{
    const struct options *o = &r->config->o;
    struct database *db = mem_new(struct database);
    db->name = mem_strdup(name);
    db->config = config_ref(r->config);
    db->line = line;
    db->all_paused = &r->paused;
    db->topology = topology_new(line);
    db->recency = recency_new();
    db->id = ++r->last_id;
    db->cache_id = stable_hash(line->dbname != NULL ? line->dbname : name);
    db->split = line->read_write_split >= 0 ? line->read_write_split == 1 : o->read_write_split;
    db->cache = line->cache >= 0 ? (enum cache_mode)line->cache : o->cache;
    db->consistency = line->read_consistency >= 0 ? (enum consistency)line->read_consistency
                                                  : o->read_consistency;
    db->mode = line->pool_mode >= 0 ? (enum pool_mode)line->pool_mode : o->pool_mode;
    db->max_lag_us = o->replica_max_lag_us;
    db->tls = r->server_tls == NULL ? NULL : tls_context_ref(r->server_tls);
    const char *password;
    if ((db->split || db->cache != CACHE_OFF) &&
        database_monitor(db, r->userlist, &password) == NULL) {
        log_warn(NULL,
                 "event=monitor_missing database=%s read_write_split and cache stay off: no "
                 "monitor_user",
                 name);
        db->split = false;
        db->cache = CACHE_OFF;
    }
    /* Until the first round of probes is over, no node is taken for the primary. */
    atomic_store(&db->topology->settling, database_is_monitored(db, r->userlist));
    lock_init(&db->catalog_lock, RANK_LEAF);
    dlist_init(&db->accounts);
    dlist_push_back(&r->databases, &db->node);
    hmap_insert(&r->names, &db->link, bytes_str(db->name));
    db->clients_cap = limits_cap(&r->clients, CAP_DATABASE, name);
    db->servers_cap = limits_cap(&r->servers, CAP_DATABASE, name);
    set_database_caps(r, db);
    inherit(r, db);
    return db;
}

struct database *registry_find_locked(struct registry *r, const char *name)
{
    struct hlink *link = hmap_find(&r->names, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct database, link);
}

void registry_retire_locked(struct registry *r, struct database *db)
{
    atomic_store(&db->retired, true);
    news_tell(&db->topology->news); /* who waits there is served by what comes after it */
    hmap_remove(&r->names, &db->link);
    dlist_each (node, &db->accounts) {
        account_unlist_locked(r, container_of(node, struct account, node));
    }
}

void registry_pause(struct registry *r, bool paused)
{
    atomic_store(&r->paused, paused);
    registry_tell_room(r);
}

void registry_tell_room(struct registry *r)
{
    news_tell(&r->servers.room);
}

bool registry_is_paused(const struct registry *r)
{
    return atomic_load(&r->paused);
}

void registry_secure(struct registry *r, struct tls_context *clients, struct tls_context *servers)
{
    lock_take(&r->lock);
    struct tls_context *old_clients = r->client_tls, *old_servers = r->server_tls;
    r->client_tls = clients == NULL ? NULL : tls_context_ref(clients);
    r->server_tls = servers == NULL ? NULL : tls_context_ref(servers);
    lock_drop(&r->lock);
    tls_context_unref(&old_clients);
    tls_context_unref(&old_servers);
}

static struct tls_context *ref_tls(struct registry *r, struct tls_context *const *which)
{
    lock_take(&r->lock);
    struct tls_context *c = *which == NULL ? NULL : tls_context_ref(*which);
    lock_drop(&r->lock);
    return c;
}

struct tls_context *registry_client_tls(struct registry *r)
{
    return ref_tls(r, &r->client_tls);
}

struct tls_context *registry_server_tls(struct registry *r)
{
    return ref_tls(r, &r->server_tls);
}

/* Limits hold for what is left of a retired definition too; its sizes stay as they were. */
static void configure_accounts(struct registry *r, struct database *db)
{
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        account_cap_locked(r, a);
        for (size_t i = 0; i < db->topology->count && !a->shares_pools; i++) {
            if (!atomic_load(&db->retired)) { pool_configure(a->pools[i], r->config); }
        }
    }
}

void registry_configure(struct registry *r, struct config *cfg, struct userlist *users)
{
    lock_take(&r->lock);
    struct config *old = r->config;
    struct userlist *old_users = r->userlist;
    r->config = config_ref(cfg);
    r->userlist = userlist_ref(users);
    dlist_each (node, &r->databases) {
        struct database *db = container_of(node, struct database, node);
        const struct database_config *line = config_line(cfg, db->name);
        /* Secrets may have changed in any way: accounts are made anew with the new list. */
        set_database_caps(r, db);
        if (!atomic_load(&db->retired) &&
            (line == NULL || !definition_is_same(db->line, db->config, line, cfg) ||
             old_users != users || db->tls != r->server_tls)) {
            registry_retire_locked(r, db);
        }
        configure_accounts(r, db);
    }
    for (size_t i = 0; i < cfg->databases_count; i++) {
        const struct database_config *line = &cfg->databases[i];
        if (strcmp(line->name, "*") != 0 && registry_find_locked(r, line->name) == NULL) {
            struct database *db = make_database(r, line, line->name);
            /* A line that forces a user has its pool from the start, for min_pool_size. */
            if (line->user != NULL) { (void)account_new_locked(r, db, line->user); }
        }
    }
    lock_drop(&r->lock);
    config_unref(&old);
    userlist_unref(&old_users);
}

struct config *registry_config(struct registry *r)
{
    lock_take(&r->lock);
    struct config *cfg = config_ref(r->config);
    lock_drop(&r->lock);
    return cfg;
}

struct userlist *registry_userlist(struct registry *r)
{
    lock_take(&r->lock);
    struct userlist *l = userlist_ref(r->userlist);
    lock_drop(&r->lock);
    return l;
}

void registry_set_hba(struct registry *r, struct hba *h)
{
    lock_take(&r->lock);
    struct hba *old = r->hba;
    r->hba = hba_ref(h);
    lock_drop(&r->lock);
    hba_unref(&old);
}

struct hba *registry_hba(struct registry *r)
{
    lock_take(&r->lock);
    struct hba *h = r->hba == NULL ? NULL : hba_ref(r->hba);
    lock_drop(&r->lock);
    return h;
}

void registry_watch(struct registry *r, void (*changed)(void *arg), void *arg)
{
    r->changed = changed;
    r->changed_arg = arg;
}

/* *ret_made: by this call, from "*". */
static struct database *choose_database(struct registry *r, const char *name, bool *ret_made)
{
    struct database *db = registry_find_locked(r, name);
    const struct database_config *any = config_database(r->config, "*");
    *ret_made = db == NULL && any != NULL;
    if (*ret_made) {
        db = make_database(r, any, name);
        db->automatic = true;
    }
    return db;
}

static void tell_made(struct registry *r, const char *name)
{
    log_info(NULL, "registered new auto-database: db=%s", name);
    if (r->changed != NULL) { r->changed(r->changed_arg); }
}

struct database *registry_database(struct registry *r, const char *name)
{
    bool made;
    lock_take(&r->lock);
    struct database *db = choose_database(r, name, &made);
    lock_drop(&r->lock);
    if (made) { tell_made(r, name); }
    return db;
}

static struct account *find_account(struct registry *r, struct database *db, const char *user)
{
    struct buf key = {0};
    buf_put_str(&key, db->name);
    buf_put(&key, user, strlen(user));
    struct hlink *link = hmap_find(&r->accounts, buf_view(&key));
    buf_done(&key);
    struct account *a = link == NULL ? NULL : container_of(link, struct account, link);
    if (a != NULL && a->database == db) { return a; }
    dlist_each (node, &db->accounts) { /* of a retired one: not in the table */
        a = container_of(node, struct account, node);
        if (strcmp(a->user, user) == 0) { return a; }
    }
    return account_new_locked(r, db, user);
}

struct account *registry_account(struct registry *r, struct database *db, const char *user)
{
    lock_take(&r->lock);
    struct account *a = find_account(r, db, user);
    lock_drop(&r->lock);
    return a;
}

static void count_clients(struct account *a, int more)
{
    atomic_fetch_add(&a->database->clients, more);
    atomic_fetch_add(&a->clients, more);
}

static enum err enter_locked(struct registry *r, struct account *a, struct fault *why)
{
    struct database *db = a->database;
    const struct cap *full = limits_enter(&r->clients, db->clients_cap, a->clients_cap);
    if (full != NULL) {
        bool database = full == db->clients_cap;
        return fault_state(why, E_LIMIT, "53300", "client connections exceeded (%s)",
                           database ? "max_db_client_connections" : "max_user_client_connections");
    }
    count_clients(a, 1);
    return E_OK;
}

enum err registry_enter(struct registry *r, const char *database, const char *user,
                        struct account **ret, struct fault *why)
{
    bool made;
    enum err e;
    lock_take(&r->lock);
    struct database *db = choose_database(r, database, &made);
    if (db == NULL) {
        e = fault_state(why, E_NOTFOUND, "3D000", "no such database: %s", database);
    } else if (atomic_load(&db->disabled)) {
        e = fault_state(why, E_REFUSED, "57P03", "database \"%s\" is disabled", database);
    } else {
        struct account *a = find_account(r, db, user);
        e = enter_locked(r, a, why);
        if (e == E_OK) { *ret = a; }
    }
    lock_drop(&r->lock);
    if (made) { tell_made(r, database); }
    return e;
}

void registry_leave(struct registry *r, struct account *a)
{
    limits_leave(&r->clients, a->database->clients_cap, a->clients_cap);
    count_clients(a, -1);
}

/* The caps go by name: they are the same. */
struct account *registry_move(struct registry *r, struct account *a)
{
    bool made;
    lock_take(&r->lock);
    struct database *db = choose_database(r, a->database->name, &made);
    struct account *next = db == NULL ? NULL : find_account(r, db, a->user);
    if (next != NULL) {
        count_clients(next, 1);
        count_clients(a, -1);
    }
    lock_drop(&r->lock);
    if (made) { tell_made(r, db->name); }
    return next;
}

void registry_each_database(struct registry *r, void (*visit)(struct database *db, void *arg),
                            void *arg)
{
    lock_take(&r->lock);
    dlist_each (node, &r->databases) { visit(container_of(node, struct database, node), arg); }
    lock_drop(&r->lock);
}

struct account_visit {
    void (*visit)(struct account *a, void *arg);
    void *arg;
};

static void visit_accounts(struct database *db, void *arg)
{
    struct account_visit *v = arg;
    dlist_each (node, &db->accounts) { v->visit(container_of(node, struct account, node), v->arg); }
}

void registry_each_account(struct registry *r, void (*visit)(struct account *a, void *arg),
                           void *arg)
{
    struct account_visit v = {visit, arg};
    registry_each_database(r, visit_accounts, &v);
}

void registry_hold(struct registry *r)
{
    atomic_fetch_add(&r->holders, 1);
}

void registry_let_go(struct registry *r)
{
    atomic_fetch_sub(&r->holders, 1);
}

struct catalog *database_catalog(struct database *db)
{
    lock_take(&db->catalog_lock);
    struct catalog *c = db->catalog == NULL ? NULL : catalog_ref(db->catalog);
    lock_drop(&db->catalog_lock);
    return c;
}

void database_publish_catalog(struct database *db, struct catalog *c)
{
    lock_take(&db->catalog_lock);
    struct catalog *old = db->catalog;
    db->catalog = c;
    lock_drop(&db->catalog_lock);
    atomic_fetch_add(&db->catalog_turn, 1);
    catalog_unref(&old);
}
