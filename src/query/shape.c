/*
 * A scanner for the plain subset of SQL: words, numbers, '...' without a backslash, "...",
 * operators, parameters and comments, in one statement that begins with SELECT, INSERT, UPDATE,
 * DELETE, WITH or VALUES. It follows PostgreSQL's scan.l where both take a text, and declines where
 * following would need care. What facts depend on is kept or declined:
 *
 *   string constants   left out, but for words that move in time (STMT_TIME_LITERAL)
 *   numbers            left out, but two kinds are kept apart, since the grammar takes only one of
 *                      them in places: those that fit in 31 bits, and the others
 *   set_config, current_setting, float   decline: their arguments are facts, or decide on an error
 *   a backslash, E'', B'', X'', N'', U&, $$, several statements, odd bytes   decline
 *
 * White space and comments become one space: they separate tokens and mean nothing else, except
 * between two strings, which declines.
 */
#include "query/shape.h"

#include "query/words.h"

enum class {
    C_ODD = 0, /* declines */
    C_SPACE,
    C_LETTER, /* begins a word */
    C_DIGIT,
    C_OPERATOR, /* may be part of an operator */
    C_SELF,     /* a token of its own */
    C_QUOTE,
    C_IDENT_QUOTE,
    C_DOLLAR,
    C_DOT,
    C_SEMICOLON,
};

static const uint8_t classes[256] = {
    [' '] = C_SPACE,         ['\t'] = C_SPACE,         ['\n'] = C_SPACE,         ['\r'] = C_SPACE,
    ['\f'] = C_SPACE,        ['a' ... 'z'] = C_LETTER, ['A' ... 'Z'] = C_LETTER, ['_'] = C_LETTER,
    ['0' ... '9'] = C_DIGIT, ['+'] = C_OPERATOR,       ['-'] = C_OPERATOR,       ['*'] = C_OPERATOR,
    ['/'] = C_OPERATOR,      ['<'] = C_OPERATOR,       ['>'] = C_OPERATOR,       ['='] = C_OPERATOR,
    ['~'] = C_OPERATOR,      ['!'] = C_OPERATOR,       ['@'] = C_OPERATOR,       ['#'] = C_OPERATOR,
    ['%'] = C_OPERATOR,      ['^'] = C_OPERATOR,       ['&'] = C_OPERATOR,       ['|'] = C_OPERATOR,
    ['`'] = C_OPERATOR,      ['?'] = C_OPERATOR,       ['('] = C_SELF,           [')'] = C_SELF,
    ['['] = C_SELF,          [']'] = C_SELF,           [','] = C_SELF,           [':'] = C_SELF,
    ['\''] = C_QUOTE,        ['"'] = C_IDENT_QUOTE,    ['$'] = C_DOLLAR,         ['.'] = C_DOT,
    [';'] = C_SEMICOLON,
};

/* What stands for a literal. No such byte is taken outside quotes. */
enum { MARK_STRING = 1, MARK_INTEGER, MARK_NUMBER };

struct scan {
    const uint8_t *at, *end;
    const uint8_t *from; /* from here to `at` is kept as it is, and not copied yet */
    uint8_t *to;
    bool after_string; /* the last token was a string: another one would continue it */
};

static inline uint8_t peek(const struct scan *s, size_t ahead)
{
    return (size_t)(s->end - s->at) > ahead ? s->at[ahead] : 0;
}

static inline enum class class_at(const struct scan *s, size_t ahead) {
    return classes[peek(s, ahead)];
}

/* The class at a position, C_ODD at the end: nothing goes on there. */
static inline enum class class_from(const struct scan *s, const uint8_t *at) {
    return at < s->end ? classes[*at] : C_ODD;
}

/* After a number or parameter: a word or another number here would be junk to the parser. */
static bool joins_a_word(enum class c)
{
    return c == C_LETTER || c == C_DIGIT || c == C_DOLLAR || c == C_ODD || c == C_DOT;
}

static void flush(struct scan *s)
{
    size_t len = (size_t)(s->at - s->from);
    if (len > 0) { memcpy(s->to, s->from, len); }
    s->to += len;
}

