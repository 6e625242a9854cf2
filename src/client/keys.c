/*
 * Cancel keys: from the key an application was given to the client it belongs to, whichever worker
 * it is on. The table holds ids, not pointers: the worker looks again when the letter arrives.
 */
#include "base/mem.h"
#include "client/client.h"

struct key_entry {
    struct hlink link;
    uint8_t key[8]; /* pid, secret */
    struct front *front;
};

struct cancel_letter {
    struct letter letter;
    struct front *front;
    uint32_t id;
};

static void write_key(uint8_t key[8], uint32_t pid, uint32_t secret)
{
    put_u32(key, pid);
    put_u32(key + 4, secret);
}

struct shared *shared_new(void)
{
    struct shared *s = mem_new(struct shared);
    lock_init(&s->lock, RANK_REGISTRY);
    return s;
}

void shared_free(struct shared **ps)
{
    struct shared *s = *ps;
    if (s == NULL) { return; }
    hmap_done(&s->keys);
    lock_done(&s->lock);
    mem_free(ps);
}

void client_keep_key(struct client *c)
{
    struct key_entry *e = mem_new(struct key_entry);
    write_key(e->key, c->id, c->secret);
    e->front = c->front;
    struct shared *s = c->front->shared;
    struct bytes key = bytes_of(e->key, sizeof e->key);
    lock_take(&s->lock);
    bool taken = hmap_find(&s->keys, key) != NULL;
    if (!taken) { hmap_insert(&s->keys, &e->link, key); }
    lock_drop(&s->lock);
    if (taken) { mem_free(&e); }
}

void client_drop_key(struct client *c)
{
    uint8_t key[8];
    write_key(key, c->id, c->secret);
    struct shared *s = c->front->shared;
    struct key_entry *e = NULL;
    lock_take(&s->lock);
    struct hlink *link = hmap_find(&s->keys, bytes_of(key, sizeof key));
    if (link != NULL) {
        e = container_of(link, struct key_entry, link);
        hmap_remove(&s->keys, link);
    }
    lock_drop(&s->lock);
    mem_free(&e);
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

void client_cancel(struct shared *s, uint32_t pid, struct bytes key)
{
    if (key.len != 4) { return; }
    uint8_t whole[8];
    write_key(whole, pid, get_u32(key.ptr));
    struct front *front = NULL;
    lock_take(&s->lock);
    struct hlink *link = hmap_find(&s->keys, bytes_of(whole, sizeof whole));
    if (link != NULL) { front = container_of(link, struct key_entry, link)->front; }
    lock_drop(&s->lock);
    if (front == NULL) { return; }
    struct cancel_letter *cl = mem_new(struct cancel_letter);
    cl->letter.open = open_cancel;
    cl->front = front;
    cl->id = pid;
    loop_post(front->loop, &cl->letter);
}
