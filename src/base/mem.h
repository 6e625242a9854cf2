/*
 * Memory. Fixed-size internal objects use mem_new, which aborts on failure: an untested recovery
 * path is worse than a restart. A size that came from outside is checked against a limit first,
 * then allocated with mem_try, whose failure is that client's error alone.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

/* A zeroed object of the given type; aborts when there is no memory. */
#define mem_new(type) ((type *)mem_zeroed(sizeof(type)))
/* A zeroed array; aborts on overflow or when there is no memory. */
#define mem_array(type, count) ((type *)mem_zeroed_array((count), sizeof(type)))
/* Frees and clears the caller's pointer; NULL is fine. */
#define mem_free(pointer) mem_release((void **)(void *)(pointer))

void *mem_zeroed(size_t size);
void *mem_zeroed_array(size_t count, size_t size);
/* The same on cache lines of its own. */
void *mem_zeroed_lines(size_t size);
/* Grows a block that mem_* returned; aborts when there is no memory. New bytes are not zeroed. */
void *mem_grow(void *block, size_t count, size_t size);
/* Not zeroed; NULL when there is no memory. */
MUST_USE void *mem_try(size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
/* printf into a fresh string. */
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);
void mem_release(void **block);
/* Overwrites secrets; not optimised away. */
void mem_wipe(void *block, size_t size);
