/* What each statement of a parsed text is. Private to query/. */
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include "query/facts.h"

/* Fills the facts; false when it gave up, and the facts are of no use. */
bool classify(struct facts *f, const PgQuery__ParseResult *tree);
