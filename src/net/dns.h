/*
 * What DNS, /etc/hosts and resolv.conf say of names, by c-ares on one loop: no thread, and nothing
 * waits. A resolv.conf that changed is read again; what is under way then begins anew.
 */
#pragma once

#include "net/loop.h"
#include "net/socket.h"

enum { DNS_ADDRESSES = 16 };

struct dns;

/* Can it be used? empty: the system's own. */
MUST_USE enum err dns_check_file(const char *resolv_conf, struct fault *why);
MUST_USE enum err dns_open(struct loop *l, const char *resolv_conf, struct dns **ret,
                           struct fault *why);
/* Whoever waits is told that nothing was found. */
void dns_close(struct dns **d);

/*
 * The addresses of a host, IPv4 and IPv6, in the order to try them in (RFC 6724), without a port.
 * done() comes once, from within this call when a file knows; count 0: none, and reason says why.
 */
void dns_ask(struct dns *d, const char *host,
             void (*done)(void *arg, const struct address *list, unsigned count,
                          const char *reason),
             void *arg);
/* The serial number of a zone; NULL: it is none, or nobody says. done() comes once, as above. */
void dns_ask_serial(struct dns *d, const char *zone,
                    void (*done)(void *arg, const uint32_t *serial), void *arg);

/* "c-ares 1.18.1" */
const char *dns_version(void);
