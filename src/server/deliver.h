/*
 * One packet on a connection of its own, which the other side closes when it has dealt with it: a
 * CancelRequest, to a server or to a peer of ours.
 */
#pragma once

#include "server/server.h"

struct delivery;

/* Does a connection to it begin with TLS? allow tries without first. */
bool dial_tls(const struct server_target *t);

struct delivery_ops {
    void (*sent)(void *arg); /* it is on its way */
    /* Last call: the other side has closed, or the target's cancel_timeout_us are over (why: NULL);
       else why it could not be sent. Never from inside deliver_start(). */
    void (*done)(void *arg, const struct fault *why);
};

/*
 * Of the target, the node, what concerns TLS, the socket and cancel_timeout_us count; what they
 * point to must last until the end. tls: it is asked for first. Takes the packet.
 */
struct delivery *deliver_start(struct loop *l, const struct server_target *target,
                               const struct address *a, bool tls, struct buf *packet,
                               const struct delivery_ops *ops, void *arg);
/* It ends here; done() does not come. */
void deliver_drop(struct delivery **d);
