/*
 * Cancel keys: from the key an application was given to the client it belongs to, whichever worker
 * it is on. The table holds ids, not pointers: the worker looks again when the letter arrives.
 */

#include "base/mem.h"
#include "client/client.h"
#include "client/peers.h"

struct cancel_letter {
    struct letter letter;
    struct front *front;
    uint32_t id;
};

enum { HELPERS = 4, HELPER_QUEUE = 100, HELPER_END_US = 2000000 };

struct shared *shared_new(void)
{
    struct shared *s = mem_new(struct shared);
    lock_init(&s->lock, RANK_REGISTRY);
    s->penalties = penalties_new(PENALTY_ADDRESSES);
    s->helper = helper_new(HELPERS, HELPER_QUEUE);
    s->peers = peers_new();
    return s;
}

void shared_free(struct shared **ps)
{
    struct shared *s = *ps;
    if (s == NULL) { return; }
    shared_stop_helpers(s);
    penalties_free(&s->penalties);
    peers_free(&s->peers);
    hmap_done(&s->keys);
    lock_done(&s->lock);
    mem_free(ps);
}

void shared_stop_helpers(struct shared *s)
{
    helper_free(&s->helper, HELPER_END_US);
}

static struct bytes key_of(const struct client *c)
{
    return bytes_of(c->key, c->key_len);
}

void client_make_key(struct client *c, int peer_id, bool is_long)
{
    c->key_len = is_long ? CLIENT_KEY_LONG : CLIENT_KEY_SHORT;
    random_take(&c->front->random, c->key, c->key_len);
    if (peer_id != 0) {
        peers_mark_key(c->key, peer_id);
        c->key_hops = true;
    } else {
        put_u32(c->key, c->id);
    }
}

void client_keep_key(struct client *c)
{
    struct shared *s = c->front->shared;
    uint64_t hash = hmap_hash(key_of(c));
    lock_take(&s->lock);
    if (hmap_find_hashed(&s->keys, hash, key_of(c)) == NULL) {
        hmap_insert_hashed(&s->keys, &c->key_link, hash, key_of(c));
    }
    lock_drop(&s->lock);
}

void client_drop_key(struct client *c)
{
    struct shared *s = c->front->shared;
    if (c->key_link.key.ptr == NULL) { return; } /* it was never in there */
    lock_take(&s->lock);
    hmap_remove(&s->keys, &c->key_link);
    lock_drop(&s->lock);
    c->key_link.key = (struct bytes){0};
}

static void open_cancel(struct letter *l)
{
    struct cancel_letter *cl = container_of(l, struct cancel_letter, letter);
    dlist_each (node, &cl->front->clients) {
        struct client *c = container_of(node, struct client, node);
        if (c->id == cl->id && c->state == CLIENT_READY) {
            c->ops->cancel(c);
            break;
        }
    }
    mem_free(&cl);
}

bool client_cancel(struct shared *s, struct bytes key)
{
    uint8_t made[CLIENT_KEY_LONG];
    if (key.len != CLIENT_KEY_SHORT && key.len != CLIENT_KEY_LONG) { return false; }
    struct front *front = NULL;
    uint32_t id = 0;
    lock_take(&s->lock);
    struct hlink *link = hmap_find(&s->keys, key);
    if (link == NULL && (key.ptr[7] & PEERS_HOPS) != PEERS_HOPS) {
        /* It may have come by other peers: as it was made, before they counted. */
        memcpy(made, key.ptr, key.len);
        made[7] |= PEERS_HOPS;
        link = hmap_find(&s->keys, bytes_of(made, key.len));
        if (link != NULL && !container_of(link, struct client, key_link)->key_hops) { link = NULL; }
    }
    if (link != NULL) {
        const struct client *c = container_of(link, struct client, key_link);
        front = c->front;
        id = c->id;
    }
    lock_drop(&s->lock);
    if (front == NULL) { return false; }
    struct cancel_letter *cl = mem_new(struct cancel_letter);
    cl->letter.open = open_cancel;
    cl->front = front;
    cl->id = id;
    loop_post(front->loop, &cl->letter);
    return true;
}
