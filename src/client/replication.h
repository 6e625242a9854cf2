/*
 * Replication connections, physical and logical: a client and a server of its own on the primary,
 * from login to end. What passes is not looked into. Protocol: "Streaming Replication Protocol".
 */
#pragma once

#include "client/client.h"

enum replication_kind { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

/* The value of the startup parameter. Errors: 22023. */
MUST_USE enum err replication_read(const char *value, enum replication_kind *ret,
                                   struct fault *why);
/*
 * Opens the server with c->startup; waits for a primary and for room in the pool. told() comes
 * later, as for welcome_ask(); from then on replication_ops serve the client.
 */
void replication_start(struct client *c, enum replication_kind kind,
                       void (*told)(void *arg, struct bytes parameters, const struct fault *why));
/* It ends, at whatever point it is; harmless for other clients. */
void replication_end(struct client *c);

/* For the console: "none", "physical" or "logical", and the server if there is one. */
const char *replication_name(const struct client *c);
const struct server *replication_server(const struct client *c);
/* The client whose server this is, or NULL: it is nobody's own. On the server's loop. */
const struct client *replication_client(const struct server *s);

extern const struct client_ops replication_ops;
