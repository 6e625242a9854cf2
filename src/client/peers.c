/* A queue and counters for each peer; one connection per request: see server/deliver.h. */
#include "client/peers.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/resolve.h"
#include "pgwire/compose.h"
#include "server/deliver.h"
#include "server/tuning.h"

struct peers {
    struct lock lock;
    struct hmap pools;
};

struct peer_pool { /* stays once it is there: there are few */
    struct hlink link;
    int id;
    struct peer_counts counts;
    struct dlist queue;
};

enum forward_state { FORWARD_QUEUED, FORWARD_CONNECTING, FORWARD_ACTIVE };

struct forward {
    struct peers *peers;
    struct peer_pool *pool;
    struct dlist node; /* in its queue */
    enum forward_state state;
    struct loop *loop;
    struct letter turn; /* its place was given to it, on whatever worker that was */
    struct resolve *resolve;
    struct delivery *delivery;
    struct timer now; /* a failure is told from the loop */
    struct node host;
    struct server_target target;
    struct buf packet;
    void (*done)(void *arg);
    void *arg;
};

void peers_mark_key(uint8_t *key, int peer_id)
{
    key[0] &= 0x7f;
    key[1] = (uint8_t)peer_id;
    key[2] = (uint8_t)(peer_id >> 8);
    key[7] |= PEERS_HOPS;
}

/* ---- who is on the way ----------------------------------------------------------------------- */

struct peers *peers_new(void)
{
    struct peers *p = mem_new(struct peers);
    lock_init(&p->lock, RANK_LIMITS);
    return p;
}

void peers_free(struct peers **pp)
{
    struct peers *p = *pp;
    *pp = NULL;
    hmap_each (link, &p->pools) {
        struct peer_pool *pool = container_of(link, struct peer_pool, link);
        hmap_remove(&p->pools, link);
        mem_free(&pool);
    }
    hmap_done(&p->pools);
    lock_done(&p->lock);
    mem_free(&p);
}

static struct peer_pool *find_pool(const struct peers *p, int id)
{
    struct hlink *link = hmap_find(&p->pools, bytes_of(&id, sizeof id));
    return link == NULL ? NULL : container_of(link, struct peer_pool, link);
}

bool peers_count(struct peers *p, int peer_id, struct peer_counts *ret)
{
    lock_take(&p->lock);
    const struct peer_pool *pool = find_pool(p, peer_id);
    if (pool != NULL) { *ret = pool->counts; }
    lock_drop(&p->lock);
    return pool != NULL;
}

/* Has it a place at once? limit 0: as many as come. */
static bool enter(struct forward *f, int id, int limit)
{
    struct peers *p = f->peers;
    lock_take(&p->lock);
    f->pool = find_pool(p, id);
    if (f->pool == NULL) {
        f->pool = mem_new(struct peer_pool);
        f->pool->id = id;
        dlist_init(&f->pool->queue);
        hmap_insert(&p->pools, &f->pool->link, bytes_of(&f->pool->id, sizeof id));
    }
    struct peer_counts *n = &f->pool->counts;
    bool room = limit == 0 || n->connecting + n->active < (unsigned)limit;
    if (room) {
        n->connecting++;
        f->state = FORWARD_CONNECTING;
    } else {
        n->queued++;
        dlist_push_back(&f->pool->queue, &f->node);
    }
    lock_drop(&p->lock);
    return room;
}

static void note_active(void *arg)
{
    struct forward *f = arg;
    lock_take(&f->peers->lock);
    f->pool->counts.connecting--;
    f->pool->counts.active++;
    f->state = FORWARD_ACTIVE;
    lock_drop(&f->peers->lock);
}

/* Its place goes to who has waited longest. */
static void leave(struct forward *f)
{
    struct peers *p = f->peers;
    lock_take(&p->lock);
    struct peer_counts *n = &f->pool->counts;
    struct dlist *next = NULL;
    switch (f->state) {
    case FORWARD_QUEUED: n->queued--; break;
    case FORWARD_CONNECTING: n->connecting--; break;
    case FORWARD_ACTIVE: n->active--; break;
    }
    if (f->state != FORWARD_QUEUED) { next = dlist_pop_front(&f->pool->queue); }
    dlist_remove(&f->node);
    if (next != NULL) {
        struct forward *other = container_of(next, struct forward, node);
        n->queued--;
        n->connecting++;
        other->state = FORWARD_CONNECTING;
        loop_post(other->loop, &other->turn); /* under the lock: leave() takes it back */
    }
    lock_drop(&p->lock);
    loop_unpost(f->loop, &f->turn);
}

