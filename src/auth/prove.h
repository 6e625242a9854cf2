/* Who we are, to a server: answers its AuthenticationXxx requests. */
#pragma once

#include "auth/credential.h"
#include "auth/userlist.h"
#include "base/buf.h"

struct prove; /* one login in progress */

/*
 * password: from the database line, or NULL; secret: the user's line of auth_file, or NULL.
 * Borrowed until prove_free. The password wins; it may be written as md5... or SCRAM-SHA-256$...
 * too, as in PgBouncer.
 *
 *   secret            the server asks for: clear text   MD5   SCRAM-SHA-256
 *   in clear                               yes          yes   yes
 *   MD5                                    no           yes   no
 *   SCRAM                                  no           no    once a client has logged in by SCRAM
 * with it
 */
struct prove *prove_new(const char *user, const char *password, const struct user_secret *secret);
/* c lives as long as p, and its secret is used if no password was given. Takes the reference. */
void prove_by(struct prove *p, struct credential *c);
/* The login goes by TLS: with SCRAM-SHA-256-PLUS where the server offers it. */
void prove_bind(struct prove *p, const struct scram_channel *channel);
/*
 * body of an 'R' message; the answer is appended to out.
 * E_OK: AuthenticationOk. E_AGAIN: answered, wait. E_AUTH: no secret that fits the request (which
 * one is missing is in why), or the server failed to prove itself. E_PROTOCOL, E_LIMIT: the
 * server's message. E_REFUSED: a method that is not supported.
 */
MUST_USE enum err prove_answer(struct prove *p, struct bytes body, struct buf *out,
                               struct fault *why);
void prove_free(struct prove **p);
