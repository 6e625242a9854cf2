/* PostgreSQL's MD5 login: "md5" and two rounds of hashing. Source: "Password Authentication". */
#pragma once

#include "base/bytes.h"
#include "base/fault.h"

enum { MD5_SECRET = 35, MD5_SALT = 4 }; /* "md5" and 32 hex digits */

/* Is this text such a secret, rather than a password? */
bool md5_is_secret(const char *text);
/* Errors of both: E_REFUSED when this OpenSSL has no MD5. ret gets a closing zero. */
MUST_USE enum err md5_secret(const char *user, struct bytes password, char ret[MD5_SECRET + 1],
                             struct fault *why);
/* What a client that knows the secret answers to the salt. */
MUST_USE enum err md5_answer(const char secret[MD5_SECRET + 1], const uint8_t salt[MD5_SALT],
                             char ret[MD5_SECRET + 1], struct fault *why);
