/*
 * Any bytes of a client's: a unit lies within them, and how they were cut into packets changes
 * nothing: a shorter input either waits or comes to the same end.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "request/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition) { abort(); }
}

static bool is_inside(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static bool is_text_inside(const char *text, struct bytes whole)
{
    return is_inside(bytes_of(text, strlen(text) + 1), whole);
}

static void check_unit(const struct unit *u, struct bytes in)
{
    must(is_inside(u->raw, in) && u->raw.ptr == in.ptr && u->raw.len > 0);
    must(is_inside(u->text, in));
    if (u->kind == UNIT_STREAM) {
        must(u->size > in.len && u->size > UNIT_MOST && u->skip <= in.len);
        if (u->type == 'B') {
            must(is_text_inside(u->portal, in) && is_text_inside(u->statement, in));
        }
        return;
    }
    must(u->size <= in.len && u->raw.len == u->size);
    if (u->kind != UNIT_BATCH) { return; }
    must(!(u->sync && u->cut));
    must(!u->plain || (u->sync && u->has_bind && u->executes == 1));
    if (u->has_parse) {
        must(is_text_inside(u->parse.name, u->raw) && is_inside(u->parse.text, u->raw));
    }
    if (u->has_bind) {
        must(is_text_inside(u->bind.portal, u->raw) && is_text_inside(u->bind.statement, u->raw));
        must(is_inside(u->bind.rest, u->raw));
    }
}

static void check_same(const struct unit *a, const struct unit *b)
{
    must(a->kind == b->kind && a->size == b->size && a->skip == b->skip && a->type == b->type);
    must(a->sync == b->sync && a->cut == b->cut && a->plain == b->plain);
    must(a->described == b->described && a->executes == b->executes);
    must(a->has_parse == b->has_parse && a->has_bind == b->has_bind);
    must(a->text.len == b->text.len);
}

/* A message over UNIT_MOST is passed on or refused where a part of it is there, and read where all
   of it is: the one case in which packets matter. */
static void check_prefix(struct bytes in, size_t len, enum err e, const struct unit *whole)
{
    struct unit u;
    struct fault why = {0};
    uint8_t *copy = mem_try(len == 0 ? 1 : len); /* so that a look past its end is seen */
    memcpy(copy, in.ptr, len);
    struct bytes part = bytes_of(copy, len);
    enum err short_e = unit_read(part, &u, &why);
    if (short_e == E_OK) { check_unit(&u, part); }
    must(short_e == E_OK || short_e == E_AGAIN || short_e == why.code);
    if (in.len <= UNIT_MOST && short_e != E_AGAIN) {
        must(short_e == e);
        if (e == E_OK) { check_same(&u, whole); }
    }
    mem_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_of(data, size);
    for (unsigned units = 0; units < 64 && in.len > 0; units++) {
        struct unit u;
        struct fault why = {0};
        enum err e = unit_read(in, &u, &why);
        must(e == E_OK || e == E_AGAIN || e == why.code);
        if (e == E_OK) { check_unit(&u, in); }
        size_t step = in.len / 64 + 1;
        for (size_t len = 0; len < in.len; len += step) { check_prefix(in, len, e, &u); }
        if (e == E_OK && u.kind != UNIT_STREAM) {
            check_prefix(in, u.size, e, &u);
            check_prefix(in, u.size - 1, e, &u);
        }
        if (e != E_OK || u.kind == UNIT_STREAM) { break; }
        in = bytes_skip(in, u.size);
    }
    return 0;
}
