/* Passwords as SCRAM hashes them. */
#pragma once

#include "base/bytes.h"

/*
 * RFC 4013, with PostgreSQL's way out: a password that is no UTF-8, or that the profile forbids, is
 * hashed as the bytes it is.
 * Owner: the caller; mem_wipe() it, then mem_free(). NULL: as it is.
 */
char *saslprep(struct bytes password);
