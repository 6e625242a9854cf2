/*
 * What a worker's clients listen to. A branch knows, for one database, which of them hears which
 * channel; a listener is one client, with what was notified and could not be told to it yet. All on
 * the worker's own thread.
 */
#pragma once

#include "base/buf.h"
#include "base/dlist.h"
#include "listen/exchange.h"

struct branch;
struct ask;

struct branch *branch_new(struct exchange *x, struct loop *l, uint32_t database_id);
/* Its listeners are gone. */
void branch_free(struct branch **b);

enum listener_state {
    LISTENER_FINE,
    LISTENER_LOST, /* the connection that listens broke: notifications may be missing */
    LISTENER_FULL, /* more was notified than is kept for it */
};

struct listener {
    struct branch *branch;
    struct dlist channels; /* in the order of LISTEN */
    struct buf queue;      /* NotificationResponse messages */
    enum listener_state state;
    uint32_t pid;             /* as the client was told */
    size_t queue_most;        /* bytes */
    void (*ready)(void *arg); /* the queue or the state changed; may end it */
    void *arg;
};

void listener_init(struct listener *l, struct branch *b, uint32_t pid, size_t queue_most,
                   void (*ready)(void *arg), void *arg);
void listener_done(struct listener *l);
static inline bool listener_hears(const struct listener *l)
{
    return l->branch != NULL && !dlist_empty(&l->channels);
}
bool listener_has(const struct listener *l, const char *channel);
/* When the ask that named it is done: what is notified from then on is heard. */
void listener_add(struct listener *l, const char *channel);
/* What of it was not told yet will not be. */
void listener_drop(struct listener *l, const char *channel);
void listener_drop_all(struct listener *l);
/* Walks them in the order of LISTEN. */
void listener_each(const struct listener *l, void (*visit)(const char *channel, void *arg),
                   void *arg);

enum sender { SENDER_SAME, SENDER_COMES, SENDER_LEAVES };

struct ask_text {
    struct account *account; /* whose user listens, if nobody does yet */
    const char *encoding;    /* the client's, by the server's name of it */
    const char *const *channels;
    unsigned count;
    enum sender sender; /* what the server `pid` notifies is the client's that was told `told` */
    uint32_t pid, told;
};
/*
 * Asks that these channels are listened to, and for all that was notified before: when done() comes
 * (later, never from inside) it has been heard. E_OK, or nothing of it is so: E_REFUSED another
 * encoding is in use; else the connection cannot be had, or is lost. done NULL: nobody waits.
 */
struct ask *branch_ask(struct branch *b, const struct ask_text *t,
                       void (*done)(void *arg, enum err e), void *arg);
/* done() does not come. Clears the caller's pointer. */
void ask_forget(struct ask **a);
