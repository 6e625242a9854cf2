/*
 * May this client come in? Finds the method (auth_type, or the rule of auth_hba_file), the user's
 * secret, and drives the exchange; what takes time happens elsewhere and comes back to the client's
 * loop. login.c feeds it and acts on its verdict.
 */
#pragma once

#include "auth/credential.h"
#include "client/client.h"

struct admit;

struct admit_who { /* texts are borrowed until admit_free() */
    const char *user, *database;
    const struct sockaddr *peer;
    bool console;
    bool replication; /* physical */
    struct config *config;
};

/*
 * Composes into the client's stream what it is to be asked, but for AuthenticationOk.
 * E_OK: it may. E_AGAIN: decided() comes (never from inside), or admit_answer() is to be called
 * when admit_listens(). Else it may not: why. *ret is set in all cases.
 * decided(): the same verdicts later; why is NULL for E_OK and E_AGAIN.
 */
MUST_USE enum err admit_start(struct client *c, const struct admit_who *who,
                              void (*decided)(struct client *c, enum err e,
                                              const struct fault *why),
                              struct admit **ret, struct fault *why);
/* The next thing to happen is a message of the client's. */
bool admit_listens(const struct admit *a);
/* body of a 'p' message; only when it listens. */
MUST_USE enum err admit_answer(struct admit *a, struct bytes body, struct fault *why);
/* After E_OK: on the console, this is an administrator whatever admin_users says. */
bool admit_is_operator(const struct admit *a);
/* After E_OK: the secret that proved it, if it is in no file; borrowed. */
struct credential *admit_credential(const struct admit *a);
/* Nothing comes any more. */
void admit_free(struct admit **a);
