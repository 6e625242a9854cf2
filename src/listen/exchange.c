/* The home side's door: finds the hub that a letter is for. */
#include <string.h>

#include "base/mem.h"
#include "listen/inside.h"

struct exchange *exchange_new(struct loop *home)
{
    struct exchange *x = mem_new(struct exchange);
    x->home = home;
    return x;
}

bool exchange_is_used(const struct exchange *x)
{
    return atomic_load_explicit(&x->hubs_count, memory_order_acquire) > 0;
}

static void open_ask(struct letter *l)
{
    struct ask *a = container_of(l, struct ask, letter);
    struct exchange *x = a->exchange;
    struct hub *h = hub_find(x, a->account->database->id);
    if (x->closed) {
        ask_answer(a, E_SHUTDOWN);
        return;
    }
    if (h == NULL && a->count == 0) { /* nobody hears, nothing is to be waited for */
        ask_answer(a, E_OK);
        return;
    }
    if (h == NULL) { h = hub_new(x, a->account, a->encoding); }
    hub_ask(h, a);
}

void exchange_ask(struct ask *a)
{
    a->letter.open = open_ask;
    loop_post(a->exchange->home, &a->letter);
}

struct leave {
    struct letter letter;
    struct exchange *exchange;
    const struct branch *branch; /* only compared: it may be gone */
    uint32_t database_id;
    char channel[];
};

static void open_leave(struct letter *l)
{
    struct leave *v = container_of(l, struct leave, letter);
    struct hub *h = hub_find(v->exchange, v->database_id);
    if (h != NULL) { hub_leave(h, v->branch, v->channel); }
    mem_free(&v);
}

void exchange_leave(const struct branch *b, const char *channel)
{
    size_t size = strlen(channel) + 1;
    struct leave *v = mem_zeroed(sizeof *v + size);
    v->letter.open = open_leave;
    v->exchange = b->exchange;
    v->branch = b;
    v->database_id = b->database_id;
    memcpy(v->channel, channel, size);
    loop_post(b->exchange->home, &v->letter);
}

static void open_gone(struct letter *l)
{
    branch_gone(container_of(l, struct branch, farewell));
}

static void open_farewell(struct letter *l)
{
    struct branch *b = container_of(l, struct branch, farewell);
    struct hub *h = hub_find(b->exchange, b->database_id);
    if (h != NULL) { hub_forget(h, b); }
    l->open = open_gone;
    loop_post(b->loop, l);
}

void exchange_part(struct branch *b)
{
    b->farewell.open = open_farewell;
    loop_post(b->exchange->home, &b->farewell);
}

void exchange_close(struct exchange *x)
{
    x->closed = true;
    hmap_each (link, &x->hubs) {
        uint32_t id;
        memcpy(&id, link->key.ptr, sizeof id);
        struct hub *h = hub_find(x, id);
        hub_free(&h);
    }
}

void exchange_free(struct exchange **px)
{
    struct exchange *x = *px;
    if (x == NULL) { return; }
    *px = NULL;
    hmap_done(&x->hubs);
    mem_free(&x);
}
