/* Words that decide what a text is, for the tree walk and the shape scanner alike. Private to
 * query/. */
#pragma once

#include "base/bytes.h"

/* Does the text equal the word, which is in lower case, in any case? */
bool word_is(struct bytes text, const char *word);
/*
 * Does a string constant name a moment that moves? True when it holds now, today, tomorrow or
 * yesterday between characters that are not ASCII letters: PostgreSQL finds them at any place of a
 * date or time. Manual: "Date/Time Input", special values.
 */
bool word_moves_in_time(struct bytes text);
