/* The tables of databases and accounts. */
#include "pool/registry.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/pool.h"

struct registry {
    struct lock lock;
    struct config *config;
    struct userlist *userlist;
    struct hba *hba; /* or NULL */
    struct tls_context *client_tls, *server_tls;
    struct dlist
        databases;        /* retired ones too: clients may still be on their way to the new ones */
    struct hmap accounts; /* of databases in force */
    struct loop **loops;
    unsigned loops_count;
    uint32_t last_id;
    struct limits servers, clients; /* max_db_connections ..., max_db_client_connections ... */
};

struct registry *registry_new(struct loop **loops, unsigned loops_count)
{
    struct registry *r = mem_new(struct registry);
    lock_init(&r->lock, RANK_REGISTRY);
    dlist_init(&r->databases);
    r->loops = loops;
    r->loops_count = loops_count;
    limits_init(&r->servers);
    limits_init(&r->clients);
    return r;
}

static void free_account(struct account *a)
{
    if (!a->shares_pools) {
        for (size_t i = 0; i < a->database->topology->count; i++) { pool_free(&a->pools[i]); }
        mem_free(&a->pools);
    }
    hmap_each (link, &a->profiles) {
        struct profile *p = container_of(link, struct profile, link);
        hmap_remove(&a->profiles, link);
        varset_unref(&p->startup);
        mem_free(&p->parameters.ptr);
        mem_free(&p);
    }
    hmap_done(&a->profiles);
    identity_unref(&a->identity);
    userlist_unref(&a->userlist);
    vault_done(&a->vault);
    lock_done(&a->profiles_lock);
    mem_free(&a->user);
    mem_free(&a->server_user);
    mem_free(&a->stats);
    mem_free(&a);
}

static void free_database(struct database *db)
{
    struct dlist *node;
    while ((node = dlist_pop_front(&db->accounts)) != NULL) {
        free_account(container_of(node, struct account, node));
    }
    topology_free(&db->topology);
    recency_free(&db->recency);
    catalog_unref(&db->catalog);
    tls_context_unref(&db->tls);
    lock_done(&db->catalog_lock);
    config_unref((struct config **)(uintptr_t)&db->config);
    mem_free(&db->name);
    mem_free(&db);
}

