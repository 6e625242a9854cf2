/*
 * The console on the databases pgbouncer and pgusher: SHOW, control commands, by the simple and the
 * extended protocol. One office per worker; what other workers know is gathered by letters, never
 * read across threads.
 */
#pragma once

#include "client/client.h"

enum shutdown_mode { SHUTDOWN_NOW, SHUTDOWN_WAIT_FOR_SERVERS, SHUTDOWN_WAIT_FOR_CLIENTS };

struct cache;

/* What the console can ask of the process; called on the console client's loop, any worker. */
struct admin_hooks {
    /* Reloads the ini, auth_file; done() comes on loop `l`: NULL, or why nothing changed. */
    void (*reload)(void *arg, struct loop *l, void (*done)(void *done_arg, const struct fault *why),
                   void *done_arg);
    /* SET key = value, until the next reload. Same answer. */
    void (*set)(void *arg, struct loop *l, const char *key, const char *value,
                void (*done)(void *done_arg, const struct fault *why), void *done_arg);
    void (*shutdown)(void *arg, enum shutdown_mode mode);
    /* Same answer as reload's, when all clients and servers are at rest. */
    void (*suspend)(void *arg, struct loop *l,
                    void (*done)(void *done_arg, const struct fault *why), void *done_arg);
    void (*resume)(void *arg); /* ends that; also when nothing is suspended */
    /* The listening sockets; how many. On the first worker's loop. */
    unsigned (*doors)(void *arg, int *fds, unsigned room);
    void *arg;
};

struct office;
/* fronts: all workers' fronts, this one's among them. Borrowed. */
struct office *office_new(struct front *own, struct front **fronts, unsigned fronts_count,
                          struct cache *cache, const struct admin_hooks *hooks);
void office_free(struct office **o);

extern const struct client_ops admin_ops;
