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
 * A reading of an SQL text, word by word: letters, digits, _, $, in lower case, outside comments
 * and string literals. A name in double quotes comes as it is, then the words in it. Of a
 * dollar-quoted text every word comes, whatever quotes and comments are in it: it may be code, and
 * what opens in it does not go on behind it.
 */
struct words {
    const char *at;
    const char *quoted; /* where the dollar-quoted text around `at` ends, or NULL */
    bool started;       /* the next word is the first of a statement */
};
struct word {
    char text[64]; /* longer ones are cut, as PostgreSQL cuts names */
    bool starts;   /* the first of a statement */
};
struct words words_of(const char *text);
/* false at the end. */
bool function_next_word(struct words *w, struct word *ret);
