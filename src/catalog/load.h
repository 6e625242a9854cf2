/*
 * Loads one database's catalog over asynchronous libpq on the control thread's loop, again whenever
 * a cheap fingerprint changes (polled), and publishes each new snapshot.
 */
#pragma once

#include "catalog/catalog.h"
#include "config/config.h"

struct catalog_loader;
struct loop;

struct catalog_source {
    /* "host" and port of the current primary; false: none known, try later. Control thread. */
    bool (*primary)(void *arg, const char **host, int *port);
    /* A new snapshot; the callee takes the reference. NULL: it could not be kept fresh (fail
     * closed). */
    void (*publish)(void *arg, struct catalog *c);
    void *arg;
    const char *database; /* pgusher's name for it, for logs */
    const char *dbname, *user, *password;
    int64_t poll_us; /* between fingerprints */
};
struct catalog_loader *catalog_loader_start(struct loop *loop, const struct catalog_source *source,
                                            const struct config *cfg);
/* Load again soon: DDL went through pgusher. Control thread. */
void catalog_loader_hurry(struct catalog_loader *l);
void catalog_loader_stop(struct catalog_loader **l, void (*closed)(void *arg), void *arg);
