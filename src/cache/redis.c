/* See redis.h. Everything that comes from Redis is checked here before it is believed. */
#include "cache/redis.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "cache/answer.h"
#include "cache/link.h"

#define GREETING_US    (1 * US_PER_S)
#define BACKOFF_MIN_US (50 * US_PER_MS)
#define BACKOFF_MAX_US (2 * US_PER_S)
#define RENEW_AGAIN_US (50 * US_PER_MS)
#define REPLY_MAX      (16u << 20)
#define KEPT_SECONDS   "2592000" /* versions and epochs of nobody go after 30 days */
#define NAME_MAX_BYTES 96

enum redis_phase { REDIS_DOWN, REDIS_GREETS, REDIS_READY };

struct redis {
    struct cache *cache;
    const struct redis_ops *ops;
    void *owner;
    struct link *link;
    const struct settings *settings;
    enum redis_phase phase;
    unsigned run;
    char run_id[RUN_ID_MAX + 1];
    int64_t retry_us, backoff_us; /* when to connect again */
    bool told_down;               /* logged once per outage */
    bool renewing;
    int64_t renew_us;
    bool give_up;             /* the greeting failed; the connection goes when no callback runs */
    struct dlist bumps, told; /* under way; over, but done() not called yet */
    struct random_pool random;
};

struct redis_ask {
    struct redis *r;
    struct wait *wait; /* NULL: forgotten */
};

struct redis_bump {
    struct redis *r;
    struct cache_bump *bump; /* NULL: forgotten, or told */
    struct dlist node;
    unsigned left; /* answers to come */
    bool failed, over;
};

struct renewal {
    struct redis *r;
    uint64_t doubt; /* what it settles */
};

static uint64_t fresh(struct redis *r)
{
    uint64_t value;
    random_take(&r->random, &value, sizeof value);
    return value & ((UINT64_C(1) << 62) - 1);
}

static void raise_doubt(struct redis *r)
{
    (void)atomic_fetch_add(&r->cache->doubt, 1);
}

static bool is_ok(const redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, "OK") == 0;
}

/* ---- names */

