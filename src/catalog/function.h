/* What functions may do, told from a built-in's name and from the body of a user's. */
#pragma once

#include "catalog/model.h"

/* A function of pg_catalog; volatility is the worst of the overloads of that name. */
struct call function_builtin(const char *name, char volatility);

/* What the body of a user's function does itself; calls of others are followed by build.c. */
struct body {
    bool taints;    /* may change the session beyond its transaction */
    bool writes;    /* may write a table */
    bool reads;     /* may read one */
    bool sequences; /* may take values of sequences, other than by writing */
};

struct function_source {
    const char *name;
    const char *language, *extension; /* extension: its owner, or "" */
    char volatility;
    const char *text; /* prosrc, or the SQL-standard body */
};
struct body function_body(const struct function_source *source);

/*
 * The next word (letters, digits, _, $, in lower case) of an SQL text from *at on, outside comments
 * and plain string literals; false at the end. A name in double quotes comes as it is, then the
 * words in it. Dollar-quoted text is read like the rest: it may be code. starts: the word is the
 * first of a statement.
 */
struct word {
    char text[64]; /* longer ones are cut, as PostgreSQL cuts names */
    bool starts;
};
bool function_next_word(const char **at, bool *starts, struct word *ret);
