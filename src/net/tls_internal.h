/* Between tls.c and tls_context.c. */
#pragma once

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls.h"

struct tls_context {
    _Atomic(SSL_CTX *) ssl; /* NULL: made when first asked for */
    bool server;
    enum tls_check check;
    uint32_t refs; /* atomic */
};

/* Any thread. NULL: OpenSSL cannot be set up on this machine. */
SSL_CTX *tls_context_ssl(struct tls_context *c);
/* What OpenSSL failed for on this thread; clears its queue. */
const char *tls_reason(void);
