/*
 * Finish: what the transaction changed takes effect; the server goes back to its pool as soon as
 * nothing ties it to the client. And the other ends: the server dies, the client leaves.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "request/request.h"

static void settle_settings(struct client *c, bool kept)
{
    const struct varset **from = kept ? &c->in_tx : &c->wanted;
    const struct varset **to = kept ? &c->wanted : &c->in_tx;
    if (*from == *to) { return; }
    varset_unref(to);
    *to = varset_ref(*from);
}

static void end_transaction(struct request *r, bool committed)
{
    struct client *c = r->client;
    struct stats *st = client_stats(c);
    settle_settings(c, committed);
    savepoints_clear(c);
    stats_add(&st->xacts, 1);
    stats_add(&st->xact_us, (uint64_t)(loop_now(c->front->loop) - r->began_us));
    r->bumped = false;
    /* In a pipeline, writes of what is still under way are among them: then they stay. */
    if (r->server == NULL || r->server->expects.count == 0) {
        r->writes_all = false;
        r->writes_count = 0;
    }
}

static void set_date_style(const struct varset **slot, const char *value)
{
    struct varset_edit edit;
    varset_edit_begin(&edit, *slot);
    varset_edit_set(&edit, "datestyle", value);
    const struct varset *old = *slot;
    *slot = varset_edit_end(&edit);
    varset_unref(&old);
}

/* SET DateStyle may name only a part, the rest stays: what to carry is what the server reports. */
static void take_date_style(struct request *r)
{
    assert(r->server != NULL);
    const char *value = server_param(r->server, "DateStyle");
    if (value == NULL || varset_get(r->client->in_tx, "datestyle") == NULL) { return; }
    set_date_style(&r->client->in_tx, value);
    bool settled = r->server->have == r->server->now;
    const struct varset *now = varset_ref(r->server->now);
    set_date_style(&now, value);
    server_assume(r->server, now);
    if (settled) {
        varset_unref(&r->server->have);
        r->server->have = varset_ref(now);
    }
    varset_unref(&now);
}

void finish_ready(struct request *r, uint8_t status, bool failed, bool rolled_back, bool committed)
{
    struct client *c = r->client;
    c->status = status;
    c->active_us = loop_now(c->front->loop);
    r->tries = 0;
    /* A function may have changed what the caller must not: all of it is set again before the next.
     */
    if (c->account->identity != NULL && r->server != NULL &&
        ((r->pins & PIN_UNKNOWN) != 0 || r->server->reset_needed)) {
        r->server->sure = false;
    }
    r->frees = r->frees || rolled_back;
    pins_settle(r, failed);
    if (failed && r->resets != 0 && r->server != NULL) {
        r->server->sure = false; /* DISCARD ALL may have been done before the error */
    }
    if (r->dates && !failed && r->server != NULL) { take_date_style(r); }
    r->resets = 0;
    r->dates = r->partly = false;
    /* In a text of several, or AND CHAIN, it may be over though an error or a new one follows. */
    if (committed) {
        settle_settings(c, true);
    } else if (rolled_back && r->chains) {
        settle_settings(c, false);
    }
    r->chains = false;
    if (status == 'I') {
        names_forget_portals(r);
        end_transaction(r, committed || (!failed && !rolled_back));
    }
}

void finish_discarded(struct request *r)
{
    struct client *c = r->client;
    server_settle(r->server, varset_empty());
    varset_unref(&c->wanted);
    varset_unref(&c->in_tx);
    c->wanted = varset_ref(c->base);
    c->in_tx = varset_ref(c->base);
    pins_discarded(r);
}

void finish_release(struct request *r)
{
    buf_clear(&r->again);
    r->tries = 0;
    r->on_replica = r->primary_only = r->frees = false;
    touched_forget(r);
    pool_checkin(&r->server);
}

/*
 * In a transaction, what was done is lost, and the client must not go on as if it were not: it is
 * told 08006, then 25P02 until it ends the transaction. Outside, the session lives on.
 */
void finish_lost(struct request *r, const struct fault *why)
{
    struct client *c = r->client;
    const struct log_who who = client_who(c);
    bool in_transaction = c->status != 'I';
    bool pinned = c->pins != 0;
    bool cut_short = r->server != NULL && r->server->left > 0 && !r->row_drops;
    /* While nothing is asked, nothing may be said: the next statement is told. */
    bool owed = r->batch_open || r->left > 0 || r->waiting || r->step != STEP_READ ||
                (r->server != NULL && r->server->expects.count > 0);
    log_warn(&who, "event=server_lost reason=\"%s\" in_transaction=%d", why->text, in_transaction);
    store_finish(r, false);
    if (r->server != NULL) { pool_discard(&r->server, "server conn crashed?"); }
    if (r->writes_all || r->writes_count > 0) { (void)store_bump(r); } /* it may have committed */
    if (r->bumping) {
        cache_bump_forget(r->desk->cache, &r->bump);
        r->bumping = false;
    }
    listen_abandon(r);
    listen_forget(c);
    r->on_replica = false;
    if (cut_short) { /* the client waits for the rest of a message that will not come */
        client_close(c, why->text);
        return;
    }
    if (pinned) { /* the state it relied on is gone with the server */
        client_fail(c, why);
        return;
    }
    end_transaction(r, false);
    if (!owed) {
        c->lost = c->lost_untold = in_transaction;
        return;
    }
    bool batch = r->batch_open || r->left > 0;
    client_put_error(c, "ERROR", why);
    c->lost = in_transaction;
    c->status = in_transaction ? 'E' : 'I';
    r->batch_open = r->settings_sent = false;
    r->left_drops = r->left > 0;
    if (batch) {
        c->skip_to_sync = true;
    } else {
        compose_ready(&c->stream.out, c->status);
    }
    stream_flush(&c->stream);
}

/* The client leaves: what it left running is cancelled and rolled back, what it left set is reset.
 */
void finish_abandon(struct client *c)
{
    struct request *r = c->request;
    savepoints_clear(c);
    listen_close(c);
    if (r == NULL) { return; }
    listen_abandon(r);
    request_unwait(r);
    pool_leave(&r->ticket);
    if (r->ticket.server != NULL) { pool_checkin(&r->ticket.server); }
    if (r->bumping) { cache_bump_forget(r->desk->cache, &r->bump); }
    if (r->cache.state != NULL) { cache_drop(r->desk->cache, &r->cache, false); }
    struct server *s = r->server;
    if (s != NULL) {
        enum { UNDOABLE = PIN_LOAD | PIN_SEED | PIN_UNKNOWN };
        uint32_t pins = c->pins | r->pins;
        if (r->writes_all || r->writes_count > 0) { (void)store_bump(r); }
        if (r->bumping) { cache_bump_forget(r->desk->cache, &r->bump); }
        r->server = NULL;
        if ((pins & UNDOABLE) != 0) { s->close_needed = true; }
        if (r->batch_open && !s->copy_in && !s->torn) { /* ends the implicit transaction */
            compose_bare(&s->stream.out, 'S');
            expects_push(&s->expects, EXPECT_SYNC, OWNER_NOBODY, NULL);
        }
        enum wash wash = pins == 0 ? WASH_NONE : pins == PIN_SESSION ? WASH_QUERY : WASH_ALL;
        pool_recover(&s, s->expects.count > 0, wash);
    }
    c->request = NULL;
    request_free(r);
}
