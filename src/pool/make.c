/* A pool's birth: its limits and its target, from the database line, the user line and the options.
 */
#include <limits.h>
#include <stddef.h>

#include "base/mem.h"
#include "pool/internal.h"

unsigned pool_limit(const struct pool *p)
{
    const struct account *a = p->account;
    const struct config *cfg = a->database->config;
    const struct user_config *user = config_user(cfg, a->user);
    int size = cfg->o.default_pool_size;
    if (a->database->line->pool_size >= 0) { size = a->database->line->pool_size; }
    if (user != NULL && user->pool_size >= 0) { size = user->pool_size; }
    if (atomic_load_explicit(&p->node->role, memory_order_relaxed) == NODE_REPLICA &&
        a->database->line->replica_pool_size >= 0) {
        size = a->database->line->replica_pool_size;
    }
    return size == 0 ? UINT_MAX : (unsigned)size;
}

static void add_startup(struct pool *p, unsigned *n, const char *name, const char *value)
{
    if (value == NULL) { return; }
    p->startup[(*n)++] = name;
    p->startup[(*n)++] = value;
}

struct pool *pool_new(struct account *a, struct node *node, struct loop **loops,
                      unsigned loops_count)
{
    const struct database_config *line = a->database->line;
    const struct options *o = &a->database->config->o;
    struct pool *p = mem_new(struct pool);
    lock_init(&p->lock, RANK_POOL);
    p->account = a;
    p->node = node;
    p->loops = loops;
    p->loops_count = loops_count;
    dlist_init(&p->waiters);
    dlist_init(&p->all);
    p->idle = mem_array(struct dlist, loops_count);
    for (unsigned i = 0; i < loops_count; i++) { dlist_init(&p->idle[i]); }
    p->startup = mem_array(const char *, 16);
    unsigned n = 0;
    add_startup(p, &n, "client_encoding", line->client_encoding);
    add_startup(p, &n, "datestyle", line->datestyle);
    add_startup(p, &n, "timezone", line->timezone);
    add_startup(p, &n, "application_name", line->application_name);
    p->target = (struct server_target){
        .node = node,
        .dbname = line->dbname != NULL ? line->dbname : a->database->name,
        .user = a->server_user,
        .password = a->password,
        .secret = a->secret,
        .vault = &a->vault,
        .connect_query = line->connect_query,
        .tls = a->database->tls,
        .tls_mode = o->server_tls_sslmode,
        .startup = p->startup,
        .connect_timeout_us = o->server_connect_timeout_us,
        .keepalive = o->tcp_keepalive,
        .max_prepared = o->max_prepared_statements > 0 ? (unsigned)o->max_prepared_statements : 0,
    };
    p->lifetime_us =
        line->server_lifetime_us >= 0 ? line->server_lifetime_us : o->server_lifetime_us;
    p->idle_timeout_us = o->server_idle_timeout_us;
    p->clean_timeout_us = o->cancel_wait_timeout_us > 0 ? o->cancel_wait_timeout_us : 10 * 1000000;
    p->reset_query = o->server_reset_query;
    return p;
}

/* The workers have stopped: whatever is left is closed without ceremony. */
void pool_free(struct pool **pp)
{
    struct pool *p = *pp;
    if (p == NULL) { return; }
    *pp = NULL;
    struct dlist *node;
    while ((node = dlist_pop_front(&p->all)) != NULL) {
        struct server *s = container_of(node, struct server, all);
        server_free(&s);
    }
    mem_free(&p->idle);
    mem_free(&p->startup);
    lock_done(&p->lock);
    mem_free(&p);
}
