/* Memory that dies together: a request's, or a snapshot's. Aborts when there is none. */
#pragma once

#include <stddef.h>

#include "base/bytes.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t left;
    unsigned char *next;
};

/* An embedded arena starts zeroed. Memory is 16-byte aligned and zeroed. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_copy(struct arena *a, const void *bytes, size_t len);
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
struct bytes arena_bytes(struct arena *a, struct bytes b);
void arena_done(struct arena *a);

#define arena_new(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define arena_array(arena, type, count) ((type *)arena_alloc((arena), (count) * sizeof(type)))
