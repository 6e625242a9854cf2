/*
 * Route: which node? What provably reads goes to a replica that has replayed what this client, or
 * every client, was told is committed; all else and all doubt goes to the primary. Checkout: a
 * server of it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "request/request.h"

static struct node *choose_replica(const struct request *r)
{
    const struct client *c = r->client;
    const struct database *db = c->account->database;
    int64_t since_us = db->consistency == READ_EVENTUAL ? 0 : c->wrote_us;
    /* What fills the cache is for everybody: it must hold every write whose version it was given.
       Other pgushers' writes are not known here, so what is shared through Redis is filled from the
       primary. */
    if (r->filling && db->cache == CACHE_REDIS) { return NULL; }
    if (db->consistency == READ_CLUSTER || r->filling) {
        const struct judgement *j = r->facts.judged;
        int64_t last_us = j == NULL ? recency_last(db->recency, NULL, 0)
                                    : recency_last(db->recency, j->deps, j->deps_count);
        if (last_us > since_us) { since_us = last_us; }
    }
    bool with_primary = c->front->config->o.primary_reads == PRIMARY_ALWAYS;
    return route_replica(db->topology, since_us, db->max_lag_us, clock_now_us(), with_primary);
}

/* A read that no replica may answer now is not the primary's either. What fills Redis is: it is
   asked for on the primary always. */
bool route_keeps_from_primary(const struct request *r)
{
    const struct database *db = r->client->account->database;
    return r->client->front->config->o.primary_reads == PRIMARY_NEVER && db->topology->count > 1 &&
           !(r->filling && db->cache == CACHE_REDIS);
}

static void on_news(struct news_wait *w)
{
    struct request *r = container_of(w, struct request, news);
    if (!r->waiting || r->server != NULL || r->step != STEP_ROUTE) { return; }
    request_unwait(r);
    request_resume(r->client);
}

static bool may_wait_for_node(const struct request *r)
{
    return clock_now_us() - r->arrived_us < r->client->front->config->o.failover_wait_us;
}

/* Until what is known of the nodes has changed, or again_us (0: none), or failover_wait is over. */
static enum move await_news(struct request *r, int64_t again_us)
{
    r->step = STEP_ROUTE;
    r->news.told = on_news;
    struct topology *t = r->client->account->database->topology;
    if (news_join(&t->news, &r->news, r->client->front->loop)) {
        return MOVE_AGAIN;
    } /* look once more */
    int64_t over_us = r->arrived_us + r->client->front->config->o.failover_wait_us;
    request_wait(r, again_us != 0 && again_us < over_us ? again_us : over_us);
    return MOVE_WAIT;
}

/* No node will do now: one may soon. */
static enum move await_node(struct request *r, const char *failed, const char *hint)
{
    if (may_wait_for_node(r)) {
        return await_news(r, route_again_us(r->client->account->database->topology));
    }
    struct fault why;
    (void)fault_state(&why, E_LOST, "57P03", "%s", failed);
    fault_hint(&why, "%s", hint);
    return request_fail(r, &why);
}

static bool may_use_replica(const struct request *r)
{
    const struct client *c = r->client;
    if (!c->account->database->split || r->primary_only || c->pins != 0) { return false; }
    if (!atomic_load_explicit(&c->account->database->topology->probed, memory_order_relaxed)) {
        return false;
    }
    if (c->begin != NULL) { return c->begin_reads && r->facts.replica; }
    return c->status == 'I' && r->facts.replica;
}

