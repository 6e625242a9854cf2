/*
 * Tags: the comments in which an application says on whose behalf a statement runs, in the form of
 * sqlcommenter: key='value',key2='value2' with percent-encoding, before or behind the statement.
 * Everything here is hostile: a tag is only what no string of the statement could pretend to be.
 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/bytes.h"

enum { TAGS_MOST_COMMENTS = 16 };

struct tags {
    struct bytes comments[TAGS_MOST_COMMENTS]; /* pointing into the text */
    size_t count;
};

/* Finds the comments at both ends of the text; none when there is any doubt about where it ends. */
void tags_find(struct bytes text, struct tags *ret);
/*
 * Appends the value of a tag; false, with nothing appended, when it is not there, badly encoded, or
 * given twice with different values.
 */
MUST_USE bool tags_get(const struct tags *t, struct bytes name, struct buf *out);
