/* Two lists of what was taken out: databases with all that is theirs, and single accounts. */
#include "pool/reap.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pool/pool.h"
#include "pool/registry_inside.h"

/* ---- what is used ---------------------------------------------------------------------------- */

static bool is_used(const struct account *a)
{
    if (atomic_load(&a->clients) > 0 || atomic_load(&a->guests) > 0) { return true; }
    for (size_t i = 0; i < a->database->topology->count && !a->shares_pools; i++) {
        if (!pool_is_unused(a->pools[i])) { return true; }
    }
    return false;
}

static void note_idle(int64_t *idle_since_us, bool used, int64_t now_us)
{
    if (used) {
        *idle_since_us = 0;
    } else if (*idle_since_us == 0) {
        *idle_since_us = now_us;
    }
}

static bool is_over(int64_t idle_since_us, int64_t timeout_us, int64_t now_us)
{
    return timeout_us > 0 && idle_since_us != 0 && now_us - idle_since_us >= timeout_us;
}

/* Looks at all of its accounts, each time. */
static bool database_is_used(struct database *db, int64_t now_us)
{
    bool used = atomic_load(&db->clients) > 0;
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        bool busy = is_used(a);
        note_idle(&a->idle_since_us, busy, now_us);
        used = used || busy;
    }
    note_idle(&db->idle_since_us, used, now_us);
    return used;
}

/* PAUSE and DISABLE hold for a name, and this is all that knows of it until its next use. */
static bool is_remembered(struct registry *r, const struct database *db)
{
    bool said = atomic_load(&db->paused) || atomic_load(&db->disabled);
    return said && registry_find_locked(r, db->name) == NULL &&
           config_database(r->config, "*") != NULL;
}

/* Others log in through its pools, or min_pool_size fills them. */
static bool is_kept(const struct account *a, const struct config *cfg)
{
    const struct database *db = a->database;
    if (db->line->user == NULL || a->shares_pools) { return false; }
    const struct database_config *line = config_line(cfg, db->name);
    int least = line->min_pool_size >= 0 ? line->min_pool_size : cfg->o.min_pool_size;
    return least > 0 || db->accounts.next->next != &db->accounts;
}

/* ---- what was counted ------------------------------------------------------------------------ */

static void move_counter(_Atomic uint64_t *to, _Atomic uint64_t *from)
{
    atomic_fetch_add_explicit(to, atomic_exchange_explicit(from, 0, memory_order_relaxed),
                              memory_order_relaxed);
}

static void move_stats(struct stats *to, struct stats *from)
{
    move_counter(&to->assignments, &from->assignments);
    move_counter(&to->xacts, &from->xacts);
    move_counter(&to->queries, &from->queries);
    move_counter(&to->received, &from->received);
    move_counter(&to->sent, &from->sent);
    move_counter(&to->xact_us, &from->xact_us);
    move_counter(&to->query_us, &from->query_us);
    move_counter(&to->wait_us, &from->wait_us);
    move_counter(&to->client_parses, &from->client_parses);
    move_counter(&to->server_parses, &from->server_parses);
    move_counter(&to->binds, &from->binds);
    move_counter(&to->logins, &from->logins);
    move_counter(&to->cache_hits, &from->cache_hits);
    move_counter(&to->replica_queries, &from->replica_queries);
}

static void move_account_stats(struct database *to, struct account *from)
{
    if (to == NULL) { return; } /* with its last trace a name's counters begin anew */
    if (to->past == NULL) { to->past = mem_zeroed_lines(sizeof *to->past); }
    for (unsigned i = 0; i < from->stats_count; i++) { move_stats(to->past, &from->stats[i]); }
}

/* ---- out of the tables, and back ------------------------------------------------------------- */

static void each_pool(struct account *a, void (*act)(struct pool *p))
{
    for (size_t i = 0; i < a->database->topology->count && !a->shares_pools; i++) {
        act(a->pools[i]);
    }
}

static void doom_account(struct registry *r, struct account *a)
{
    account_unlist_locked(r, a);
    dlist_remove(&a->node);
    dlist_push_back(&r->doomed_accounts, &a->node);
    each_pool(a, pool_hide);
    move_account_stats(a->database, a);
}

static void doom_database(struct registry *r, struct database *db)
{
    struct database *next = registry_find_locked(r, db->name);
    dlist_remove(&db->node);
    dlist_push_back(&r->doomed_databases, &db->node);
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        each_pool(a, pool_hide);
        move_account_stats(next, a);
    }
    if (next != NULL && db->past != NULL) {
        if (next->past == NULL) { next->past = mem_zeroed_lines(sizeof *next->past); }
        move_stats(next->past, db->past);
    }
}