static struct bytes name_key(const struct redis *r, char text[NAME_MAX_BYTES],
                             const uint8_t mac[MAC_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    int len = snprintf(text, NAME_MAX_BYTES, "{pgu:%s}:K:", seal_tag(r->cache->seal));
    char *at = text + len;
    for (unsigned i = 0; i < MAC_BYTES; i++) {
        *at++ = digits[mac[i] >> 4];
        *at++ = digits[mac[i] & 15];
    }
    return bytes_of(text, (size_t)(at - text));
}

static struct bytes name_version(const struct redis *r, char text[NAME_MAX_BYTES],
                                 uint32_t database, uint32_t relation, bool all)
{
    const char *tag = seal_tag(r->cache->seal);
    int len = all ? snprintf(text, NAME_MAX_BYTES, "{pgu:%s}:V:%" PRIu32 ":*", tag, database)
                  : snprintf(text, NAME_MAX_BYTES, "{pgu:%s}:V:%" PRIu32 ":%" PRIu32, tag, database,
                             relation);
    return bytes_of(text, (size_t)len);
}

static struct bytes name_epoch(const struct redis *r, char text[NAME_MAX_BYTES])
{
    int len = snprintf(text, NAME_MAX_BYTES, "{pgu:%s}:E", seal_tag(r->cache->seal));
    return bytes_of(text, (size_t)len);
}

/* ---- sending */

static int64_t deadline(const struct redis *r)
{
    return clock_now_us() + r->settings->redis_timeout_us;
}

static void send_set(struct redis *r, struct bytes name, struct bytes value, link_answer *fn,
                     void *arg, int64_t due_us)
{
    link_send(r->link, 5, fn, arg, due_us);
    link_arg(r->link, BYTES("SET"));
    link_arg(r->link, name);
    link_arg(r->link, value);
    link_arg(r->link, BYTES("EX"));
    link_arg(r->link, BYTES(KEPT_SECONDS));
}

/*
 * An answer of a kind that its request cannot have: requests and answers are out of step, and the
 * next answers would be believed by the wrong ones.
 */
static void expect(struct redis *r, const redisReply *reply, int type)
{
    if (reply != NULL && reply->type != type && reply->type != REDIS_REPLY_ERROR) {
        r->give_up = true;
    }
}

/* The answer to a write that nobody waits for. */
static void answer_set(void *arg, const redisReply *reply)
{
    struct redis *r = arg;
    expect(r, reply, REDIS_REPLY_STATUS);
    if (!is_ok(reply)) { count(&r->cache->counters.redis_errors); }
}

static void send_version(struct redis *r, uint32_t database, uint32_t relation, bool all,
                         link_answer *fn, void *arg)
{
    char name[NAME_MAX_BYTES], value[24];
    int len = snprintf(value, sizeof value, "%" PRIu64, fresh(r));
    send_set(r, name_version(r, name, database, relation, all), bytes_of(value, (size_t)len), fn,
             arg, deadline(r));
}

/* ---- the epoch */

static void ready(struct redis *r)
{
    r->phase = REDIS_READY;
    r->backoff_us = 0;
    r->told_down = false;
    (void)atomic_fetch_add(&r->cache->redis_up, 1);
    log_info(NULL, "event=cache_redis_up");
}

static void answer_epoch(void *arg, const redisReply *reply)
{
    struct renewal *n = arg;
    struct redis *r = n->r;
    expect(r, reply, REDIS_REPLY_STATUS);
    r->renewing = false;
    if (is_ok(reply)) {
        uint64_t seen = atomic_load(&r->cache->settled);
        while (seen < n->doubt &&
               !atomic_compare_exchange_weak(&r->cache->settled, &seen, n->doubt)) {}
        if (r->phase == REDIS_GREETS) { ready(r); }
    } else {
        count(&r->cache->counters.redis_errors);
        r->renew_us = clock_now_us() + RENEW_AGAIN_US;
        r->give_up = r->give_up || r->phase == REDIS_GREETS;
    }
    mem_free(&n);
}

/* Voids every entry in Redis, of every process. */
static void send_epoch(struct redis *r)
{
    char name[NAME_MAX_BYTES], value[EPOCH_TEXT_MAX];
    struct renewal *n = mem_new(struct renewal);
    n->r = r;
    n->doubt = atomic_load(&r->cache->doubt);
    r->renewing = true;
    int len = snprintf(value, sizeof value, "%016" PRIx64 "%016" PRIx64 ":%s", fresh(r), fresh(r),
                       r->run_id);
    send_set(r, name_epoch(r, name), bytes_of(value, (size_t)len), answer_epoch, n,
             r->phase == REDIS_READY ? deadline(r) : clock_now_us() + GREETING_US);
}

/* ---- the greeting: log in, choose the database, learn who it is and what epoch it has */

static void answer_greeting(void *arg, const redisReply *reply)
{
    struct redis *r = arg;
    if (!is_ok(reply)) { r->give_up = true; }
}

/*
 * Remembers which Redis this process speaks to. Another one than before may lack versions that we
 * gave to the old one only, so a change raises the doubt.
 */
static void meet(struct redis *r)
{
    struct cache *c = r->cache;
    lock_take(&c->run_lock);
    if (strcmp(c->run_id, r->run_id) != 0) {
        if (c->run_id[0] != '\0') { (void)atomic_fetch_add(&c->doubt, 1); }
        memcpy(c->run_id, r->run_id, sizeof c->run_id);
        (void)atomic_fetch_add(&c->run, 1);
    }
    r->run = atomic_load(&c->run);
    lock_drop(&c->run_lock);
}

static void answer_info(void *arg, const redisReply *reply)
{
    struct redis *r = arg;
    if (reply == NULL || reply->type != REDIS_REPLY_STRING ||
        answer_run_id(bytes_of(reply->str, reply->len), r->run_id) != E_OK) {
        r->give_up = true;
        return;
    }
    meet(r);
}

static void answer_first_epoch(void *arg, const redisReply *reply)
{
    struct redis *r = arg;
    uint8_t epoch[EPOCH_BYTES];
    if (r->give_up || reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        r->give_up = true;
        return;
    }
    if (!cache_in_doubt(r->cache) && reply->type == REDIS_REPLY_STRING &&
        answer_epoch_text(bytes_of(reply->str, reply->len), r->run_id, epoch) == E_OK) {
        ready(r);
    } else {
        send_epoch(r);
    }
}

static void greet(void *owner)
{
    struct redis *r = owner;
    const struct redis_address *a = r->settings->redis;
    int64_t due_us = clock_now_us() + GREETING_US;
    char name[NAME_MAX_BYTES], number[12];
    r->phase = REDIS_GREETS;
    if (a->password != NULL) {
        link_send(r->link, a->user == NULL ? 2 : 3, answer_greeting, r, due_us);
        link_arg(r->link, BYTES("AUTH"));
        if (a->user != NULL) { link_arg(r->link, bytes_str(a->user)); }
        link_arg(r->link, bytes_str(a->password));
    }
    if (a->number != 0) {
        (void)snprintf(number, sizeof number, "%d", a->number);
        link_send(r->link, 2, answer_greeting, r, due_us);
        link_arg(r->link, BYTES("SELECT"));
        link_arg(r->link, bytes_str(number));
    }
    link_send(r->link, 2, answer_info, r, due_us);
    link_arg(r->link, BYTES("INFO"));
    link_arg(r->link, BYTES("server"));
    link_send(r->link, 2, answer_first_epoch, r, due_us);
    link_arg(r->link, BYTES("GET"));
    link_arg(r->link, name_epoch(r, name));
    r->ops->rearm(r->owner);
}

/* ---- the connection */

static void lost(void *owner)
{
    struct redis *r = owner;
    if (r->phase == REDIS_READY) { (void)atomic_fetch_sub(&r->cache->redis_up, 1); }
    count(&r->cache->counters.redis_errors);
    if (!r->told_down) {
        log_warn(NULL, "event=cache_redis_down next=\"queries go to the database, trying again\"");
    }
    r->told_down = true;
    r->phase = REDIS_DOWN;
    r->give_up = r->renewing = false;
    r->backoff_us = r->backoff_us == 0 ? BACKOFF_MIN_US : r->backoff_us * 2;
    if (r->backoff_us > BACKOFF_MAX_US) { r->backoff_us = BACKOFF_MAX_US; }
    /* workers and processes that lost it together do not come back together */
    r->retry_us = clock_now_us() + r->backoff_us / 2 +
                  (int64_t)(fresh(r) % (uint64_t)(r->backoff_us / 2 + 1));
    r->ops->rearm(r->owner);
}

static void wake(void *owner)
{
    struct redis *r = owner;
    r->ops->wake(r->owner);
}

static void settle(struct redis *r)
{
    if (r->give_up) { link_fail(r->link); }
    redis_tick(r, clock_now_us());
}

static void came_in(void *owner)
{
    struct redis *r = owner;
    settle(r);
    r->ops->read(r->owner);
}

struct redis *redis_new(struct loop *loop, struct cache *c, const struct redis_ops *ops,
                        void *owner)
{
    static const struct link_ops link_ops = {
        .up = greet, .down = lost, .wake = wake, .read = came_in};
    struct redis *r = mem_new(struct redis);
    r->cache = c;
    r->ops = ops;
    r->owner = owner;
    r->settings = cache_settings(c);
    r->link = link_new(loop, &link_ops, r);
    dlist_init(&r->bumps);
    dlist_init(&r->told);
    return r;
}

static void forget_all(struct dlist *bumps)
{
    dlist_each (node, bumps) {
        redis_forget_bump(container_of(node, struct redis_bump, node)->bump);
    }
}

void redis_free(struct redis **r)
{
    if (*r == NULL) { return; }
    if ((*r)->phase == REDIS_READY) { (void)atomic_fetch_sub(&(*r)->cache->redis_up, 1); }
    forget_all(&(*r)->bumps);
    forget_all(&(*r)->told);
    link_free(&(*r)->link);
    mem_free(r);
}

void redis_tick(struct redis *r, int64_t now_us)
{
    const struct settings *now = cache_settings(r->cache);
    if (now != r->settings) {
        bool moved = !redis_address_equal(now->redis, r->settings->redis);
        r->settings = now;
        if (moved) {
            link_fail(r->link);
            r->retry_us = 0;
        }
    }
    if (r->settings->redis == NULL) { return; }
    if (r->phase == REDIS_READY && r->run != atomic_load(&r->cache->run)) {
        link_fail(r->link); /* another worker has met another Redis at this address */
        r->retry_us = 0;
    }
    if (link_closed(r->link) && now_us >= r->retry_us) {
        link_connect(r->link, r->settings->redis, REPLY_MAX, now_us + GREETING_US);
    }
    if (r->phase == REDIS_READY && cache_in_doubt(r->cache) && !r->renewing &&
        now_us >= r->renew_us) {
        send_epoch(r);
    }
    r->ops->rearm(r->owner);
}

void redis_flush(struct redis *r)
{
    link_flush(r->link);
}

int64_t redis_due(const struct redis *r)
{
    if (r->settings->redis == NULL) { return INT64_MAX; }
    int64_t due = link_closed(r->link) ? r->retry_us : link_due(r->link);
    if (r->phase == REDIS_READY && cache_in_doubt(r->cache) && !r->renewing && r->renew_us < due) {
        due = r->renew_us;
    }
    return due;
}

void redis_expire(struct redis *r, int64_t now_us)
{
    link_expire(r->link, now_us);
    settle(r);
}

static bool usable(struct redis *r)
{
    return r->settings->redis != NULL && r->phase == REDIS_READY && !link_stalled(r->link) &&
           r->run == atomic_load(&r->cache->run);
}

/* ---- finding */

/* What one reply to MGET means for the wait: its claim, its entry, its verdict. */
static enum err judge(struct redis *r, struct wait *w, const redisReply *reply)
{
    uint64_t *stamps = wait_stamps(w);
    struct claim *c = &w->claim;
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY ||
        reply->elements != c->stamps_count + 2) {
        if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) { r->give_up = true; }
        count(&r->cache->counters.redis_errors);
        return E_REFUSED;
    }
    struct bytes text;
    if (!answer_string(reply->element[0], &text) ||
        answer_epoch_text(text, r->run_id, c->epoch) != E_OK) {
        raise_doubt(r); /* evicted, flushed or of another Redis: void what is there */
        return E_REFUSED;
    }
    bool whole = true;
    for (unsigned i = 0; i < c->stamps_count; i++) {
        if (!answer_string(reply->element[1 + i], &text) ||
            answer_version(text, &stamps[i]) != E_OK) {
            /* Absent, evicted or rubbish. The value we saw is not the one that will be there, so
             * this request may not fill. */
            send_version(r, c->database_id, i == 0 ? 0 : c->deps[i - 1], i == 0, answer_set, r);
            whole = false;
        }
    }
    if (!whole) { return E_REFUSED; }
    const redisReply *entry = reply->element[1 + c->stamps_count];
    if (!answer_string(entry, &text)) { return E_NOTFOUND; }
    enum err e = answer_entry(r->cache->seal, c, text, clock_wall_us(), &w->found);
    if (e == E_PROTOCOL) { count(&r->cache->counters.redis_errors); }
    if (e == E_TIMEOUT) { count(&r->cache->counters.stale); }
    return e == E_OK ? E_OK : E_NOTFOUND;
}

