/* SipHash: a keyed hash for what comes from outside. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

struct sipkey {
    uint64_t k0, k1;
};

/* SipHash-2-4. */
uint64_t siphash(struct sipkey key, struct bytes in);
/* SipHash-1-3: half the work, and as far as is known no outsider finds its collisions either. */
uint64_t siphash_fast(struct sipkey key, struct bytes in);
/* A random key of this process. */
struct sipkey siphash_process_key(void);
