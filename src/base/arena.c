/* A list of blocks, each handed out from front to back. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

enum { ARENA_BLOCK = 4096 - 64, ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *older;
    _Alignas(ARENA_ALIGN) unsigned char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2) { abort(); }
    if (size == 0) { size = 1; } /* a place of its own, never NULL */
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size > a->left) {
        size_t room = size > ARENA_BLOCK / 4 ? size : ARENA_BLOCK;
        struct arena_block *block = mem_zeroed(sizeof *block + room);
        block->older = a->blocks;
        a->blocks = block;
        if (room == size) { return block->bytes; } /* a large one of its own: keep the rest */
        a->next = block->bytes;
        a->left = room;
    }
    void *got = a->next;
    a->next += size;
    a->left -= size;
    return got;
}

void *arena_copy(struct arena *a, const void *bytes, size_t len)
{
    void *copy = arena_alloc(a, len);
    if (len > 0) { memcpy(copy, bytes, len); }
    return copy;
}

char *arena_strndup(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_alloc(a, len + 1);
    if (len > 0) { memcpy(copy, text, len); }
    return copy;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_strndup(a, text, strlen(text));
}

struct bytes arena_bytes(struct arena *a, struct bytes b)
{
    return bytes_of(arena_copy(a, b.ptr, b.len), b.len);
}

void arena_done(struct arena *a)
{
    while (a->blocks != NULL) {
        struct arena_block *older = a->blocks->older;
        free(a->blocks);
        a->blocks = older;
    }
    *a = (struct arena){0};
}
