/* SipHash-2-4: a keyed hash for tables whose keys come from outside. */
#pragma once

#include <stdint.h>

#include "base/bytes.h"

struct sipkey {
    uint64_t k0, k1;
};

uint64_t siphash(struct sipkey key, struct bytes in);
/* A random key of this process, made at first use. */
struct sipkey siphash_process_key(void);
