/*
 * What host names were found to mean, for all loops of the process: kept for dns_max_ttl, failures
 * for dns_nxdomain_ttl. Where a lookup fails, what was known before stays in use. Pure but for its
 * lock: resolve.c asks the system.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/hmap.h"
#include "base/sync.h"
#include "net/socket.h"

enum { NAMES_ADDRESSES = 16 };

struct names {
    struct lock lock;
    struct hmap hosts;
    int64_t ttl_us, failed_ttl_us;
    _Atomic uint64_t turn; /* grows when a name is found to mean something else */
};

void names_init(struct names *n);
void names_done(struct names *n);
void names_configure(struct names *n, int64_t ttl_us, int64_t failed_ttl_us);

/*
 * E_OK: *ret is the name's address, each of several in turn, without the port. E_NOTFOUND: it was
 * looked up in vain not long ago. E_AGAIN: it is to be looked up now.
 */
MUST_USE enum err names_find(struct names *n, const char *host, int64_t now_us,
                             struct address *ret);
/* What a lookup gave; count 0: nothing. */
void names_learn(struct names *n, const char *host, const struct address *list, unsigned count,
                 int64_t now_us);
/* Nobody answers there: for a while the name's other addresses are given. false: there are none. */
bool names_failed(struct names *n, const char *host, const struct address *a, int64_t now_us);
/* Is it known, and older than its ttl? */
bool names_is_due(struct names *n, const char *host, int64_t now_us);
/* Does the name still mean this address? true when nothing is known of it. */
bool names_has(struct names *n, const char *host, const struct address *a);

/* Forgets whom nobody has asked for since NAMES_KEPT_US or its ttl, what is longer. */
enum { NAMES_KEPT_US = 60000000 };
void names_sweep(struct names *n, int64_t now_us);

/* For people. Under the lock: short, no I/O. */
void names_each(struct names *n, int64_t now_us,
                void (*visit)(void *arg, const char *host, int64_t ttl_us,
                              const struct address *list, unsigned count),
                void *arg);
