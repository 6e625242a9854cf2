/* What the two sides of SCRAM share, and the doors through which tests bring their own nonces. */
#pragma once

#include "auth/scram.h"

/* ClientKey and ServerKey of a password; found in the keyring or derived and kept there. */
void scram_keys(struct bytes password, struct bytes salt, uint32_t iterations,
                uint8_t ret_client_key[SCRAM_KEY], uint8_t ret_server_key[SCRAM_KEY]);
/* SHA-256 of the ClientKey. */
void scram_stored_key(const uint8_t client_key[SCRAM_KEY], uint8_t ret[SCRAM_KEY]);
/* HMAC of "client-first-bare,server-first,client-final-without-proof". */
void scram_sign(const uint8_t key[SCRAM_KEY], struct bytes client_first_bare,
                struct bytes server_first, struct bytes client_final, uint8_t ret[SCRAM_KEY]);
/* The GS2 header for a flag, 'n', 'y' or 'p'; and what c= says in base64: it and the channel. */
void scram_put_header(struct buf *out, uint8_t flag);
void scram_put_binding(struct buf *out, uint8_t flag, const struct scram_channel *channel);
/* 18 random bytes in base64. The caller's to free. */
char *scram_nonce(void);

/*
 * Takes "name=value" and the comma behind it from the front. False when another attribute or none
 * stands there, or nothing follows the comma.
 */
bool scram_attribute(struct bytes *left, uint8_t name, struct bytes *ret_value);
/* The same for optional extensions: any attribute, whose name and value are of no interest. */
bool scram_extension(struct bytes *left);
/* Printable ASCII without commas, at least one. */
bool scram_is_nonce(struct bytes value);
/* A decimal number from 1 to INT32_MAX without sign or leading zero. */
bool scram_iterations(struct bytes text, uint32_t *ret);

void scram_client_first_with(struct scram_client *c, const char *user, const char *nonce,
                             struct buf *out);
/* nonce: our part. */
MUST_USE enum err scram_server_first_with(struct scram_server *s, struct bytes client_first,
                                          const char *nonce, struct buf *out, struct fault *why);
