/*
 * Shared by relay.c and errors.c only: the server's bytes on their way to the client, and what
 * becomes of them when one of them is an error.
 */
#pragma once

#include "request/request.h"

struct relay {
    struct request *r;
    struct server *s;
    struct bytes in;
    size_t from, at; /* in[from..at) is to go to the client */
    bool stop;       /* ReadyForQuery is held back until the cache knows */
    bool lost;
    bool refused;      /* lost by our own doing: asking again would end the same */
    bool demoted;      /* lost because it is a replica: 25006 */
    bool over;         /* the server ended the session for what the client sent ... */
    bool told;         /* ... or by its own will, and the client, to whom it was tied, is told so */
    struct fault *why; /* of being lost */
};

static inline void relay_pass(struct relay *y)
{
    if (y->at > y->from) {
        struct client *c = y->r->client;
        stream_put(&c->stream, bytes_of(y->in.ptr + y->from, y->at - y->from));
        stats_add(&client_stats(c)->sent, y->at - y->from);
        y->r->answered = true;
        y->from = y->at;
    }
}

static inline bool relay_is_held(const struct expect *x)
{
    return x != NULL && x->kind == EXPECT_FAKE && x->held;
}

/* The answer to what follows one that was held. */
void relay_put_held(struct relay *y);
/* errors.c; true: pass it on. */
bool relay_take_error(struct relay *y, struct bytes body);
