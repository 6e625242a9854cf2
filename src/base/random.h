/* Random bytes from the kernel, fit for keys and nonces. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_fill(void *ret, size_t len);

/* For many small keys: one call to the kernel gives dozens of them. Starts as zeroes; what was
   taken is wiped. */
struct random_pool {
    uint8_t bytes[512];
    size_t left; /* of them: the first ones */
};
void random_take(struct random_pool *p, void *ret, size_t len);
