/* Names to addresses, off the loop (libuv's thread pool); numbers and unix folders at once. */
#pragma once

#include "net/loop.h"
#include "net/names.h"
#include "net/socket.h"

struct resolve;

/*
 * E_OK: *ret is filled. E_AGAIN: done() comes on the loop with the first address, or NULL when the
 * name has none; *ret_pending can be given to resolve_forget(). E_CONFIG: a socket path too long.
 * E_NOTFOUND: the name was looked up in vain not long ago.
 */
MUST_USE enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                                void (*done)(void *arg, const struct address *a), void *arg,
                                struct resolve **ret_pending);
/* Looks a name up again whose time is over, for whoever asks next and for names_has(). */
void resolve_refresh(struct loop *l, const char *host);
/* done() will not be called. */
void resolve_forget(struct resolve **r);
