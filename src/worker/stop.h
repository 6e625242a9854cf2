/*
 * The way out: no new clients, transactions end, clients close, servers close, the control loop
 * stops. Everything on the control thread; the workers do their parts by errand.
 */
#pragma once

#include "net/loop.h"
#include "worker/worker.h"

enum stopping { RUNNING, HUSHED, DRAINING, CLOSING };

struct stop {
    struct crew *crew;
    struct loop *loop; /* is stopped when all is done */
    struct timer timer;
    int64_t sweep_us; /* when those are looked at next who may have had one more transaction */
    int64_t until_us; /* clients are closed then at the latest; 0: no limit */
    enum stopping state;
    bool hasty;
};

void stop_init(struct stop *s, struct crew *crew, struct loop *l);
void stop_done(struct stop *s);
/*
 * TCP clients are accepted no more, and unix sockets serve the console only. Clients go at their
 * next moment outside of a transaction. hasty: who waits for a server is not waited for. most_us:
 * of all this, from now on; 0: no limit. shared_port: other processes go on listening on it, so
 * that who is just connecting is waited for. Asked again, it is the last word that counts.
 */
void stop_drain(struct stop *s, bool hasty, int64_t most_us, bool shared_port);
void stop_now(struct stop *s);
