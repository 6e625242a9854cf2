/* Source: PostgreSQL manual, "Lexical Structure". */
#include "settings/scan.h"

#include <strings.h>

static bool starts_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool in_word(uint8_t c)
{
    return starts_word(c) || (c >= '0' && c <= '9') || c == '$';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool at(struct bytes b, size_t i, char c)
{
    return i < b.len && b.ptr[i] == (uint8_t)c;
}

static struct scan_token token(enum scan_kind kind, const uint8_t *start, size_t len)
{
    return (struct scan_token){.kind = kind, .inside = bytes_of(start, len)};
}

static struct scan_token doubt(struct bytes *rest)
{
    struct scan_token t = token(SCAN_DOUBT, rest->ptr, rest->len);
    *rest = bytes_skip(*rest, rest->len);
    return t;
}

static struct scan_token take(struct bytes *rest, enum scan_kind kind, size_t from, size_t to,
                              size_t end)
{
    struct scan_token t = token(kind, rest->ptr + from, to - from);
    *rest = bytes_skip(*rest, end);
    return t;
}

/* A quoted thing whose opening quote is at `open`; the quote doubled is inside. */
static struct scan_token take_quoted(struct bytes *rest, size_t open, bool escapes)
{
    char quote = (char)rest->ptr[open];
    for (size_t i = open + 1; i < rest->len; i++) {
        if (quote == '\'' && rest->ptr[i] == '\\') {
            size_t run = 1;
            while (at(*rest, i + run, '\\')) { run++; }
            bool odd = run % 2 == 1;
            /* Without E a backslash is itself, unless standard_conforming_strings is off: the two
             * readings part only where an odd one stands before a quote. */
            if (odd && !escapes && at(*rest, i + run, '\'')) { break; }
            i += odd && escapes ? run : run - 1;
            continue;
        }
        if (!at(*rest, i, quote)) { continue; }
        if (!at(*rest, i + 1, quote)) {
            return take(rest, quote == '"' ? SCAN_IDENT : SCAN_STRING, open + 1, i, i + 1);
        }
        i++;
    }
    return doubt(rest);
}

static struct scan_token take_comment(struct bytes *rest)
{
    unsigned depth = 1;
    for (size_t i = 2; i + 1 < rest->len; i++) {
        if (rest->ptr[i] == '*' && rest->ptr[i + 1] == '/') {
            if (--depth == 0) { return take(rest, SCAN_COMMENT, 2, i, i + 2); }
            i++;
        } else if (rest->ptr[i] == '/' && rest->ptr[i + 1] == '*') {
            depth++;
            i++;
        }
    }
    return doubt(rest);
}

/* $tag$ ... $tag$, or a parameter or operator that only begins like one. */
static struct scan_token take_dollar(struct bytes *rest)
{
    size_t tag = 1;
    if (tag < rest->len && starts_word(rest->ptr[tag])) {
        while (tag < rest->len && in_word(rest->ptr[tag]) && !at(*rest, tag, '$')) { tag++; }
    }
    if (!at(*rest, tag, '$')) { return take(rest, SCAN_OTHER, 0, 1, 1); }
    tag++;
    struct bytes body = bytes_skip(*rest, tag);
    const uint8_t *close = memmem(body.ptr, body.len, rest->ptr, tag);
    if (close == NULL) { return doubt(rest); }
    size_t end = (size_t)(close - rest->ptr);
    return take(rest, SCAN_STRING, tag, end, end + tag);
}

static struct scan_token take_word(struct bytes *rest)
{
    size_t len = 1;
    while (len < rest->len && in_word(rest->ptr[len])) { len++; }
    uint8_t first = rest->ptr[0] | 0x20;
    if (len == 1 && at(*rest, 1, '\'') &&
        (first == 'e' || first == 'b' || first == 'x' || first == 'n')) {
        return take_quoted(rest, 1, first == 'e');
    }
    if (len == 1 && first == 'u' && at(*rest, 1, '&') &&
        (at(*rest, 2, '\'') || at(*rest, 2, '"'))) {
        struct scan_token t = take_quoted(rest, 2, false);
        t.unicode = true;
        return t;
    }
    return take(rest, SCAN_WORD, 0, len, len);
}

/* White space and line comments. */
static void skip_blank(struct bytes *rest)
{
    size_t i = 0;
    while (i < rest->len) {
        if (is_space(rest->ptr[i])) {
            i++;
        } else if (at(*rest, i, '-') && at(*rest, i + 1, '-')) {
            while (i < rest->len && rest->ptr[i] != '\n' && rest->ptr[i] != '\r') { i++; }
        } else {
            break;
        }
    }
    *rest = bytes_skip(*rest, i);
}

struct scan_token scan_next(struct bytes *rest)
{
    skip_blank(rest);
    if (rest->len == 0) { return (struct scan_token){.kind = SCAN_END}; }
    uint8_t c = rest->ptr[0];
    if (c == '/' && at(*rest, 1, '*')) { return take_comment(rest); }
    if (c == '\'' || c == '"') { return take_quoted(rest, 0, false); }
    if (c == '$') { return take_dollar(rest); }
    if (c == ';') { return take(rest, SCAN_SEMICOLON, 0, 1, 1); }
    if (starts_word(c)) { return take_word(rest); }
    return take(rest, SCAN_OTHER, 0, 1, 1);
}

static bool equals(const uint8_t *text, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp((const char *)text, word, len) == 0;
}

bool scan_is(struct scan_token t, const char *word)
{
    return t.kind == SCAN_WORD && equals(t.inside.ptr, t.inside.len, word);
}

bool scan_mentions(struct bytes text, const char *word)
{
    for (size_t i = 0; i < text.len;) {
        size_t len = 0;
        while (i + len < text.len && in_word(text.ptr[i + len])) { len++; }
        if (equals(text.ptr + i, len, word)) { return true; }
        i += len == 0 ? 1 : len;
    }
    return false;
}
