/* The tokenizer. */
#include "auth/record.h"

#include <string.h>

enum { FIELDS_MOST = 64, TOKENS_MOST = 4096, LINE_MOST = 65536 };

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static void skip_spaces(struct bytes *line)
{
    while (line->len > 0 && is_space(line->ptr[0])) { *line = bytes_skip(*line, 1); }
    if (line->len > 0 && line->ptr[0] == '#') { line->len = 0; }
}

/* What a line is taken apart into. */
struct parts {
    struct arena *memory;
    char
        *text; /* room for what is left of the line: tokens are no longer than what they are from */
};

/* A token from the front: quoted parts and others may follow each other without a space. */
static enum err take_token(const struct record_reader *r, struct bytes *line, struct parts *into,
                           struct record_token *ret, struct fault *why)
{
    char *text = into->text;
    size_t len = 0;
    bool inside = false;
    ret->quoted = line->ptr[0] == '"';
    while (line->len > 0) {
        uint8_t c = line->ptr[0];
        if (!inside && (is_space(c) || c == ',' || c == '#')) { break; }
        *line = bytes_skip(*line, 1);
        if (c != '"') {
            text[len++] = (char)c;
        } else if (inside && line->len > 0 && line->ptr[0] == '"') {
            text[len++] = '"';
            *line = bytes_skip(*line, 1);
        } else {
            inside = !inside;
        }
    }
    if (inside) {
        return fault_set(why, E_CONFIG, "%s:%d: the closing quote of \"%.40s is missing", r->name,
                         r->line, text);
    }
    ret->text = text;
    into->text = text + len + 1;
    return E_OK;
}

static enum err take_field(const struct record_reader *r, struct bytes *line, struct parts *into,
                           struct record_field *ret, struct fault *why)
{
    size_t room = 0;
    *ret = (struct record_field){0};
    for (;;) {
        if (ret->count == room) {
            struct record_token *old = ret->tokens;
            room = room == 0 ? 1 : room * 2;
            ret->tokens = arena_array(into->memory, struct record_token, room);
            if (old != NULL) { memcpy(ret->tokens, old, ret->count * sizeof *old); }
        }
        if (line->len == 0 || line->ptr[0] == ',') {
            return fault_set(why, E_CONFIG, "%s:%d: a word is missing beside a comma", r->name,
                             r->line);
        }
        enum err e = take_token(r, line, into, &ret->tokens[ret->count++], why);
        if (e != E_OK) { return e; }
        if (ret->count > TOKENS_MOST) {
            return fault_set(why, E_CONFIG, "%s:%d: more than %d words in a list", r->name, r->line,
                             TOKENS_MOST);
        }
        if (line->len == 0 || line->ptr[0] != ',') { return E_OK; }
        *line = bytes_skip(*line, 1); /* as in PostgreSQL, spaces may follow the comma */
        skip_spaces(line);
    }
}

static enum err take_line(const struct record_reader *r, struct bytes line, struct arena *memory,
                          struct record *ret, struct fault *why)
{
    struct record_field fields[FIELDS_MOST];
    *ret = (struct record){.line = r->line};
    skip_spaces(&line);
    if (line.len == 0) { return E_OK; }
    struct parts into = {memory, arena_alloc(memory, line.len + 1)};
    while (line.len > 0) {
        if (ret->count == FIELDS_MOST) {
            return fault_set(why, E_CONFIG, "%s:%d: more than %d fields", r->name, r->line,
                             FIELDS_MOST);
        }
        enum err e = take_field(r, &line, &into, &fields[ret->count], why);
        if (e != E_OK) { return e; }
        ret->count++;
        skip_spaces(&line);
    }
    ret->fields = arena_copy(memory, fields, ret->count * sizeof fields[0]);
    return E_OK;
}

enum err record_next(struct record_reader *r, struct arena *memory, struct record *ret,
                     struct fault *why)
{
    while (r->rest.len > 0) {
        const uint8_t *end = memchr(r->rest.ptr, '\n', r->rest.len);
        size_t len = end == NULL ? r->rest.len : (size_t)(end - r->rest.ptr);
        struct bytes line = bytes_of(r->rest.ptr, len);
        r->rest = bytes_skip(r->rest, end == NULL ? len : len + 1);
        r->line++;
        if (len > LINE_MOST) {
            return fault_set(why, E_CONFIG, "%s:%d: longer than %d bytes", r->name, r->line,
                             LINE_MOST);
        }
        if (memchr(line.ptr, 0, len) != NULL) {
            return fault_set(why, E_CONFIG, "%s:%d: a zero byte, expected text", r->name, r->line);
        }
        enum err e = take_line(r, line, memory, ret, why);
        if (e != E_OK || ret->count > 0) { return e; }
    }
    return E_EOF;
}
