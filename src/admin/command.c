/* The scanner of console commands: one pass over the bytes, one word at a time. */
#include "admin/command.h"

#include <strings.h>

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool begins(struct bytes in, const char *sign)
{
    return in.len >= 2 && in.ptr[0] == (uint8_t)sign[0] && in.ptr[1] == (uint8_t)sign[1];
}

/* A slash-star comment, nested as PostgreSQL allows it. */
static enum err skip_comment(struct bytes *in, struct fault *why)
{
    unsigned depth = 0;
    do {
        if (begins(*in, "/*")) {
            depth++;
            *in = bytes_skip(*in, 2);
        } else if (begins(*in, "*/")) {
            depth--;
            *in = bytes_skip(*in, 2);
        } else if (in->len > 0) {
            *in = bytes_skip(*in, 1);
        } else {
            return fault_set(why, E_SYNTAX, "a comment is not closed");
        }
    } while (depth > 0);
    return E_OK;
}

static enum err skip_blanks(struct bytes *in, struct fault *why)
{
    while (in->len > 0) {
        if (is_blank(in->ptr[0])) {
            *in = bytes_skip(*in, 1);
        } else if (begins(*in, "--")) {
            while (in->len > 0 && in->ptr[0] != '\n') { *in = bytes_skip(*in, 1); }
        } else if (begins(*in, "/*")) {
            enum err e = skip_comment(in, why);
            if (e != E_OK) { return e; }
        } else {
            return E_OK;
        }
    }
    return E_OK;
}

/* From the opening quote to the closing one; a doubled quote inside is one of the text. */
static enum err take_quoted(struct bytes *in, struct arena *memory, struct word *ret,
                            struct fault *why)
{
    uint8_t quote = in->ptr[0];
    *in = bytes_skip(*in, 1);
    char *text = arena_alloc(memory, in->len + 1);
    size_t len = 0;
    for (;;) {
        if (in->len == 0) { return fault_set(why, E_SYNTAX, "a quote is not closed"); }
        uint8_t c = in->ptr[0];
        *in = bytes_skip(*in, 1);
        if (c == 0) { return fault_set(why, E_SYNTAX, "a zero byte inside quotes"); }
        if (c == quote) {
            if (in->len == 0 || in->ptr[0] != quote) { break; }
            *in = bytes_skip(*in, 1);
        }
        text[len++] = (char)c;
    }
    if (quote == '"' && len == 0) { return fault_set(why, E_SYNTAX, "an empty name"); }
    *ret = (struct word){.kind = quote == '"' ? WORD_NAME : WORD_STRING, .text = text};
    return E_OK;
}

static bool ends_bare(struct bytes in)
{
    uint8_t c = in.ptr[0];
    return is_blank(c) || c == 0 || c == ';' || c == '=' || c == '"' || c == '\'' ||
           begins(in, "--") || begins(in, "/*");
}

/* The n of $n; 0: it is none. */
static unsigned parameter_number(const char *text)
{
    unsigned n = 0;
    if (text[0] != '$') { return 0; }
    for (const char *p = text + 1; *p >= '0' && *p <= '9' && n <= COMMAND_WORDS; p++) {
        n = n * 10 + (unsigned)(*p - '0');
        if (p[1] == '\0') { return n; }
    }
    return 0;
}

/* The cast after a value says nothing that its text does not. */
static void skip_cast(struct bytes *in)
{
    if (!begins(*in, "::")) { return; }
    while (in->len > 0 && in->ptr[0] != ')' && in->ptr[0] != ';') { *in = bytes_skip(*in, 1); }
}

/* From the parenthesis to the one that closes it. */
static enum err take_given(struct bytes *in, struct arena *memory, struct word *ret,
                           struct fault *why)
{
    *in = bytes_skip(*in, 1);
    if (in->len == 0 || in->ptr[0] != '\'') {
        return fault_set(why, E_SYNTAX, "expected a 'string' in parentheses");
    }
    enum err e = take_quoted(in, memory, ret, why);
    if (e != E_OK) { return e; }
    skip_cast(in);
    if (in->len == 0 || in->ptr[0] != ')') {
        return fault_set(why, E_SYNTAX, "a parenthesis is not closed");
    }
    *in = bytes_skip(*in, 1);
    ret->kind = WORD_GIVEN;
    return E_OK;
}

static enum err take_word(struct bytes *in, struct arena *memory, struct word *ret,
                          struct fault *why)
{
    uint8_t c = in->ptr[0];
    if (c == '"' || c == '\'') { return take_quoted(in, memory, ret, why); }
    if (c == '(') { return take_given(in, memory, ret, why); }
    if (c == '=') {
        *ret = (struct word){.kind = WORD_EQUALS, .text = "="};
        *in = bytes_skip(*in, 1);
        return E_OK;
    }
    struct bytes rest = *in;
    while (rest.len > 0 && !ends_bare(rest)) { rest = bytes_skip(rest, 1); }
    size_t len = in->len - rest.len;
    if (len == 0) { return fault_set(why, E_SYNTAX, "a zero byte"); }
    *ret =
        (struct word){.kind = WORD_BARE, .text = arena_strndup(memory, (const char *)in->ptr, len)};
    *in = rest;
    unsigned number = parameter_number(ret->text);
    if (number > COMMAND_WORDS) { return fault_set(why, E_SYNTAX, "too many parameters"); }
    if (number > 0) { ret->kind = WORD_PARAMETER; }
    return E_OK;
}

enum err command_parse(struct bytes text, struct arena *memory, struct command *ret,
                       struct fault *why)
{
    struct command c = {0};
    bool over = false;
    for (;;) {
        enum err e = skip_blanks(&text, why);
        if (e != E_OK) { return e; }
        if (text.len == 0) { break; }
        if (text.ptr[0] == ';') {
            over = true;
            text = bytes_skip(text, 1);
            continue;
        }
        if (over) { return fault_set(why, E_SYNTAX, "one command at a time"); }
        if (c.count == COMMAND_WORDS) { return fault_set(why, E_SYNTAX, "too many words"); }
        e = take_word(&text, memory, &c.words[c.count], why);
        if (e != E_OK) { return e; }
        c.count++;
    }
    *ret = c;
    return E_OK;
}

bool command_is(const struct command *c, unsigned i, const char *keyword)
{
    return i < c->count && (c->words[i].kind == WORD_BARE || c->words[i].kind == WORD_GIVEN) &&
           strcasecmp(c->words[i].text, keyword) == 0;
}

const char *command_value(const struct command *c, unsigned i)
{
    return i < c->count && c->words[i].kind != WORD_EQUALS ? c->words[i].text : NULL;
}

const char *command_name(const struct command *c, unsigned i)
{
    return i < c->count && c->words[i].kind != WORD_STRING ? command_value(c, i) : NULL;
}

unsigned command_parameters(const struct command *c)
{
    unsigned most = 0;
    for (unsigned i = 0; i < c->count; i++) {
        unsigned n = c->words[i].kind == WORD_PARAMETER ? parameter_number(c->words[i].text) : 0;
        if (n > most) { most = n; }
    }
    return most;
}

struct command command_bind(const struct command *c, const char *const *values)
{
    struct command bound = *c;
    for (unsigned i = 0; i < bound.count; i++) {
        struct word *w = &bound.words[i];
        if (w->kind == WORD_PARAMETER) { w->text = values[parameter_number(w->text) - 1]; }
    }
    return bound;
}
