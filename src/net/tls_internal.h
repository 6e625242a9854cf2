/* Between tls.c and tls_context.c. */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

struct tls_context {
    SSL_CTX *ssl;
    bool server;
    enum tls_check check;
    uint32_t refs; /* atomic */
};

/* What OpenSSL failed for on this thread; clears its queue. */
const char *tls_reason(void);
