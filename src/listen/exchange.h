/*
 * LISTEN for clients that keep no server: one connection per database listens to the channels of
 * all of them. Its home is one worker's loop; each worker has a branch per database, from which its
 * clients hear (listener.h). Letters between the two arrive in the order they were posted: that is
 * what keeps notifications in order, and what makes an answer to a branch mean that all that was
 * notified before it has been delivered there.
 */
#pragma once

#include "pool/registry.h"

struct exchange;

struct exchange *exchange_new(struct loop *home);
/* Somebody listens, so who notifies must be known. Any thread. */
bool exchange_is_used(const struct exchange *x);
/* At home, when the workers stop: closes the connections. What is still asked is answered. */
void exchange_close(struct exchange *x);
/* After the loops. */
void exchange_free(struct exchange **x);
