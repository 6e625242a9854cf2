/*
 * Cancel keys: from the key an application was given to the client it belongs to, whichever worker
 * it is on. The table holds ids, not pointers: the worker looks again when the letter arrives.
 */
#include "base/mem.h"
#include "client/client.h"

struct cancel_letter {
    struct letter letter;
    struct front *front;
    uint32_t id;
};

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

static struct bytes key_of(const struct client *c)
{
    return bytes_of(c->key, sizeof c->key);
}

void client_keep_key(struct client *c)
{
    struct shared *s = c->front->shared;
    lock_take(&s->lock);
    if (hmap_find(&s->keys, key_of(c)) == NULL) { hmap_insert(&s->keys, &c->key_link, key_of(c)); }
    lock_drop(&s->lock);
}

void client_drop_key(struct client *c)
{
    struct shared *s = c->front->shared;
    lock_take(&s->lock);
    if (hmap_find(&s->keys, key_of(c)) == &c->key_link) { hmap_remove(&s->keys, &c->key_link); }
    lock_drop(&s->lock);
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
    put_u32(whole, pid);
    memcpy(whole + 4, key.ptr, 4);
    struct front *front = NULL;
    lock_take(&s->lock);
    struct hlink *link = hmap_find(&s->keys, bytes_of(whole, sizeof whole));
    if (link != NULL) { front = container_of(link, struct client, key_link)->front; }
    lock_drop(&s->lock);
    if (front == NULL) { return; }
    struct cancel_letter *cl = mem_new(struct cancel_letter);
    cl->letter.open = open_cancel;
    cl->front = front;
    cl->id = pid;
    loop_post(front->loop, &cl->letter);
}
