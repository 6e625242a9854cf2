/*
 * What auth_query said of users, for a while: a secret, or that there is none. Bounded: the answer
 * that came longest ago goes first. Any thread.
 */
#pragma once

#include "auth/credential.h"

enum { ANSWERS_ID = 32, ANSWERS_MOST = 16384 };

struct answers;

struct answers *answers_new(unsigned most);
void answers_free(struct answers **a);

/*
 * E_OK: *ret is a reference for the caller. E_NOTFOUND: there is no such user. E_AGAIN: not known,
 * or no longer.
 */
MUST_USE enum err answers_find(struct answers *a, const uint8_t id[ANSWERS_ID], int64_t now_us,
                               struct credential **ret);
/* c NULL: no such user. Takes its own reference. Not kept when it would be old at once. */
void answers_keep(struct answers *a, const uint8_t id[ANSWERS_ID], struct credential *c,
                  int64_t now_us, int64_t until_us);
void answers_clear(struct answers *a);
/* A secret is forgotten; that there is no such user is not, or guessing names would ask each time.
 */
void answers_forget(struct answers *a, const uint8_t id[ANSWERS_ID]);
