/*
 * Store: the answer is captured on its way to the client, and kept only when it is proven whole.
 * Bump: after a commit that wrote, before the client is told, every version the writes touched
 * moves on.
 */
#include "base/clock.h"
#include "request/request.h"

void store_capture(struct request *r, uint8_t type, struct bytes run)
{
    const struct options *o = &r->client->account->database->config->o;
    if (!r->filling || r->broken) { return; }
    if (type == 'D') { r->rows++; }
    if (buf_len(&r->capture) + run.len > (size_t)o->cache_max_entry_bytes) {
        r->broken = true;
        buf_done(&r->capture);
        cache_drop(r->desk->cache, &r->cache, true);
        return;
    }
    buf_put_bytes(&r->capture, run);
}

void store_finish(struct request *r, bool complete)
{
    if (!r->filling) { return; }
    r->filling = false;
    const struct config *cfg = r->client->account->database->config;
    int rule = r->facts.judged->rule; /* filling: it has one */
    bool wanted = rule >= 0 && (size_t)rule < cfg->rules_count &&
                  (r->rows > 0 || cfg->rules[rule].empty_results);
    if (r->cache.state == NULL) { return; } /* too big: dropped already */
    if (complete && wanted && !r->broken) {
        cache_fill(r->desk->cache, &r->cache, buf_view(&r->capture), clock_now_us());
    } else {
        cache_drop(r->desk->cache, &r->cache, false);
    }
    buf_done(&r->capture);
}

static void on_bumped(struct cache_bump *b)
{
    struct request *r = b->owner;
    r->bumping = false;
    r->bumped = true;
    stream_pause(&r->server->stream, false);
    relay_event(r->server, UV_READABLE);
}

enum err store_bump(struct request *r)
{
    struct client *c = r->client;
    struct database *db = c->account->database;
    if (!r->writes_all && r->writes_count == 0) { return E_OK; }
    int64_t now_us = clock_now_us();
    c->wrote_us = now_us;
    recency_note(db->recency, r->writes_all, r->writes, r->writes_count, now_us);
    if (db->cache == CACHE_OFF || r->bumped) { return E_OK; }
    const struct known *k = desk_known(r->desk, db);
    if (k->catalog != NULL && !catalog_has_rules(k->catalog)) { return E_OK; }
    r->bump.owner = r;
    r->bump.done = on_bumped;
    enum err e = cache_bump_tables(r->desk->cache, &r->bump, db->cache_id, r->writes_all, r->writes,
                                   r->writes_count);
    if (e == E_AGAIN) { r->bumping = true; }
    return e;
}
