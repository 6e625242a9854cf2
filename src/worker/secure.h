/* The TLS of both sides as the configuration and its files say it. Control thread. */
#pragma once

#include "config/config.h"
#include "net/tls.h"

struct secured {
    struct tls_context *clients, *servers; /* NULL: no TLS there */
    uint64_t clients_mark, servers_mark;
};

/*
 * old: what is in force; a side whose options and files' bytes are the same keeps its context, so
 * that a reload replaces no connection in vain. Errors: E_CONFIG with option, file and reason.
 */
MUST_USE enum err secured_load(const struct config *cfg, const struct secured *old,
                               struct secured *ret, struct fault *why);
void secured_done(struct secured *s);