/* The name may lead to another by now: then it serves whom it has, and goes after them. */
static void restore_account(struct registry *r, struct account *a)
{
    struct database *db = a->database;
    struct bytes key = bytes_of(a->key, strlen(db->name) + 1 + strlen(a->user));
    dlist_remove(&a->node);
    dlist_push_back(&db->accounts, &a->node);
    each_pool(a, pool_show);
    if (!atomic_load(&db->retired) && hmap_find(&r->accounts, key) == NULL) {
        hmap_insert(&r->accounts, &a->link, key);
        a->listed = true;
    }
}

static void restore_database(struct registry *r, struct database *db)
{
    dlist_remove(&db->node);
    dlist_push_back(&r->databases, &db->node);
    dlist_each (node, &db->accounts) {
        each_pool(container_of(node, struct account, node), pool_show);
    }
}

/* ---- one look at everything ------------------------------------------------------------------ */

static void consider(struct registry *r, struct database *db, int64_t now_us)
{
    const struct options *o = &r->config->o;
    bool used = database_is_used(db, now_us);
    bool told = atomic_load(&db->paused) || atomic_load(&db->disabled);
    if (!atomic_load(&db->retired) && db->automatic && !told &&
        is_over(db->idle_since_us, o->autodb_idle_timeout_us, now_us)) {
        registry_retire_locked(r, db);
    }
    if (atomic_load(&db->retired)) {
        if (!used && atomic_load(&db->watchers) == 0 && !is_remembered(r, db)) {
            doom_database(r, db);
        }
        return;
    }
    dlist_each (node, &db->accounts) {
        struct account *a = container_of(node, struct account, node);
        if (is_over(a->idle_since_us, o->pool_idle_timeout_us, now_us) && !is_kept(a, r->config)) {
            doom_account(r, a);
        }
    }
}

static void note_ids(struct registry *r)
{
    r->doomed_ids_count = 0;
    dlist_each (node, &r->doomed_databases) {
        r->doomed_ids = mem_grow(r->doomed_ids, r->doomed_ids_count + 1, sizeof(uint32_t));
        r->doomed_ids[r->doomed_ids_count++] = container_of(node, struct database, node)->id;
    }
}

bool registry_doom(struct registry *r, int64_t now_us)
{
    lock_take(&r->lock);
    dlist_each (node, &r->databases) {
        consider(r, container_of(node, struct database, node), now_us);
    }
    lock_drop(&r->lock);
    note_ids(r); /* only this thread changes the lists */
    return !dlist_empty(&r->doomed_databases) || !dlist_empty(&r->doomed_accounts);
}

const uint32_t *registry_doomed(const struct registry *r, size_t *ret_count)
{
    *ret_count = r->doomed_ids_count;
    return r->doomed_ids;
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool any_account_is_used(const struct database *db)
{
    dlist_each (node, &db->accounts) {
        if (is_used(container_of(node, struct account, node))) { return true; }
    }
    return false;
}

static void restore_used(struct registry *r)
{
    dlist_each (node, &r->doomed_accounts) {
        struct account *a = container_of(node, struct account, node);
        if (is_used(a)) { restore_account(r, a); }
    }
    dlist_each (node, &r->doomed_databases) {
        struct database *db = container_of(node, struct database, node);
        if (atomic_load(&db->clients) > 0 || any_account_is_used(db)) { restore_database(r, db); }
    }
}

static void free_account(struct registry *r, struct account *a)
{
    const struct log_who who = {
        .kind = 'S', .ptr = a, .database = a->database->name, .user = a->server_user};
    log_info(&who, "cleaning up idle pool");
    account_free(r, &a);
}

static void free_database(struct registry *r, struct database *db)
{
    bool replaced = config_database(r->config, db->name) != NULL;
    if (!replaced) {
        log_warn(NULL,
                 "dropping database '%s' as it does not exist anymore or inactive auto-database",
                 db->name);
    }
    log_debug(NULL, "event=definition_freed database=%s id=%u", db->name, (unsigned)db->id);
    database_free(r, &db);
}

size_t registry_reap(struct registry *r)
{
    struct dlist databases, accounts, *node;
    size_t freed = 0;
    dlist_init(&databases);
    dlist_init(&accounts);
    lock_take(&r->lock);
    restore_used(r);
    /* After that: who holds something may have it from a client that has left since. */
    if (atomic_load(&r->holders) == 0) {
        while ((node = dlist_pop_front(&r->doomed_accounts)) != NULL) {
            dlist_push_back(&accounts, node);
        }
        while ((node = dlist_pop_front(&r->doomed_databases)) != NULL) {
            dlist_push_back(&databases, node);
        }
    }
    lock_drop(&r->lock);
    while ((node = dlist_pop_front(&accounts)) != NULL) {
        free_account(r, container_of(node, struct account, node));
        freed++;
    }
    while ((node = dlist_pop_front(&databases)) != NULL) {
        free_database(r, container_of(node, struct database, node));
        freed++;
    }
    return freed;
}
