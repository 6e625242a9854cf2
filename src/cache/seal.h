/*
 * What Redis is shown: keys are HMAC-SHA-256 under the deployment's secret, values AES-256-GCM
 * bound to their key. Layout: version, key id, nonce, ciphertext, tag. Immutable after seal_open:
 * any thread.
 */
#pragma once

#include "base/bytes.h"
#include "base/err.h"
#include "base/fault.h"
#include "cache/entry.h"

#define SEAL_NONCE    12
#define SEAL_TAG      16
#define SEAL_KEY_ID   4
#define SEAL_HEADER   (1 + SEAL_KEY_ID + SEAL_NONCE)
#define SEAL_OVERHEAD (SEAL_HEADER + SEAL_TAG)

struct seal;

/*
 * path: a file with at least 32 bytes that others may not read; empty: a secret of this process
 * alone, so that nothing in Redis is shared.
 * Errors: E_IO, E_CONFIG with *why filled.
 */
MUST_USE enum err seal_open(const char *path, struct seal **ret, struct fault *why);
void seal_free(struct seal **s);
/* Eight hex digits that name the secret: keys of other deployments begin otherwise. */
const char *seal_tag(const struct seal *s);
/* K: rules fingerprint and canonical key under the secret. */
void seal_mac(const struct seal *s, uint64_t rules, struct bytes key, uint8_t ret[MAC_BYTES]);
/* Seals head followed by body at out, which has room for both and SEAL_OVERHEAD. */
MUST_USE enum err seal_close_over(const struct seal *s, const uint8_t mac[MAC_BYTES],
                                  struct bytes head, struct bytes body, uint8_t *out);
/*
 * The plain bytes at out, which has room for in.len.
 * Errors: E_PROTOCOL for anything that this secret did not seal for this key.
 */
MUST_USE enum err seal_break(const struct seal *s, const uint8_t mac[MAC_BYTES], struct bytes in,
                             uint8_t *out, size_t *ret_len);
