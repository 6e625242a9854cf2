/* Random bytes from the kernel, fit for keys and nonces. */
#pragma once

#include <stddef.h>

void random_fill(void *ret, size_t len);
