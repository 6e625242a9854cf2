/* Who the client is: its settings as they are at its start, and again when a reload has changed the
   rows of [settings]. */
#pragma once

#include "client/client.h"

/* What the templates of its rows are filled from; points into the client. No statement. */
struct identity_sources caller_sources(const struct client *c);

/* Takes startup, base, wanted and in_tx from what was given at startup. Errors: E_DENIED. */
MUST_USE enum err caller_identify(struct client *c, struct fault *why);
/*
 * The account is another, by a reload: its rows hold from here on, what the client has set since
 * its start stays. Between transactions, and with no server.
 * Errors: E_DENIED where a login would be refused now.
 */
MUST_USE enum err caller_identify_again(struct client *c, struct fault *why);
