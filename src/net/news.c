/* A locked list; telling moves who waits from it into the mailboxes. */
#include "net/news.h"

#include <assert.h>

void news_init(struct news *n)
{
    lock_init(&n->lock, RANK_NEWS);
    dlist_init(&n->waiting);
    atomic_store(&n->count, 0);
}

void news_done(struct news *n)
{
    assert(dlist_empty(&n->waiting));
    lock_done(&n->lock);
}

static void open_news(struct letter *l)
{
    struct news_wait *w = container_of(l, struct news_wait, letter);
    w->news = NULL;
    w->told(w);
}

bool news_join(struct news *n, struct news_wait *w, struct loop *l)
{
    if (w->news != NULL) { return false; }
    w->news = n;
    w->loop = l;
    w->letter.open = open_news;
    dlist_init(&w->letter.node);
    lock_take(&n->lock);
    dlist_push_back(&n->waiting, &w->node);
    atomic_fetch_add(&n->count, 1);
    lock_drop(&n->lock);
    return true;
}

void news_leave_now(struct news_wait *w)
{
    struct news *n = w->news;
    lock_take(&n->lock);
    if (!dlist_empty(&w->node)) {
        dlist_remove(&w->node);
        atomic_fetch_sub(&n->count, 1);
    }
    lock_drop(&n->lock);
    loop_unpost(w->loop, &w->letter); /* it may be in the mailbox */
    w->news = NULL;
}

void news_tell_all(struct news *n)
{
    lock_take(&n->lock);
    for (struct dlist *node; (node = dlist_pop_front(&n->waiting)) != NULL;) {
        struct news_wait *w = container_of(node, struct news_wait, node);
        atomic_fetch_sub(&n->count, 1);
        loop_post(w->loop, &w->letter); /* under the lock: who leaves takes it back */
    }
    lock_drop(&n->lock);
}