enum move step_route(struct request *r)
{
    struct client *c = r->client;
    if (r->server != NULL) {
        /* Attached: the transaction, pin or pipeline stays where it is, unless this cannot run
         * there. */
        if (r->on_replica && c->status == 'I' && !r->facts.replica) {
            if (r->server->expects.count > 0 || r->batch_open) {
                request_wait(r, 0);
                return MOVE_WAIT;
            }
            finish_release(r);
        } else {
            r->step = STEP_CHECKOUT;
            return MOVE_ON;
        }
    }
    if (request_is_outdated(r)) { /* by a reload, while it waited */
        r->step = STEP_CLASSIFY;
        return MOVE_AGAIN;
    }
    struct topology *t = c->account->database->topology;
    bool reads = may_use_replica(r);
    struct node *n = reads ? choose_replica(r) : NULL;
    r->on_replica = n != NULL;
    if (n == NULL && reads && route_keeps_from_primary(r)) {
        return await_node(r, "no replica can answer this read",
                          "Waited failover_wait for one; primary_reads is never.");
    }
    if (n == NULL) { n = route_primary(t); }
    if (n == NULL) { /* failover is observed, never caused: wait for whoever promotes */
        return await_node(r, "no primary server can be reached",
                          "Waited failover_wait for one to be promoted.");
    }
    r->ticket.pool = c->account->pools[n->index];
    return MOVE_ON;
}

static void on_granted(struct ticket *t)
{
    struct request *r = container_of(t, struct request, ticket);
    request_unwait(r);
    request_resume(r->client);
}

static void attach(struct request *r)
{
    struct stats *st = client_stats(r->client);
    r->server = r->ticket.server;
    r->ticket.server = NULL;
    news_leave(&r->news);
    r->nodes_tried = 0;
    r->attached_us = loop_now(r->client->front->loop);
    r->client->wait_since_us = 0;
    server_hold(r->server, relay_event, r);
    r->server->requested_us = r->began_us = r->attached_us;
    stats_add(&st->assignments, 1);
    stats_add(&st->wait_us, (uint64_t)(r->attached_us - r->arrived_us));
    if (r->on_replica) { stats_add(&st->replica_queries, 1); }
}

/* The node gave no server. */
static enum move try_elsewhere(struct request *r)
{
    const struct client *c = r->client;
    struct topology *t = c->account->database->topology;
    struct fault why = r->ticket.why;
    r->ticket.why.code = E_OK;
    if (r->on_replica) { /* a dead replica costs nothing but this try */
        r->primary_only = !route_keeps_from_primary(r);
        r->step = STEP_ROUTE;
        return MOVE_AGAIN;
    }
    const struct options *o = &c->front->config->o;
    bool probed = atomic_load(&t->probed);
    bool dead = why.code != E_AUTH && why.code != E_SERVER;
    if (probed && dead && may_wait_for_node(r)) {
        /* The node may be well and only its pool barred for a while. */
        int64_t retry_us = o->server_login_retry_us > 0 ? o->server_login_retry_us : ROUTE_RETRY_US;
        return await_news(r, clock_now_us() + retry_us);
    }
    /* Nothing probes: the next host of the list, each once. */
    const struct node *next = probed || !dead ? NULL : route_primary(t);
    if (next != NULL && c->account->pools[next->index] != r->ticket.pool &&
        ++r->nodes_tried < t->count) {
        r->step = STEP_ROUTE;
        return MOVE_AGAIN;
    }
    r->nodes_tried = 0;
    return request_fail(r, &why);
}

enum move step_checkout(struct request *r)
{
    struct client *c = r->client;
    if (r->server != NULL) { return MOVE_ON; }
    if (r->ticket.state == TICKET_NONE && r->ticket.server != NULL) { /* granted while we waited */
        attach(r);
        return MOVE_ON;
    }
    if (r->ticket.state == TICKET_NONE && r->ticket.why.code != E_OK) { return try_elsewhere(r); }
    r->ticket.granted = on_granted;
    r->ticket.want = c->in_tx;
    int64_t now_us = loop_now(c->front->loop);
    enum err e = pool_checkout(r->ticket.pool, &r->ticket, c->front->loop, now_us);
    if (e == E_OK) {
        attach(r);
        return MOVE_ON;
    }
    if (e != E_AGAIN) { return try_elsewhere(r); }
    c->wait_since_us = now_us;
    request_wait_for_server(r, now_us);
    return MOVE_WAIT;
}