void registry_free(struct registry **pr)
{
    struct registry *r = *pr;
    if (r == NULL) { return; }
    *pr = NULL;
    struct dlist *node;
    hmap_done(&r->accounts);
    while ((node = dlist_pop_front(&r->databases)) != NULL) {
        free_database(container_of(node, struct database, node));
    }
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

static bool same_text(const char *a, const char *b)
{
    return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

/* Would a server connection or a decision made under the one be wrong under the other? */
static bool same_settings(const struct config *a, const struct config *b)
{
    if (a->settings_count != b->settings_count || a->rules_count != b->rules_count) {
        return false;
    }
    for (size_t i = 0; i < a->settings_count; i++) {
        const struct setting_config *x = &a->settings[i], *y = &b->settings[i];
        if (!same_text(x->name, y->name) || !same_text(x->value, y->value) ||
            x->required != y->required || !same_text(x->database, y->database) ||
            !same_text(x->user, y->user)) {
            return false;
        }
    }
    for (size_t i = 0; i < a->users_count; i++) {
        const struct user_config *was = &a->users[i], *is = config_user(b, was->name);
        if (was->pool_mode != (is == NULL ? -1 : is->pool_mode)) { return false; }
    }
    for (size_t i = 0; i < b->users_count; i++) {
        const struct user_config *is = &b->users[i];
        if (is->pool_mode >= 0 && config_user(a, is->name) == NULL) { return false; }
    }
    for (size_t i = 0; i < a->rules_count; i++) {
        const struct rule_config *x = &a->rules[i], *y = &b->rules[i];
        if (!same_text(x->name, y->name) || x->ttl_us != y->ttl_us || x->mode != y->mode ||
            x->rls != y->rls || x->tables_count != y->tables_count ||
            x->empty_results != y->empty_results) {
            return false;
        }
        for (size_t k = 0; k < x->tables_count; k++) {
            if (!same_text(x->tables[k], y->tables[k])) { return false; }
        }
    }
    return true;
}

static bool same_line(const struct database_config *a, const struct database_config *b)
{
    if (a->hosts_count != b->hosts_count) { return false; }
    for (size_t i = 0; i < a->hosts_count; i++) {
        if (!same_text(a->hosts[i].host, b->hosts[i].host) ||
            a->hosts[i].port != b->hosts[i].port) {
            return false;
        }
    }
    return same_text(a->dbname, b->dbname) && same_text(a->user, b->user) &&
           same_text(a->password, b->password) && same_text(a->connect_query, b->connect_query) &&
           same_text(a->client_encoding, b->client_encoding) &&
           same_text(a->datestyle, b->datestyle) && same_text(a->timezone, b->timezone) &&
           same_text(a->application_name, b->application_name) &&
           same_text(a->monitor_user, b->monitor_user) && a->pool_size == b->pool_size &&
           a->replica_pool_size == b->replica_pool_size && a->pool_mode == b->pool_mode &&
           a->min_pool_size == b->min_pool_size && a->reserve_pool_size == b->reserve_pool_size &&
           same_text(a->load_balance_hosts, b->load_balance_hosts) &&
           a->read_write_split == b->read_write_split && a->cache == b->cache &&
           a->read_consistency == b->read_consistency &&
           a->server_lifetime_us == b->server_lifetime_us &&
           a->query_wait_timeout_us == b->query_wait_timeout_us;
}

/* The options that a database copies or that its pools were made from. */
static bool same_options(const struct options *a, const struct options *b)
{
    return a->pool_mode == b->pool_mode && a->read_write_split == b->read_write_split &&
           a->cache == b->cache && a->read_consistency == b->read_consistency &&
           a->replica_max_lag_us == b->replica_max_lag_us &&
           a->server_connect_timeout_us == b->server_connect_timeout_us &&
           a->tcp_keepalive == b->tcp_keepalive && a->tcp_keepidle == b->tcp_keepidle &&
           a->tcp_keepintvl == b->tcp_keepintvl && a->tcp_keepcnt == b->tcp_keepcnt &&
           a->tcp_user_timeout == b->tcp_user_timeout &&
           a->tcp_socket_buffer_bytes == b->tcp_socket_buffer_bytes &&
           a->cancel_wait_timeout_us == b->cancel_wait_timeout_us &&
           a->max_prepared_statements == b->max_prepared_statements &&
           a->max_inspect_bytes == b->max_inspect_bytes &&
           same_text(a->monitor_user, b->monitor_user) &&
           same_text(a->server_reset_query, b->server_reset_query) &&
           same_text(a->server_check_query, b->server_check_query) &&
           a->server_reset_query_always == b->server_reset_query_always &&
           a->server_tls_sslmode == b->server_tls_sslmode;
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
    const struct database_config *line = config_database(r->config, db->name);
    if (line == NULL) { line = config_database(r->config, "*"); }
    if (line == NULL) { return; } /* gone: its last servers and clients are as they were */
    limits_set(&r->servers, limits_cap(&r->servers, CAP_DATABASE, db->name),
               line->max_db_connections >= 0 ? line->max_db_connections : o->max_db_connections);
    limits_set(&r->clients, db->clients_cap,
               line->max_db_client_connections >= 0 ? line->max_db_client_connections
                                                    : o->max_db_client_connections);
}

/* Servers are counted by whom they log in as, clients by whom they are. */
static void set_user_caps(struct registry *r, const struct account *a)
{
    const struct options *o = &r->config->o;
    const struct user_config *server = config_user(r->config, a->server_user);
    const struct user_config *client = config_user(r->config, a->user);
    limits_set(&r->servers, limits_cap(&r->servers, CAP_USER, a->server_user),
               server != NULL && server->max_user_connections >= 0 ? server->max_user_connections
                                                                   : o->max_user_connections);
    limits_set(&r->clients, a->clients_cap,
               client != NULL && client->max_user_client_connections >= 0
                   ? client->max_user_client_connections
                   : o->max_user_client_connections);
}

static struct account *make_account(struct registry *r, struct database *db, const char *user,
                                    struct bytes key);

/* A line that forces a user has its pool from the start, for min_pool_size. */
static void make_forced_account(struct registry *r, struct database *db)
{
    struct buf key = {0};
    if (db->line->user == NULL) { return; }
    buf_put_str(&key, db->name);
    buf_put(&key, db->line->user, strlen(db->line->user));
    (void)make_account(r, db, db->line->user, buf_view(&key));
    buf_done(&key);
}

static struct database *make_database(struct registry *r, const struct database_config *line,
                                      const char *name)
{
    const struct options *o = &r->config->o;
    struct database *db = mem_new(struct database);
    db->name = mem_strdup(name);
    db->config = config_ref(r->config);
    db->line = line;
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
    db->clients_cap = limits_cap(&r->clients, CAP_DATABASE, name);
    set_database_caps(r, db);
    return db;
}

static struct database *find_database(struct registry *r, const char *name)
{
    dlist_each (node, &r->databases) {
        struct database *db = container_of(node, struct database, node);
        if (!atomic_load(&db->retired) && strcmp(db->name, name) == 0) { return db; }
    }
    return NULL;
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

static void retire(struct registry *r, struct database *db)
{
    atomic_store(&db->retired, true);
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        hmap_remove(&r->accounts, &a->link);
    }
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

struct tls_context *registry_client_tls(struct registry *r)
{
    lock_take(&r->lock);
    struct tls_context *c = r->client_tls == NULL ? NULL : tls_context_ref(r->client_tls);
    lock_drop(&r->lock);
    return c;
}

/* Limits hold for what is left of a retired definition too; its sizes stay as they were. */
static void configure_accounts(struct registry *r, struct database *db)
{
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        set_user_caps(r, a);
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
        const struct database_config *line = config_database(cfg, db->name);
        if (line == NULL) { line = config_database(cfg, "*"); }
        /* Secrets may have changed in any way: accounts are made anew with the new list. */
        set_database_caps(r, db);
        if (!atomic_load(&db->retired) &&
            (line == NULL || !same_line(db->line, line) || !same_settings(db->config, cfg) ||
             !same_options(&db->config->o, &cfg->o) || old_users != users ||
             db->tls != r->server_tls)) {
            retire(r, db);
        }
        configure_accounts(r, db);
    }
    for (size_t i = 0; i < cfg->databases_count; i++) {
        const struct database_config *line = &cfg->databases[i];
        if (strcmp(line->name, "*") != 0 && find_database(r, line->name) == NULL) {
            struct database *db = make_database(r, line, line->name);
            inherit(r, db);
            make_forced_account(r, db);
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

struct database *registry_database(struct registry *r, const char *name)
{
    lock_take(&r->lock);
    struct database *db = find_database(r, name);
    const struct database_config *any = config_database(r->config, "*");
    if (db == NULL && any != NULL) {
        db = make_database(r, any, name);
        inherit(r, db);
        log_info(NULL, "registered new auto-database: db=%s", name);
    }
    lock_drop(&r->lock);
    return db;
}

/* Clients that move from a retired definition to its successor do not log in again: what their
 * logins told goes along. */
static void inherit_secret(struct registry *r, struct account *a)
{
    dlist_each (node, &r->databases) {
        struct database *old = container_of(node, struct database, node);
        if (old == a->database || strcmp(old->name, a->database->name) != 0) { continue; }
        dlist_each (other_node, &old->accounts) {
            struct account *other = container_of(other_node, struct account, node);
            if (strcmp(other->user, a->user) != 0) { continue; }
            struct credential *c = vault_get(&other->vault);
            if (c != NULL) {
                account_learn(a, c);
                credential_unref(&c);
            }
        }
    }
}

void account_learn(struct account *a, struct credential *c)
{
    /* A forced user's password is the database line's or auth_file's, never its clients'. */
    if (strcmp(a->user, a->server_user) == 0) { vault_put(&a->vault, credential_ref(c)); }
}

static struct account *make_account(struct registry *r, struct database *db, const char *user,
                                    struct bytes key)
{
    assert(key.ptr != NULL); /* two zeros at least */
    struct account *a = mem_zeroed(sizeof *a + key.len);
    memcpy(a->key, key.ptr, key.len);
    a->database = db;
    a->user = mem_strdup(user);
    a->server_user = mem_strdup(db->line->user != NULL ? db->line->user : user);
    a->password = db->line->password;
    a->userlist = userlist_ref(r->userlist);
    a->secret = userlist_find(a->userlist, a->server_user);
    a->identity = identity_compile(db->config, db->name, user);
    const struct user_config *uc = config_user(db->config, user);
    a->mode = uc != NULL && uc->pool_mode >= 0 ? (enum pool_mode)uc->pool_mode : db->mode;
    vault_init(&a->vault);
    inherit_secret(r, a);
    lock_init(&a->profiles_lock, RANK_LEAF);
    a->stats_count = r->loops_count;
    a->stats = mem_zeroed_lines(r->loops_count * sizeof *a->stats);
    a->clients_cap = limits_cap(&r->clients, CAP_USER, user);
    set_user_caps(r, a);
    if (db->line->user != NULL && !dlist_empty(&db->accounts)) { /* all log in as one */
        a->pools = container_of(db->accounts.next, struct account, node)->pools;
        a->shares_pools = true;
    } else {
        a->pools = mem_array(struct pool *, db->topology->count);
        for (size_t i = 0; i < db->topology->count; i++) {
            a->pools[i] =
                pool_new(a, &db->topology->nodes[i], &r->servers, r->loops, r->loops_count);
        }
    }
    dlist_push_back(&db->accounts, &a->node);
    if (!atomic_load(&db->retired)) {
        hmap_insert(&r->accounts, &a->link, bytes_of(a->key, key.len));
    }
    return a;
}

struct account *registry_account(struct registry *r, struct database *db, const char *user)
{
    struct buf key = {0};
    buf_put_str(&key, db->name);
    buf_put(&key, user, strlen(user));
    lock_take(&r->lock);
    struct hlink *link = hmap_find(&r->accounts, buf_view(&key));
    struct account *a = link == NULL ? NULL : container_of(link, struct account, link);
    if (a == NULL || a->database != db) {
        a = NULL;
        dlist_each (node, &db->accounts) /* of a retired one: not in the table */
        {
            struct account *other = container_of(node, struct account, node);
            if (strcmp(other->user, user) == 0) { a = other; }
        }
        if (a == NULL) { a = make_account(r, db, user, buf_view(&key)); }
    }
    lock_drop(&r->lock);
    buf_done(&key);
    return a;
}

static void count_clients(struct account *a, int more)
{
    atomic_fetch_add(&a->database->clients, more);
    atomic_fetch_add(&a->clients, more);
}

enum err registry_join(struct registry *r, struct account *a, struct fault *why)
{
    const struct cap *full = limits_enter(&r->clients, a->database->clients_cap, a->clients_cap);
    if (full != NULL) {
        bool database = full == a->database->clients_cap;
        return fault_state(why, E_LIMIT, "53300", "client connections exceeded (%s)",
                           database ? "max_db_client_connections" : "max_user_client_connections");
    }
    count_clients(a, 1);
    return E_OK;
}

void registry_leave(struct registry *r, struct account *a)
{
    count_clients(a, -1);
    limits_leave(&r->clients, a->database->clients_cap, a->clients_cap);
}

/* The caps go by name: they are the same. */
struct account *registry_move(struct registry *r, struct account *a, struct database *to)
{
    struct account *next = registry_account(r, to, a->user);
    count_clients(a, -1);
    count_clients(next, 1);
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

struct bytes account_profile(struct account *a, const struct varset *startup)
{
    struct bytes parameters = {0};
    lock_take(&a->profiles_lock);
    struct hlink *link = hmap_find(&a->profiles, bytes_of(&startup, sizeof(startup)));
    if (link != NULL) { parameters = container_of(link, struct profile, link)->parameters; }
    lock_drop(&a->profiles_lock);
    return parameters;
}

void account_keep_profile(struct account *a, const struct varset *startup, struct bytes parameters)
{
    enum { MOST = 1000 }; /* each login chooses its own: bounded */
    struct profile *p = mem_new(struct profile);
    p->startup = varset_ref(startup);
    uint8_t *copy = mem_zeroed(parameters.len);
    memcpy(copy, parameters.ptr, parameters.len);
    p->parameters = bytes_of(copy, parameters.len);
    struct bytes key = bytes_of(&p->startup, sizeof(p->startup));
    lock_take(&a->profiles_lock);
    bool keep = a->profiles.count < MOST && hmap_find(&a->profiles, key) == NULL;
    if (keep) { hmap_insert(&a->profiles, &p->link, key); }
    lock_drop(&a->profiles_lock);
    if (!keep) {
        varset_unref(&p->startup);
        mem_free(&copy);
        mem_free(&p);
    }
}
