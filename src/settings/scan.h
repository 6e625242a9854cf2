/*
 * Cuts a text of SQL into words, comments and the rest, as PostgreSQL's scanner would, to see what
 * stands outside of strings. Not a parser: query/ is. Pure, linear, no memory.
 */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"

enum scan_kind {
    SCAN_END,
    SCAN_DOUBT,     /* unterminated, or read differently with standard_conforming_strings off: the
                       rest is unknown */
    SCAN_WORD,      /* an identifier or keyword, unquoted */
    SCAN_COMMENT,   /* a block comment; inside is without its marks */
    SCAN_STRING,    /* '...' and $$...$$; inside is without quotes, escapes as they were */
    SCAN_IDENT,     /* "..." */
    SCAN_SEMICOLON, /* the end of a statement, or of one in a BEGIN ATOMIC body */
    SCAN_OTHER,     /* one byte of anything else; white space and line comments are skipped */
};

struct scan_token {
    enum scan_kind kind;
    struct bytes inside;
    bool unicode; /* U&'...' or U&"...": inside has escapes */
};

/* The next token of *rest, which moves behind it. */
struct scan_token scan_next(struct bytes *rest);
/* Is the token this unquoted word? `word` is lower case. */
bool scan_is(struct scan_token t, const char *word);
/* Does the text hold the word anywhere, in any case, strings and comments included? */
bool scan_mentions(struct bytes text, const char *word);
