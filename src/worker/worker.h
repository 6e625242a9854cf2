/*
 * One worker: a thread, its loop, the clients and servers on it. The first one also accepts and
 * hands clients to whichever worker has the fewest.
 */
#pragma once

#include "admin/admin.h"
#include "net/socket.h"
#include "request/request.h"

struct worker;
struct crew; /* all workers of the process */

/*
 * Builds the workers' loops; nothing runs yet. hooks: what the consoles may ask. Everything is
 * borrowed and must outlive the crew.
 */
struct crew *crew_new(unsigned count, struct resolver *resolver, const struct admin_hooks *hooks);
struct loop **crew_loops(struct crew *c);
unsigned crew_count(const struct crew *c);
/* Starts the threads. Takes the listening sockets. */
void crew_start(struct crew *c, struct registry *r, struct cache *cache, struct shared *shared,
                struct listeners *listeners);
/* Every worker does this once, on its thread; done(arg) then runs on loop `back`. */
void crew_each(struct crew *c, void (*act)(struct worker *w), struct loop *back,
               void (*done)(void *arg), void *arg);
/* ---- acts for crew_each() */
void worker_hush_doors(struct worker *w);      /* socket_hush() */
void worker_close_tcp_doors(struct worker *w); /* who has got through already is let in */
void worker_close_doors(struct worker *w);     /* all that are left */
/* Idle clients go, busy ones when they are done; front_drain(). */
void worker_drain(struct worker *w);
void worker_drain_hasty(struct worker *w); /* ... and those that wait for a server at once */
void worker_sweep(struct worker *w);       /* ... and those that have not asked again */
void worker_close_clients(struct worker *w);
/* Takes over the configuration in force. */
void worker_configure(struct worker *w);
void worker_settle(struct worker *w); /* nothing: only that what was posted before has arrived */
void worker_close_servers(struct worker *w);
void worker_tidy(struct worker *w); /* what a reload made stale closes now */
void worker_forget(
    struct worker *w); /* what it knows of databases that are taken out: pool/reap.h */
/* ---- SUSPEND: suspend.h */
void worker_rest(struct worker *w); /* what is quiet is read no more; counts the others */
void worker_get_up(struct worker *w);
/* Clients of all workers, the consoles not counted. */
unsigned crew_clients(const struct crew *c);
/* The listening sockets; how many. On the first worker's thread. */
unsigned crew_doors(const struct crew *c, int *fds, unsigned room);
/* Stops the threads, after worker_close_servers() everywhere, and frees all. */
void crew_stop(struct crew **c);
/* The same for a crew that was never started. */
void crew_drop(struct crew **c);
