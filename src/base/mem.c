/* Aborting and non-aborting allocation. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *block)
{
    if (block == NULL) {
        (void)fputs("pgusher: out of memory\n", stderr);
        abort();
    }
    return block;
}

/* glibc's calloc() passes by the thread's cache of small blocks, which costs more than to clear
   them here; of large ones it knows which are clear already. */
void *mem_zeroed(size_t size)
{
    enum { SMALL = 1024 };
    if (size > SMALL) { return must(calloc(1, size)); }
    void *block = must(malloc(size == 0 ? 1 : size));
    explicit_bzero(block, size); /* of malloc() and memset() gcc makes a calloc() */
    return block;
}

void *mem_zeroed_array(size_t count, size_t size)
{
    return must(calloc(count == 0 ? 1 : count, size));
}

void *mem_zeroed_lines(size_t size)
{
    enum { LINE = 64 };
    size_t whole = (size + LINE - 1) / LINE * LINE;
    return memset(must(aligned_alloc(LINE, whole)), 0, whole);
}

void *mem_grow(void *block, size_t count, size_t size)
{
    return must(reallocarray(block, count == 0 ? 1 : count, size));
}

void *mem_try(size_t size)
{
    return malloc(size == 0 ? 1 : size);
}

char *mem_strdup(const char *text)
{
    return must(strdup(text));
}

char *mem_strndup(const char *text, size_t len)
{
    return must(strndup(text, len));
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    return must(len < 0 ? NULL : text);
}

void mem_release(void **block)
{
    free(*block);
    *block = NULL;
}

void mem_wipe(void *block, size_t size)
{
    explicit_bzero(block, size);
}