static void answer_find(void *arg, const redisReply *reply)
{
    struct redis_ask *ask = arg;
    struct wait *w = ask->wait;
    struct redis *r = ask->r;
    mem_free(&ask);
    expect(r, reply, REDIS_REPLY_ARRAY);
    if (w == NULL) { return; }
    w->ask = NULL;
    w->verdict = judge(r, w, reply);
    w->phase = WAIT_KNOWS;
    r->ops->answered(r->owner, w);
}

enum err redis_find(struct redis *r, struct wait *w)
{
    redis_tick(r, clock_now_us());
    if (!usable(r) || cache_in_doubt(r->cache)) { return E_REFUSED; }
    char name[NAME_MAX_BYTES];
    struct claim *c = &w->claim;
    struct redis_ask *ask = mem_new(struct redis_ask);
    ask->r = r;
    ask->wait = w;
    w->ask = ask;
    w->phase = WAIT_ASKS;
    seal_mac(r->cache->seal, c->rules, c->key, c->mac);
    link_send(r->link, 3 + c->stamps_count, answer_find, ask, deadline(r));
    link_arg(r->link, BYTES("MGET"));
    link_arg(r->link, name_epoch(r, name));
    for (unsigned i = 0; i < c->stamps_count; i++) {
        link_arg(r->link,
                 name_version(r, name, c->database_id, i == 0 ? 0 : c->deps[i - 1], i == 0));
    }
    link_arg(r->link, name_key(r, name, c->mac));
    r->ops->rearm(r->owner);
    return E_AGAIN;
}

