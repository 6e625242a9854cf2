/*
 * The few primitives this folder needs, from OpenSSL. They fail only without memory, and then
 * abort: going on without a key would be worse. MD5 may be switched off, so it can say so.
 */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

enum { CRYPTO_SHA256 = 32, CRYPTO_MD5_HEX = 32 };

void crypto_sha256(struct bytes in, uint8_t ret[CRYPTO_SHA256]);
void crypto_hmac(struct bytes key, struct bytes in, uint8_t ret[CRYPTO_SHA256]);
/* PBKDF2 with HMAC-SHA-256, one block: RFC 5802's Hi(). */
void crypto_pbkdf2(struct bytes password, struct bytes salt, uint32_t iterations,
                   uint8_t ret[CRYPTO_SHA256]);
/* 32 lower-case hex digits and a zero. Errors: E_REFUSED when OpenSSL is set up without MD5 (FIPS).
 */
MUST_USE enum err crypto_md5_hex(struct bytes in, char ret[CRYPTO_MD5_HEX + 1]);
/* Takes as long for a wrong as for a right one; unequal lengths are told at once. */
bool crypto_same(struct bytes a, struct bytes b);
/* Empties a queue that held a secret: wipes all it has room for, then frees it. */
void crypto_wipe_buf(struct buf *b);