/* ---- one request ----------------------------------------------------------------------------- */

static const struct peer_config *find_peer(const struct config *cfg, const uint8_t *key)
{
    int id = key[1] | key[2] << 8;
    if (cfg->o.peer_id == 0 || id == cfg->o.peer_id || (key[7] & PEERS_HOPS) == 0) { return NULL; }
    for (size_t i = 0; i < cfg->peers_count; i++) {
        if (cfg->peers[i].id == id) { return &cfg->peers[i]; }
    }
    return NULL;
}

void forward_drop(struct forward **pf)
{
    struct forward *f = *pf;
    if (f == NULL) { return; }
    *pf = NULL;
    leave(f);
    timer_clear(&f->loop->timers, &f->now);
    resolve_forget(&f->resolve);
    deliver_drop(&f->delivery);
    tls_context_unref(&f->target.tls);
    buf_done(&f->packet);
    mem_free(&f);
}

static void finish(struct forward *f)
{
    void (*done)(void *) = f->done;
    void *arg = f->arg;
    forward_drop(&f);
    done(arg);
}

static void on_now(struct timer *t)
{
    finish(container_of(t, struct forward, now));
}

static void on_done(void *arg, const struct fault *why)
{
    struct forward *f = arg;
    f->delivery = NULL;
    if (why != NULL) {
        log_warn(NULL, "event=cancel_not_forwarded peer=%d reason=\"%s\"", f->pool->id, why->text);
    }
    finish(f);
}

static void deliver(struct forward *f, const struct address *a)
{
    static const struct delivery_ops ops = {.sent = note_active, .done = on_done};
    f->delivery = deliver_start(f->loop, &f->target, a, dial_tls(&f->target), &f->packet, &ops, f);
}

static void on_resolved(void *arg, const struct address *a)
{
    struct forward *f = arg;
    f->resolve = NULL;
    if (a == NULL) {
        finish(f);
    } else {
        deliver(f, a);
    }
}

static void go(struct forward *f)
{
    struct address a;
    enum err e =
        resolve_start(f->loop, f->host.host, f->host.port, &a, on_resolved, f, &f->resolve);
    if (e == E_OK) {
        deliver(f, &a);
    } else if (e != E_AGAIN) {
        timer_set(&f->loop->timers, &f->now, 0);
    }
}

static void open_turn(struct letter *l)
{
    go(container_of(l, struct forward, turn));
}

struct forward *forward_start(struct peers *p, struct loop *l, const struct config *cfg,
                              struct tls_context *tls, struct bytes key, void (*done)(void *arg),
                              void *arg)
{
    enum { KEY_HEAD = 8 };
    const struct peer_config *peer = key.len < KEY_HEAD ? NULL : find_peer(cfg, key.ptr);
    if (peer == NULL) { return NULL; }
    const struct options *o = &cfg->o;
    struct forward *f = mem_new(struct forward);
    f->peers = p;
    f->loop = l;
    dlist_init(&f->node);
    dlist_init(&f->turn.node);
    f->turn.open = open_turn;
    f->now.due = on_now;
    f->done = done;
    f->arg = arg;
    f->host = (struct node){.host = peer->host, .port = peer->port};
    f->target = (struct server_target){
        .node = &f->host,
        .tls = tls == NULL ? NULL : tls_context_ref(tls),
        .tls_mode = o->server_tls_sslmode,
        .cancel_timeout_us = cancel_timeout_of(o),
        .tuning = tuning_of(o),
    };
    compose_cancel(&f->packet, get_u32(key.ptr), bytes_skip(key, 4));
    /* The key is the packet's end; its last byte of the head counts the hops. */
    f->packet.data[f->packet.end - key.len + KEY_HEAD - 1]--;
    if (enter(f, peer->id, peer->pool_size >= 0 ? peer->pool_size : o->default_pool_size)) {
        go(f);
    }
    return f;
}