void redis_forget_find(struct redis_ask **ask)
{
    if (*ask != NULL) { (*ask)->wait = NULL; }
    *ask = NULL;
}

void redis_fill(struct redis *r, const struct claim *c, struct bytes result)
{
    redis_tick(r, clock_now_us());
    if (!usable(r) || cache_in_doubt(r->cache)) { return; }
    uint8_t head[PLAIN_EXTRA];
    char name[NAME_MAX_BYTES], ttl[24];
    size_t head_len = plain_write(c, head);
    size_t len = head_len + result.len + SEAL_OVERHEAD;
    uint8_t *box = mem_try(len);
    if (box == NULL) { return; }
    if (seal_close_over(r->cache->seal, c->mac, bytes_of(head, head_len), result, box) == E_OK) {
        int64_t ttl_ms = c->ttl_us / US_PER_MS;
        int ttl_len = snprintf(ttl, sizeof ttl, "%" PRId64, ttl_ms < 1 ? 1 : ttl_ms);
        link_send(r->link, 5, answer_set, r, deadline(r));
        link_arg(r->link, BYTES("SET"));
        link_arg(r->link, name_key(r, name, c->mac));
        link_arg(r->link, bytes_of(box, len));
        link_arg(r->link, BYTES("PX"));
        link_arg(r->link, bytes_of(ttl, (size_t)ttl_len));
        r->ops->rearm(r->owner);
    }
    mem_free(&box);
}

