/*
 * Choosing a node is a walk over a handful of atomics: no lock, no list to keep in order. The
 * fields are written one by one, so a reader may see a new role with an old lag; each choice
 * therefore rests on one field that alone keeps it safe: the role and timeline for the primary,
 * caught_up_us (0 whenever it is in doubt) for a replica.
 */
#include "route/node.h"

#include "base/clock.h"
#include <stdio.h>

#include "base/mem.h"

struct topology *topology_new(const struct database_config *db)
{
    struct topology *t = mem_new(struct topology);
    t->count = db->hosts_count;
    t->balance =
        db->load_balance_hosts != NULL && strcmp(db->load_balance_hosts, "round-robin") == 0;
    news_init(&t->news);
    t->nodes = mem_array(struct node, t->count > 0 ? t->count : 1);
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = &t->nodes[i];
        n->topology = t;
        n->host = mem_strdup(db->hosts[i].host);
        n->port = db->hosts[i].port;
        n->index = (unsigned)i;
        lock_init(&n->error_lock, RANK_LEAF);
        atomic_store(&n->up, true); /* until something says otherwise */
    }
    return t;
}

void node_error(struct node *n, char *text, size_t size)
{
    lock_take(&n->error_lock);
    (void)snprintf(text, size, "%s", n->last_error);
    lock_drop(&n->error_lock);
}

void node_set_error(struct node *n, const char *text)
{
    lock_take(&n->error_lock);
    (void)snprintf(n->last_error, sizeof n->last_error, "%s", text);
    lock_drop(&n->error_lock);
}

void topology_free(struct topology **t)
{
    if (*t == NULL) { return; }
    for (size_t i = 0; i < (*t)->count; i++) {
        lock_done(&(*t)->nodes[i].error_lock);
        mem_free(&(*t)->nodes[i].host);
    }
    news_done(&(*t)->news);
    mem_free(&(*t)->nodes);
    mem_free(t);
}

const char *node_role_name(int role)
{
    switch ((enum node_role)role) {
    case NODE_UNKNOWN: return "unknown";
    case NODE_PRIMARY: return "primary";
    case NODE_REPLICA: return "replica";
    }
    return "unknown";
}

/* Nothing probes: a node is out of the running for a while after it failed or refused a write. */
static bool worth_trying(const struct node *n)
{
    if (atomic_load(&n->role) == NODE_REPLICA && atomic_load(&n->probed_us) != 0) { return false; }
    if (atomic_load(&n->up) && atomic_load(&n->role) != NODE_REPLICA) { return true; }
    return clock_now_us() - atomic_load(&n->failed_us) >= ROUTE_RETRY_US;
}

static struct node *first_worth_trying(struct topology *t)
{
    if (t->count == 1) { return &t->nodes[0]; } /* there is no other to turn to */
    unsigned first = t->balance ? atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed) : 0;
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = &t->nodes[(first + i) % t->count];
        if (worth_trying(n)) { return n; }
    }
    return NULL;
}

int64_t route_again_us(const struct topology *t)
{
    int64_t again_us = 0;
    for (size_t i = 0; i < t->count && !atomic_load(&t->probed); i++) {
        int64_t failed_us = atomic_load(&t->nodes[i].failed_us);
        if (failed_us == 0) { continue; }
        int64_t then_us = failed_us + ROUTE_RETRY_US;
        if (again_us == 0 || then_us < again_us) { again_us = then_us; }
    }
    return again_us;
}

struct node *route_primary(struct topology *t)
{
    if (!atomic_load(&t->probed)) {
        return atomic_load(&t->settling) ? NULL : first_worth_trying(t);
    }
    struct node *best = NULL;
    uint32_t newest = atomic_load(&t->timeline);
    for (size_t i = 0; i < t->count; i++) {
        struct node *n = &t->nodes[i];
        uint32_t timeline = atomic_load(&n->timeline);
        if (atomic_load(&n->role) != NODE_PRIMARY || !atomic_load(&n->up)) { continue; }
        if (timeline < newest) { continue; }
        if (best == NULL || timeline > atomic_load(&best->timeline)) { best = n; }
    }
    return best;
}

/*
 * The lag is taken anew from caught_up_us: when probes stall, lag_us stands still but the doubt
 * grows. A commit acknowledged in the same microsecond as a sample may have missed it: hence `>`.
 */
static bool may_serve(const struct node *n, int64_t since_us, int64_t max_lag_us, int64_t now_us)
{
    if (atomic_load(&n->role) != NODE_REPLICA || !atomic_load(&n->up)) { return false; }
    int64_t caught_up_us = atomic_load(&n->caught_up_us);
    if (caught_up_us <= 0 || caught_up_us == INT64_MAX) { return false; }
    return caught_up_us > since_us && now_us - caught_up_us <= max_lag_us;
}

struct node *route_replica(struct topology *t, int64_t since_us, int64_t max_lag_us, int64_t now_us,
                           bool with_primary)
{
    if (!atomic_load(&t->probed) || t->count < 2) { return NULL; }
    unsigned first = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    /* Round robin over those that may serve: starting at any node and taking the next fit one would
       give the neighbour of an unfit node twice its share. */
    unsigned fit = 0;
    for (size_t i = 0; i < t->count; i++) {
        fit += may_serve(&t->nodes[i], since_us, max_lag_us, now_us) ? 1 : 0;
    }
    if (fit == 0) { return NULL; }
    unsigned skip = first % (fit + with_primary); /* the last turn is the primary's */
    for (size_t i = 0; i < t->count; i++) {
        if (!may_serve(&t->nodes[i], since_us, max_lag_us, now_us)) { continue; }
        if (skip-- == 0) { return &t->nodes[i]; }
    }
    return NULL; /* that, or the last fit one fell out between the two walks */
}

void route_node_failed(struct node *n, int64_t now_us)
{
    atomic_store(&n->failed_us, now_us);
    atomic_store(&n->up, false);
}

void route_node_worked(struct node *n)
{
    if (atomic_load_explicit(&n->up, memory_order_relaxed)) { return; }
    atomic_store(&n->failed_us, 0);
    atomic_store(&n->up, true);
    news_tell(&n->topology->news);
}

void route_node_demoted(struct node *n)
{
    /* Its replay position is not known: it serves nothing before a probe says so. */
    atomic_store(&n->caught_up_us, 0);
    atomic_store(&n->failed_us, clock_now_us());
    atomic_store(&n->role, NODE_REPLICA);
}
