/*
 * Is the client who it says? A small state machine between the login's messages: it composes the
 * AuthenticationXxx messages and reads the client's answers ('p').
 */
#pragma once

#include "auth/userlist.h"
#include "base/buf.h"
#include "config/config.h"

struct verify; /* one login in progress */

/*
 * user_secret NULL: no such user; the exchange goes on and fails in the end, as with a wrong password.
 * Composes the first request into out. E_OK: proven already (trust, any). E_AGAIN: feed the answer.
 */
MUST_USE enum err verify_start(enum auth_type type, const char *user, const struct user_secret *secret,
                               struct verify **ret, struct buf *out, struct fault *why);
/* body of a 'p' message. E_OK: proven; E_AGAIN: next answer; E_AUTH: SQLSTATE 28P01; E_PROTOCOL. */
MUST_USE enum err verify_answer(struct verify *v, struct bytes body, struct buf *out, struct fault *why);
void verify_free(struct verify **v);
