/* Base64 as SCRAM wants it: the plain alphabet, padded, no line breaks. Source: RFC 4648,
 * section 4. */
#pragma once

#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"

void base64_put(struct buf *out, struct bytes in);
/*
 * Decodes into ret, room bytes.
 * Errors: E_SYNTAX for any other byte, missing padding, or bits that say nothing; E_LIMIT without
 * room.
 */
MUST_USE enum err base64_read(struct bytes text, uint8_t *ret, size_t room, size_t *ret_len);
