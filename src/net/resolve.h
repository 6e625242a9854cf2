/* Names to addresses, off the loop (libuv's thread pool); numbers and unix folders at once. */
#pragma once

#include "net/loop.h"
#include "net/socket.h"

struct resolve;

/*
 * E_OK: *ret is filled. E_AGAIN: done() comes on the loop with the first address, or NULL when the
 * name has none; *ret_pending can be given to resolve_forget(). E_CONFIG: a socket path too long.
 */
MUST_USE enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                                void (*done)(void *arg, const struct address *a), void *arg,
                                struct resolve **ret_pending);
/* done() will not be called. */
void resolve_forget(struct resolve **r);
