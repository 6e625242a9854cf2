/* What Redis said, checked: pure functions over bytes from outside. */
#pragma once

#include <hiredis/hiredis.h>

#include "cache/entry.h"
#include "cache/inside.h"
#include "cache/seal.h"

#define EPOCH_TEXT_MAX (2 * EPOCH_BYTES + 1 + RUN_ID_MAX + 1)

/* The bytes of a string reply; false for any other. */
bool answer_string(const redisReply *reply, struct bytes *ret);
/* The run_id line of INFO. */
MUST_USE enum err answer_run_id(struct bytes info, char ret[RUN_ID_MAX + 1]);
/* "NONCE:RUN_ID", with the given run_id. */
MUST_USE enum err answer_epoch_text(struct bytes text, const char *run_id,
                                    uint8_t ret[EPOCH_BYTES]);
/* A decimal number without sign or leading zeros, below 2^63. */
MUST_USE enum err answer_version(struct bytes text, uint64_t *ret);
/*
 * A sealed entry as an answer to the claim.
 * Errors: E_PROTOCOL: not sealed by us for this key. E_TIMEOUT: too old, or of other versions.
 *         E_NOMEM.
 */
MUST_USE enum err answer_entry(const struct seal *s, const struct claim *c, struct bytes sealed,
                               int64_t wall_us, struct cache_entry **ret);
