/* A pool's birth: its limits and its target, from the database line, the user line and the options.
 */
#include <limits.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/clock.h"
#include "pool/internal.h"
#include "server/tuning.h"

unsigned pool_limit(const struct pool *p)
{
    bool replica = atomic_load_explicit(&p->node->role, memory_order_relaxed) == NODE_REPLICA;
    return atomic_load(replica ? &p->seats->replica_size : &p->seats->size);
}

bool pool_take_seat(struct pool *p, bool reserve)
{
    unsigned limit = pool_limit(p), more = reserve ? atomic_load(&p->seats->reserve_size) : 0;
    return seats_take(p->seats, more > UINT_MAX - limit ? UINT_MAX : limit + more);
}

struct longest {
    struct pool *pool;
    int64_t since_us;
};

static void compare(struct dlist *member, void *arg)
{
    struct longest *l = arg;
    struct pool *p = container_of(member, struct pool, kin);
    int64_t oldest_us = atomic_load(&p->share.oldest_us);
    if (oldest_us == 0 || (l->since_us != 0 && oldest_us >= l->since_us)) { return; }
    l->pool = p;
    l->since_us = oldest_us;
}

struct pool *pool_give_seat(struct pool *p)
{
    struct longest l = {.pool = NULL, .since_us = atomic_load(&p->share.oldest_us)};
    seats_give(p->seats);
    seats_each(p->seats, compare, &l);
    return l.pool;
}

static int pick(int of_user, int of_database, int of_all)
{
    return of_user >= 0 ? of_user : of_database >= 0 ? of_database : of_all;
}

static unsigned limit_of(int size)
{
    return size == 0 ? UINT_MAX : (unsigned)size;
}

void pool_configure(struct pool *p, const struct config *cfg)
{
    const struct options *o = &cfg->o;
    const struct database_config *line = config_line(cfg, p->account->database->name);
    const struct user_config *user = config_user(cfg, p->account->server_user);
    int size = pick(user == NULL ? -1 : user->pool_size, line->pool_size, o->default_pool_size);
    int64_t lifetime_us =
        line->server_lifetime_us >= 0 ? line->server_lifetime_us : o->server_lifetime_us;
    lock_take(&p->lock);
    int replica_size = line->replica_pool_size >= 0 ? line->replica_pool_size : size;
    atomic_store(&p->seats->size, limit_of(size));
    atomic_store(&p->seats->replica_size, limit_of(replica_size));
    p->min_size = (unsigned)pick(-1, line->min_pool_size, o->min_pool_size);
    atomic_store(&p->seats->reserve_size,
                 (unsigned)pick(user == NULL ? -1 : user->reserve_pool_size,
                                line->reserve_pool_size, o->reserve_pool_size));
    p->pinned_limit = (unsigned)o->max_pinned_servers;
    p->reserve_wait_us = o->reserve_pool_timeout_us;
    p->login_retry_us = o->server_login_retry_us;
    p->round_robin = o->server_round_robin;
    lock_drop(&p->lock);
    p->lifetime_us = lifetime_us;
    p->age_gap_us = size == 0 ? 0 : lifetime_us / size;
    p->idle_timeout_us = o->server_idle_timeout_us;
    p->clean_timeout_us = p->target.cancel_timeout_us;
    p->check_delay_us = o->server_check_delay_us;
    news_tell(&p->share.limits->room); /* it may have grown */
}

static void add_startup(struct pool *p, unsigned *n, const char *name, const char *value)
{
    if (value == NULL) { return; }
    p->startup[(*n)++] = name;
    p->startup[(*n)++] = value;
}

struct pool *pool_new(struct account *a, struct node *node, struct limits *limits,
                      struct loop **loops, unsigned loops_count, struct pool *before)
{
    const struct database_config *line = a->database->line;
    const struct options *o = &a->database->config->o;
    struct pool *p = mem_new(struct pool);
    lock_init(&p->lock, RANK_POOL);
    p->account = a;
    p->node = node;
    p->loops = loops;
    p->loops_count = loops_count;
    p->seats = before == NULL ? seats_new() : before->seats;
    seats_join(p->seats, &p->kin);
    dlist_init(&p->waiters);
    dlist_init(&p->all);
    p->idle = mem_array(struct dlist, loops_count);
    for (unsigned i = 0; i < loops_count; i++) { dlist_init(&p->idle[i]); }
    share_init(&p->share, limits, a->database->servers_cap, a->servers_cap);
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
        .cancel_timeout_us = cancel_timeout_of(o),
        .tuning = tuning_of(o),
        .max_prepared = o->max_prepared_statements > 0 ? (unsigned)o->max_prepared_statements : 0,
        .cancels = &p->cancels,
    };
    p->reset_query = o->server_reset_query;
    p->reset_always = o->server_reset_query_always;
    /* "<empty>" is the empty query, "" is no check. */
    bool empty = strcmp(o->server_check_query, "<empty>") == 0;
    p->check_query = empty ? ";" : o->server_check_query;
    pool_configure(p, a->database->config);
    return p;
}

bool pool_is_unused(struct pool *p)
{
    lock_take(&p->lock);
    bool unused = p->total == 0 && p->waiting == 0 && p->checking == 0;
    lock_drop(&p->lock);
    return unused && atomic_load(&p->cancels) == 0 && share_is_unused(&p->share);
}

void pool_hide(struct pool *p)
{
    share_hide(&p->share);
}

void pool_show(struct pool *p)
{
    share_show(&p->share);
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
        seats_give(p->seats);
    }
    seats_leave(&p->seats, &p->kin);
    share_done(&p->share);
    mem_free(&p->idle);
    mem_free(&p->startup);
    lock_done(&p->lock);
    mem_free(&p);
}