/* ---- bumping */

static void answer_bump(void *arg, const redisReply *reply)
{
    struct redis_bump *b = arg;
    struct redis *r = b->r;
    expect(r, reply, REDIS_REPLY_STATUS);
    b->left--;
    if (!is_ok(reply) && !b->failed) {
        /* The doubt stands before the writer is told, or another of our clients could still be
         * served what this write has changed. */
        b->failed = true;
        count(&r->cache->counters.redis_errors);
        raise_doubt(r);
    }
    if (b->bump != NULL && !b->over && (b->failed || b->left == 0)) {
        b->over = true;
        dlist_remove(&b->node);
        dlist_push_back(&r->told, &b->node);
        r->ops->bumped(r->owner);
    }
    if (b->bump == NULL && b->left == 0) { mem_free(&b); }
}

struct cache_bump *redis_told(struct redis *r)
{
    if (dlist_empty(&r->told)) { return NULL; }
    struct cache_bump *bump = container_of(r->told.next, struct redis_bump, node)->bump;
    redis_forget_bump(bump);
    return bump;
}

enum err redis_bump(struct redis *r, struct cache_bump *bump, uint32_t database_id, bool all,
                    const uint32_t *relations, unsigned n)
{
    redis_tick(r, clock_now_us());
    if (r->settings->redis == NULL) { return E_OK; }
    if (!usable(r)) {
        raise_doubt(r);
        return E_OK;
    }
    all = all || n > DEPS_MAX;
    struct redis_bump *b = mem_new(struct redis_bump);
    b->r = r;
    b->bump = bump;
    b->left = all ? 1 : n;
    bump->state = b;
    dlist_push_back(&r->bumps, &b->node);
    if (all) {
        send_version(r, database_id, 0, true, answer_bump, b);
    } else {
        for (unsigned i = 0; i < n; i++) {
            send_version(r, database_id, relations[i], false, answer_bump, b);
        }
    }
    r->ops->rearm(r->owner);
    return E_AGAIN;
}

void redis_forget_bump(struct cache_bump *bump)
{
    struct redis_bump *b = bump->state;
    if (b == NULL) { return; }
    b->bump = NULL;
    bump->state = NULL;
    dlist_remove(&b->node);
    if (b->left == 0) { mem_free(&b); }
}
