/*
 * Is the client who it says? A small state machine between the login's messages: it composes the
 * AuthenticationXxx messages and reads the client's answers ('p'). AuthenticationOk itself is
 * composed by the caller, who may have more to check.
 */
#pragma once

#include "auth/userlist.h"
#include "base/buf.h"
#include "config/config.h"

struct verify; /* one login in progress */

/*
 * user_secret NULL: no such user; the exchange goes on and fails in the end, as with a wrong
 * password. usual: what most secrets are, for who has none. iterations: scram_iterations, for who
 * has no SCRAM secret. channel: of the TLS that the client came by, or NULL: with it
 * SCRAM-SHA-256-PLUS is offered too. user and secret are borrowed until verify_free. Composes the
 * first request into out. E_OK: proven already (trust, any). E_AGAIN: feed the answer. E_AUTH:
 * trust, but no such user. E_CONFIG: a type that is not about passwords (cert, hba, ldap, pam),
 * which the caller decides by itself. *ret is set with E_AGAIN, else NULL.
 *
 * plain:         the client sends its password; any kind of secret can be checked against it.
 * md5:           secrets in clear and MD5; with a SCRAM secret SCRAM is used instead, as in
 * PgBouncer. scram-sha-256: secrets in clear and SCRAM; an MD5 secret cannot be used, and fails as
 * a wrong password.
 */
MUST_USE enum err verify_start(enum auth_type type, const char *user,
                               const struct user_secret *secret, enum secret_kind usual,
                               const struct scram_channel *channel, uint32_t iterations,
                               struct verify **ret, struct buf *out, struct fault *why);
/* body of a 'p' message. E_OK: proven; E_AGAIN: next answer; E_AUTH: SQLSTATE 28P01; E_PROTOCOL. */
MUST_USE enum err verify_answer(struct verify *v, struct bytes body, struct buf *out,
                                struct fault *why);
void verify_free(struct verify **v);
/* PasswordMessage: the text without its zero; points into body. Errors: E_PROTOCOL. */
MUST_USE enum err verify_read_password(struct bytes body, struct bytes *ret, struct fault *why);
