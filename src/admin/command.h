/*
 * What was typed on the console, as words: SHOW POOLS; PAUSE "my db"; SET k = 'v'. Pure: bytes in,
 * words out; what they mean is for show.c and control.c.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/fault.h"

enum { COMMAND_WORDS = 12 };

enum word_kind {
    WORD_BARE,      /* SHOW, pools, max_client_conn, 17 */
    WORD_NAME,      /* "my db", "" stands for one quote */
    WORD_STRING,    /* 'text', '' stands for one quote */
    WORD_GIVEN,     /* ('text'), ('17'::int4): a value as pgjdbc writes it into the text */
    WORD_EQUALS,    /* = */
    WORD_PARAMETER, /* $1; its value, once it is bound */
};

struct word {
    enum word_kind kind;
    const char *text; /* unquoted */
};

struct command {
    unsigned count; /* 0: nothing but blanks, comments and a semicolon */
    struct word words[COMMAND_WORDS];
};

/*
 * One command, with or without semicolons at its end; comments are blanks. Errors: E_SYNTAX: an
 * open quote or comment, an empty name, more than COMMAND_WORDS words or parameters, anything
 * behind the semicolon. Owner: the words live in the arena.
 */
MUST_USE enum err command_parse(struct bytes text, struct arena *memory, struct command *ret,
                                struct fault *why);

/* Is word i this keyword (any case)? "Names" and 'strings' are none; there may be no word i. */
bool command_is(const struct command *c, unsigned i, const char *keyword);
/* Word i as a name or a value, NULL when there is none or it is the sign =. */
const char *command_value(const struct command *c, unsigned i);
/* The same where a 'string' will not do. */
const char *command_name(const struct command *c, unsigned i);
/* How many parameters it has: the n of the highest $n. */
unsigned command_parameters(const struct command *c);
/* A copy with values in place of $1, $2 ...; borrows its words and the values. */
struct command command_bind(const struct command *c, const char *const *values);
