/* Which TLS versions client_tls_protocols and server_tls_protocols allow. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct protocols {
    bool tls1[4]; /* [n]: TLS 1.n */
};

/* A list by comma or colon; !name takes away. Errors: E_CONFIG, and why. */
MUST_USE enum err protocols_read(const char *words, struct protocols *ret, const char **ret_reason);
