/*
 * The limits on a client's time, looked at three times a second: a query that runs too long, a
 * transaction that lasts or idles too long, a client that has not been heard of.
 */
#include "base/clock.h"
#include "request/request.h"

static int64_t pick(int64_t of_user_us, int64_t of_all_us)
{
    return of_user_us >= 0 ? of_user_us : of_all_us;
}

static bool is_over(int64_t since_us, int64_t limit_us, int64_t now_us)
{
    return limit_us > 0 && now_us - since_us > limit_us;
}

/* The limit that the client has passed, as a fault; false: none. */
static bool find_fault(const struct client *c, int64_t now_us, struct fault *why)
{
    const struct config *cfg = c->front->config;
    const struct options *o = &cfg->o;
    static const struct user_config nobody = {.query_timeout_us = -1,
                                              .idle_transaction_timeout_us = -1,
                                              .transaction_timeout_us = -1,
                                              .client_idle_timeout_us = -1};
    const struct user_config *u = config_user(cfg, c->account->user);
    if (u == NULL) { u = &nobody; }
    const struct request *r = c->request;
    bool waiting = r != NULL && r->waiting;
    bool running = r != NULL && r->server != NULL && r->server->expects.count > 0;
    int64_t query_us = pick(u->query_timeout_us, o->query_timeout_us);
    if (running && is_over(r->server->requested_us, query_us, now_us)) {
        (void)fault_state(why, E_TIMEOUT, "57014", "query timeout");
        return true;
    }
    if (waiting && r->ticket.state == TICKET_WAITING && is_over(r->arrived_us, query_us, now_us)) {
        (void)fault_state(why, E_TIMEOUT, "57014", "query_timeout"); /* PgBouncer's two spellings */
        return true;
    }
    if (c->status != 'I' && r != NULL && r->server != NULL &&
        is_over(r->began_us, pick(u->transaction_timeout_us, o->transaction_timeout_us), now_us)) {
        (void)fault_state(why, E_TIMEOUT, "25P04", "transaction timeout");
        return true;
    }
    if (running || waiting) { return false; }
    if (c->status != 'I') {
        (void)fault_state(why, E_TIMEOUT, "25P03", "idle transaction timeout");
        return is_over(c->active_us,
                       pick(u->idle_transaction_timeout_us, o->idle_transaction_timeout_us),
                       now_us);
    }
    (void)fault_state(why, E_TIMEOUT, "57P05", "client_idle_timeout");
    return is_over(c->active_us, pick(u->client_idle_timeout_us, o->client_idle_timeout_us),
                   now_us);
}

static bool has_limits(const struct config *cfg)
{
    const struct options *o = &cfg->o;
    return o->query_timeout_us > 0 || o->transaction_timeout_us > 0 ||
           o->idle_transaction_timeout_us > 0 || o->client_idle_timeout_us > 0 ||
           cfg->users_count > 0;
}

/*
 * server_fast_close: a session that only its pool_mode ties to a server that is to be closed goes
 * on with another, between transactions.
 */
static void let_go(struct client *c)
{
    struct request *r = c->request;
    if (r == NULL || r->server == NULL || c->pins != PIN_SESSION || c->status != 'I') { return; }
    bool replaced = atomic_load(&c->account->database->retired);
    if (!r->server->close_needed && !replaced) { return; }
    if (r->waiting || r->step != STEP_READ || r->left > 0 || r->batch_open || r->bumping ||
        r->settling || r->server->expects.count > 0 || r->server->copy_in || r->server->left > 0) {
        return;
    }
    pool_discard(&r->server, "database configuration changed");
    request_resume(c);
}

void request_check_limits(struct front *f)
{
    int64_t now_us = clock_now_us();
    bool limits = has_limits(f->config), fast = f->config->o.server_fast_close;
    if (!limits && !fast) { return; }
    dlist_each (node, &f->clients) {
        struct client *c = container_of(node, struct client, node);
        struct fault why;
        if (c->state != CLIENT_READY || c->account == NULL || c->replication != NULL) { continue; }
        if (fast) { let_go(c); }
        if (c->state != CLIENT_READY || !limits) { continue; }
        if (find_fault(c, now_us, &why)) { client_fail(c, &why); }
    }
}