/* Up to `end` the text is left out; the mark stands for it. */
static void put_mark(struct scan *s, uint8_t mark, const uint8_t *end)
{
    flush(s);
    *s->to++ = mark;
    s->at = s->from = end;
}

/* A word whose arguments are facts, or decide on an error. */
static bool is_declined(struct bytes word)
{
    switch (word.len) {
    case 5: return (word.ptr[0] | 0x20) == 'f' && word_is(word, "float");
    case 10: return (word.ptr[0] | 0x20) == 's' && word_is(word, "set_config");
    case 15: return (word.ptr[0] | 0x20) == 'c' && word_is(word, "current_setting");
    default: return false;
    }
}

static bool scan_word(struct scan *s)
{
    static const bool goes_on[256] = {
        ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
        ['_'] = true,         ['$'] = true,
    };
    const uint8_t *at = s->at + 1;
    while (at < s->end && goes_on[*at]) { at++; }
    size_t len = (size_t)(at - s->at);
    if (at < s->end && (*at == '\'' || *at == '"')) { return false; }
    /* U&'...' */
    if (len == 1 && at < s->end && *at == '&') { return false; }
    if (is_declined(bytes_of(s->at, len))) { return false; }
    s->at = at;
    return true;
}

/* Does a number of digits fit in 31 bits? Those of ten digits are compared as text. */
static bool fits_integer(const uint8_t *digits, size_t len)
{
    while (len > 1 && digits[0] == '0') {
        digits++;
        len--;
    }
    return len < 10 || (len == 10 && memcmp(digits, "2147483647", 10) <= 0);
}

static bool scan_number(struct scan *s)
{
    const uint8_t *at = s->at + 1;
    while (class_from(s, at) == C_DIGIT) { at++; }
    uint8_t mark = fits_integer(s->at, (size_t)(at - s->at)) ? MARK_INTEGER : MARK_NUMBER;
    if (class_from(s, at) == C_DOT && class_from(s, at + 1) == C_DIGIT) {
        mark = MARK_NUMBER;
        for (at += 2; class_from(s, at) == C_DIGIT;) { at++; }
    }
    enum class next = class_from(s, at);
    if (at < s->end && (joins_a_word(next) || next == C_QUOTE || next == C_IDENT_QUOTE)) {
        return false;
    }
    put_mark(s, mark, at);
    return true;
}

/* From a quote to its end, doubled ones inside; 0 when there is none, or something odd is inside.
 */
static size_t quoted_length(const struct scan *s, uint8_t quote)
{
    size_t left = (size_t)(s->end - s->at);
    for (size_t i = 1; i < left; i++) {
        uint8_t c = s->at[i];
        if (c == '\\' || c == '\0') { return 0; }
        if (c != quote) { continue; }
        if (i + 1 < left && s->at[i + 1] == quote) {
            i++;
            continue;
        }
        return i + 1;
    }
    return 0;
}

static bool scan_string(struct scan *s)
{
    size_t len = quoted_length(s, '\'');
    if (len == 0 || s->after_string) { return false; }
    if (word_moves_in_time(bytes_of(s->at + 1, len - 2))) {
        s->at += len;
    } else {
        put_mark(s, MARK_STRING, s->at + len);
    }
    s->after_string = true;
    return true;
}

static bool scan_quoted_word(struct scan *s)
{
    size_t len = quoted_length(s, '"');
    if (len == 0) { return false; }
    struct bytes word = bytes_of(s->at + 1, len - 2);
    if (word_is(word, "set_config") || word_is(word, "current_setting")) { return false; }
    s->at += len;
    return true;
}

static bool scan_param(struct scan *s)
{
    size_t len = 1;
    while (class_at(s, len) == C_DIGIT) { len++; }
    bool ended = s->at + len == s->end;
    if (len == 1 || (!ended && joins_a_word(class_at(s, len)))) { return false; }
    if (class_at(s, len) == C_QUOTE || class_at(s, len) == C_IDENT_QUOTE) { return false; }
    s->at += len;
    return true;
}

