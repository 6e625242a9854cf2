/* Where Redis is: redis_url taken apart. Immutable. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/fault.h"

struct redis_address {
    char *host; /* NULL: a unix socket */
    int port;
    char *path;            /* of the unix socket */
    char *user, *password; /* NULL: none */
    int number;            /* of the database in Redis */
};

/*
 * redis://[[user]:password@]host[:port][/number] or unix:///path[?db=number]; user and password may
 * be percent-encoded.
 * Errors: E_CONFIG with *why filled; the text never has the password.
 */
MUST_USE enum err redis_address_read(const char *url, struct redis_address **ret,
                                     struct fault *why);
void redis_address_free(struct redis_address **a);
bool redis_address_equal(const struct redis_address *a, const struct redis_address *b);
