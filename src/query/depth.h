/* Refuses texts whose tree would be too deep for the stack. Private to query/. */
#pragma once

#include "base/bytes.h"

/*
 * Is the syntax tree of this text, which holds no zero byte and is followed by one, shallow enough
 * to be built and walked by recursion? Texts that the scanner refuses are: the parser refuses them
 * too.
 */
bool depth_is_safe(struct bytes text);