static inline bool at_comment(const struct scan *s)
{
    uint8_t first = *s->at;
    if (first != '-' && first != '/') { return false; }
    return peek(s, 1) == (first == '-' ? '-' : '*');
}

/* A backslash is a fact of its own (STMT_BACKSLASH), wherever it is. */
static bool is_declined_in_comment(uint8_t c)
{
    return c == '\0' || c == '\\';
}

/* Comments nest, and end at a line's end or at their last star and slash. */
static bool skip_comment(struct scan *s)
{
    if (peek(s, 0) == '-') {
        while (s->at < s->end && *s->at != '\n' && *s->at != '\r') {
            if (is_declined_in_comment(*s->at)) { return false; }
            s->at++;
        }
        return true;
    }
    unsigned depth = 0;
    while (s->at < s->end) {
        uint8_t first = peek(s, 0), second = peek(s, 1);
        if (is_declined_in_comment(first)) { return false; }
        if (first == '/' && second == '*') {
            depth++;
            s->at += 2;
        } else if (first == '*' && second == '/') {
            depth--;
            s->at += 2;
            if (depth == 0) { return true; }
        } else {
            s->at++;
        }
    }
    return false;
}

/* True when nothing odd was met; the position is then at a token or the end. */
static bool skip_space(struct scan *s)
{
    while (s->at < s->end) {
        if (classes[*s->at] == C_SPACE) {
            s->at++;
        } else if (!at_comment(s)) {
            return true;
        } else if (!skip_comment(s)) {
            return false;
        }
    }
    return true;
}

static bool starts_plainly(const struct scan *s)
{
    static const char *const words[] = {"select", "insert", "update", "delete", "with", "values"};
    size_t len = 0;
    while (class_at(s, len) == C_LETTER) { len++; }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (word_is(bytes_of(s->at, len), words[i])) { return true; }
    }
    return false;
}

/* One token, whose first byte is not space. */
static inline bool scan_token(struct scan *s, enum class c)
{
    if (c == C_QUOTE) { return scan_string(s); }
    s->after_string = false;
    switch (c) {
    case C_LETTER: return scan_word(s);
    case C_DIGIT: return scan_number(s);
    case C_OPERATOR:
    case C_SELF: s->at++; return true;
    case C_DOT:
        if (class_at(s, 1) == C_DIGIT || peek(s, 1) == '.') { return false; }
        s->at++;
        return true;
    case C_IDENT_QUOTE: return scan_quoted_word(s);
    case C_DOLLAR: return scan_param(s);
    case C_ODD:
    case C_SPACE:
    case C_QUOTE:
    case C_SEMICOLON: break;
    }
    return false;
}

/* Is here one space, with a token behind it? It stays as it is. */
static inline bool at_plain_space(const struct scan *s)
{
    if (*s->at != ' ' || s->at + 1 == s->end) { return false; }
    enum class next = classes[s->at[1]];
    return next != C_SPACE && next != C_OPERATOR && next != C_SEMICOLON;
}

bool shape_scan(struct bytes text, struct buf *out)
{
    if (text.len == 0) { return false; }
    /* No token's shape is longer than the token. */
    struct scan s = {
        .at = text.ptr, .end = text.ptr + text.len, .to = buf_reserve(out, text.len + 1)};
    if (!skip_space(&s) || !starts_plainly(&s)) { return false; }
    s.from = s.at;
    while (s.at < s.end) {
        enum class c = classes[*s.at];
        if (c == C_SPACE && at_plain_space(&s)) {
            s.at++;
            continue;
        }
        if (c == C_SPACE || (c == C_OPERATOR && at_comment(&s))) {
            flush(&s);
            if (!skip_space(&s)) { return false; }
            if (s.at < s.end && *s.at != ';') { *s.to++ = ' '; }
            s.from = s.at;
            continue;
        }
        if (c == C_SEMICOLON) {
            flush(&s);
            s.at++;
            if (!skip_space(&s) || s.at < s.end) { return false; }
            s.from = s.at;
            break;
        }
        if (!scan_token(&s, c)) { return false; }
    }
    flush(&s);
    out->end = (size_t)(s.to - out->data);
    return true;
}
