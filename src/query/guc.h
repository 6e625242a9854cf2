/* What is known of settings by their name alone. */
#pragma once

#include <stdbool.h>

/*
 * GUC_LIST_QUOTE in PostgreSQL's guc.c: each item is kept as an identifier, quoted when needed, so
 * SET with one literal would take a whole list for one name. No extension may add to these. name:
 * lower case.
 */
bool guc_quotes_its_items(const char *name);
/* Does PostgreSQL look at it when it reads and analyses a text, so that the same text is another
 * statement under another value? name: lower case. */
bool guc_changes_analysis(const char *name);
/* Is a client_encoding, named in any way PostgreSQL takes, one whose characters hold ASCII bytes
   that do not mean themselves? Manual: "Character Set Support", those for clients only. */
bool guc_encoding_is_odd(const char *name);
