/* Shared by the files of server/ only. */
#pragma once

#include "server/server.h"

void server_ready_event(void *arg, int events);
/* The server goes away: the cancel on its way is left to itself. */
void cancel_forget(struct server *s);
/* A query is over: a cancel that waits for the one before it was for that query. */
void cancel_answered(struct server *s);

/* ---- dial.c: from an address to a stream on which the protocol can begin */
/* Is TLS with it possible? A unix socket never has it. */
bool dial_could_tls(const struct server_target *t);
/* The socket's own events go to ready() from here on. Errors: E_IO. */
MUST_USE enum err dial_start(struct dial *d, struct stream *s, struct loop *l,
                             const struct server_target *t, const struct address *a,
                             void (*ready)(void *arg, int events), void *arg, struct fault *why);
/*
 * At each event until it is E_OK: the stream is open, in TLS if d->tls still says so. E_AGAIN; else
 * why: E_IO the machine or the way to it, E_REFUSED there is no TLS as it is asked for,
 * E_PROTOCOL that is no PostgreSQL server.
 */
MUST_USE enum err dial_event(struct dial *d, struct stream *s, const struct server_target *t,
                             int events, struct fault *why);
