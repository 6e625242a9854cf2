/* A database's user: what was learned of it, and its pools. */
#include <string.h>

#include "base/mem.h"
#include "pool/pool.h"
#include "pool/registry_inside.h"

void account_free(struct registry *r, struct account **pa)
{
    struct account *a = *pa;
    *pa = NULL;
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
    limits_drop(&r->clients, &a->clients_cap);
    limits_drop(&r->servers, &a->servers_cap);
    identity_unref(&a->identity);
    userlist_unref(&a->userlist);
    vault_done(&a->vault);
    lock_done(&a->profiles_lock);
    mem_free(&a->user);
    mem_free(&a->server_user);
    mem_free(&a->stats);
    mem_free(&a);
}

/* Servers are counted by whom they log in as, clients by whom they are. */
void account_cap_locked(struct registry *r, const struct account *a)
{
    const struct options *o = &r->config->o;
    const struct user_config *server = config_user(r->config, a->server_user);
    const struct user_config *client = config_user(r->config, a->user);
    limits_set(&r->servers, a->servers_cap,
               server != NULL && server->max_user_connections >= 0 ? server->max_user_connections
                                                                   : o->max_user_connections);
    limits_set(&r->clients, a->clients_cap,
               client != NULL && client->max_user_client_connections >= 0
                   ? client->max_user_client_connections
                   : o->max_user_client_connections);
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

/* ---- whose servers are still there, when a reload makes the pools anew ------------------------
 */

static const struct account *newest_in(const struct dlist *databases, const struct account *a)
{
    const struct account *found = NULL;
    dlist_each (node, databases) {
        const struct database *old = container_of(node, struct database, node);
        if (old == a->database || strcmp(old->name, a->database->name) != 0) { continue; }
        dlist_each (other_node, &old->accounts) {
            const struct account *other = container_of(other_node, struct account, node);
            bool same = !other->shares_pools && strcmp(other->server_user, a->server_user) == 0;
            if (same) { found = other; }
        }
    }
    return found;
}

static const struct account *account_before(const struct registry *r, const struct account *a)
{
    const struct account *found = newest_in(&r->databases, a);
    return found != NULL ? found : newest_in(&r->doomed_databases, a);
}

static bool is_same_node(const struct node *a, const struct node *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* The pool of the same machine; for one that is new, of the machine that it stands in for. */
static struct pool *pool_before(const struct account *old, const struct topology *t, size_t i)
{
    const struct topology *was = old->database->topology;
    for (size_t k = 0; k < was->count; k++) {
        if (is_same_node(&was->nodes[k], &t->nodes[i])) { return old->pools[k]; }
    }
    if (i >= was->count) { return NULL; }
    for (size_t k = 0; k < t->count; k++) {
        if (is_same_node(&was->nodes[i], &t->nodes[k])) { return NULL; }
    }
    return old->pools[i];
}

struct account *account_new_locked(struct registry *r, struct database *db, const char *user)
{
    size_t name_len = strlen(db->name) + 1, key_len = name_len + strlen(user);
    struct account *a = mem_zeroed(sizeof *a + key_len);
    memcpy(a->key, db->name, name_len);
    memcpy(a->key + name_len, user, key_len - name_len);
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
    a->servers_cap = limits_cap(&r->servers, CAP_USER, a->server_user);
    account_cap_locked(r, a);
    if (db->line->user != NULL && !dlist_empty(&db->accounts)) { /* all log in as one */
        a->pools = container_of(db->accounts.next, struct account, node)->pools;
        a->shares_pools = true;
    } else {
        const struct account *before = account_before(r, a);
        a->pools = mem_array(struct pool *, db->topology->count);
        for (size_t i = 0; i < db->topology->count; i++) {
            struct pool *old = before == NULL ? NULL : pool_before(before, db->topology, i);
            a->pools[i] =
                pool_new(a, &db->topology->nodes[i], &r->servers, r->loops, r->loops_count, old);
        }
    }
    dlist_push_back(&db->accounts, &a->node);
    if (!atomic_load(&db->retired)) {
        hmap_insert(&r->accounts, &a->link, bytes_of(a->key, key_len));
        a->listed = true;
    }
    return a;
}

void account_unlist_locked(struct registry *r, struct account *a)
{
    if (a->listed) { hmap_remove(&r->accounts, &a->link); }
    a->listed = false;
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
