/*
 * Finish: what the transaction changed takes effect; the server goes back to its pool as soon as
 * nothing ties it to the client. And the other ends: the server dies, the client leaves.
 */
#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "request/request.h"

enum { LOST_TRIES = 3 }; /* of a unit whose server died before it was sent */

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

/* SET DateStyle may name only a part, the rest stays: what to carry is what the server reports. */
static void take_date_style(struct request *r)
{
    assert(r->server != NULL);
    const char *value = server_param(r->server, "DateStyle");
    if (value == NULL || varset_get(r->client->in_tx, "datestyle") == NULL) { return; }
    varset_put(&r->client->in_tx, "datestyle", value);
    bool settled = r->server->have == r->server->now;
    const struct varset *now = varset_ref(r->server->now);
    varset_put(&now, "datestyle", value);
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
    renew_note_done(r, failed);
    if (failed && r->resets != 0 && r->server != NULL) {
        r->server->sure = false; /* DISCARD ALL may have been done before the error */
    }
    if (r->dates && !failed && r->server != NULL) { take_date_style(r); }
    r->resets = 0;
    r->dates = r->partly = false;
    if (r->server == NULL || r->server->expects.count == 0) {
        r->commits = false;
        r->ends = STMT_EMPTY;
    }
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
    server_settle(r->server, r->server->begun);
    varset_unref(&c->wanted);
    varset_unref(&c->in_tx);
    c->wanted = varset_ref(c->base);
    c->in_tx = varset_ref(c->base);
    pins_discarded(r);
}

void finish_release(struct request *r)
{
    buf_clear(&r->again);
    listen_abandon(r);
    r->tries = 0;
    r->on_replica = r->primary_only = r->frees = false;
    touched_forget(r);
    pool_checkin(&r->server);
}

/* ---- the server dies ------------------------------------------------------------------------- */

/* How many ReadyForQuery the client waits for. */
static unsigned count_owed(const struct request *r)
{
    const struct server *s = r->server;
    unsigned owed = r->batch_open;
    for (uint32_t i = 0; s != NULL && i < s->expects.count; i++) {
        const struct expect *x = expects_at(&s->expects, i);
        bool ends = x->kind == EXPECT_QUERY || x->kind == EXPECT_SYNC || x->kind == EXPECT_FUNCTION;
        owed += ends && x->owner == OWNER_CLIENT;
    }
    return owed;
}

/* What was known of what is under way. */
static void forget_flight(struct request *r)
{
    r->batch_open = r->settings_sent = r->set_by_us = r->answered = r->replans = false;
    r->retell = r->retelling = r->dates = r->asking = r->breaks_copy = false;
    r->chains = r->partly = r->undoable = r->commits = r->on_replica = r->frees = false;
    r->pins = r->resets = 0;
    r->ends = STMT_EMPTY;
    touched_forget(r);
    request_unwait(r);
    r->step = STEP_READ; /* what waits has not been sent: it is looked at anew */
}

/* What was under way is answered, each unit by an error. */
static void tell_lost(struct request *r, unsigned owed, uint8_t status, bool commits,
                      const struct fault *lost)
{
    struct client *c = r->client;
    struct fault why = *lost;
    if (commits) {
        (void)snprintf(why.sqlstate, sizeof why.sqlstate, "08007");
        fault_hint(&why, "It is not known whether the transaction was committed.");
    } else if (status == 'E') {
        fault_hint(&why, "The transaction is lost; end it with ROLLBACK.");
    } else {
        fault_hint(&why, "It is not known what was done of this statement.");
    }
    const bool batch = r->batch_open, told = c->skip_to_sync;
    c->status = status;
    for (unsigned i = 0; i < owed; i++) {
        const bool last = i + 1 == owed;
        if (!(last && told)) { client_put_error(c, "ERROR", &why); }
        if (!(last && batch)) { compose_ready(&c->stream.out, status); }
    }
    if (batch) { c->skip_to_sync = true; }
    r->left_drops = r->left > 0;
}

/*
 * In a transaction, what was done is lost, and the client must not go on as if it were not: it is
 * told 08006, then 25P02 until it ends the transaction. Outside, the session lives on, and what
 * has not been sent goes to another server. While nothing is asked, nothing may be said: then the
 * next statement is told. Where what the client has sent already may count on a transaction of
 * which nothing is known now, and where it kept the server, the session ends as it would directly.
 */
void finish_lost(struct request *r, const struct fault *why, bool refused)
{
    struct client *c = r->client;
    const struct log_who who = client_who(c);
    const bool in_transaction = c->status != 'I' && c->begin == NULL;
    const bool cut_short = r->server != NULL && r->server->left > 0 && !r->row_drops;
    const unsigned owed = count_owed(r);
    const bool waits = r->step != STEP_READ;
    const bool counts_on_it = owed > 1 || (owed == 1 && (waits || buf_len(&c->stream.in) > 0));
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
    if (cut_short) { /* the client waits for the rest of a message that will not come */
        client_close(c, why->text);
        return;
    }
    if (c->pins != 0 || (!in_transaction && counts_on_it && !r->undoable)) {
        client_fail(c, why);
        return;
    }
    const bool ended = owed == 1 && r->ends != STMT_EMPTY;
    const uint8_t status = in_transaction && !ended ? 'E' : 'I';
    const bool commits = r->commits;
    if (owed > 0 || in_transaction) { end_transaction(r, false); }
    if (owed > 0) {
        tell_lost(r, owed, status, in_transaction && commits, why);
        c->lost = status == 'E';
        forget_flight(r);
        stream_flush(&c->stream);
        return;
    }
    c->lost = in_transaction;
    if (in_transaction) { c->lost_untold = mem_strdup(why->text); }
    bool again = in_transaction || !waits || (!refused && ++r->tries < LOST_TRIES);
    if (!again) { request_fail_waiting(r, why); }
    forget_flight(r);
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
