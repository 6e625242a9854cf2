/*
 * What host names were found to mean, for all loops of the process: kept for dns_max_ttl, failures
 * for dns_nxdomain_ttl. Where a lookup fails, what was known before stays in use. Pure but for its
 * lock: resolve.c asks DNS. The zone of a name is what stands behind its first dot.
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
    struct hmap hosts, zones;
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
/* Whatever is known of it, however old, in the same turns; false: nothing. */
bool names_pick(struct names *n, const char *host, int64_t now_us, struct address *ret);
/* All of that; how many. */
unsigned names_list(struct names *n, const char *host, struct address list[NAMES_ADDRESSES]);
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

/* NULL: it has none. Points into host. */
const char *names_zone(const char *host);
/* Is it a later one (RFC 1982) than what was known, *ret_old? 0 at first. */
bool names_learn_serial(struct names *n, const char *zone, uint32_t serial, uint32_t *ret_old);

/* Under the lock: short, no I/O. */
void names_each(struct names *n, int64_t now_us,
                void (*visit)(void *arg, const char *host, int64_t ttl_us,
                              const struct address *list, unsigned count),
                void *arg);
/* The zones of these hosts, and how many they have. */
void names_each_zone(struct names *n,
                     void (*visit)(void *arg, const char *zone, uint32_t serial, unsigned hosts),
                     void *arg);
