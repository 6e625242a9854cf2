/* Loading, seen from inside the folder: the builder that takes lines, and where they came from. */
#pragma once

#include "base/bytes.h"
#include "base/fault.h"
#include "config/config.h"
#include "config/dialect.h"
#include "config/option.h"

/* Where something was written; file NULL: not in a file. */
struct place {
    const char *file;
    int line;
};

struct build {
    struct config *cfg;
    struct place options[OPTION_COUNT];
    struct place *databases, *rules, *settings; /* as long as the arrays in cfg */
    bool *databases_cache_on; /* cache=on: which cache, the options tell in the end */
};

/*
 * A configuration from a text in memory; `name` stands for the file in errors.
 * Errors: as config_load(). %include is an error.
 */
MUST_USE enum err config_parse(struct bytes text, const char *name, struct config **ret,
                               struct fault *why);

/* entries.c: a line of [databases], [users], [peers]. The fault has no place yet. */
MUST_USE enum err entries_database(struct build *b, const struct dialect_line *at,
                                   struct fault *why);
MUST_USE enum err entries_user(struct build *b, const struct dialect_line *at, struct fault *why);
MUST_USE enum err entries_peer(struct build *b, const struct dialect_line *at, struct fault *why);

/* rules.c: a line of [cache:NAME] and of [settings...]. */
MUST_USE enum err rules_cache(struct build *b, const struct dialect_line *at, const char *rule,
                              struct fault *why);
MUST_USE enum err rules_setting(struct build *b, const struct dialect_line *at,
                                const char *database, const char *user, struct fault *why);

/* Makes room for one more in an array of count elements and zeroes it. */
void *build_grow(void *array, size_t count, size_t size);
struct place build_place(struct build *b, const struct dialect_line *at);

/* config.c */
struct config *config_new(void);
