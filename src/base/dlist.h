/* An intrusive doubly linked ring. A head and a detached node point at themselves. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct dlist {
    struct dlist *prev, *next;
};

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
/* Walks the nodes; the current one may be removed. */
#define dlist_each(node, head)                                                                     \
    for (struct dlist *node = (head)->next, *node##_next = node->next; node != (head);             \
         node = node##_next, node##_next = node->next)

static inline void dlist_init(struct dlist *head)
{
    head->prev = head->next = head;
}

static inline bool dlist_empty(const struct dlist *head)
{
    return head->next == head;
}

static inline void dlist_push_back(struct dlist *head, struct dlist *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void dlist_push_front(struct dlist *head, struct dlist *node)
{
    dlist_push_back(head->next, node);
}

/* Detaches the node; harmless on a detached one. */
static inline void dlist_remove(struct dlist *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    dlist_init(node);
}

static inline struct dlist *dlist_pop_front(struct dlist *head)
{
    struct dlist *node = head->next;
    if (node == head) { return NULL; }
    dlist_remove(node);
    return node;
}
