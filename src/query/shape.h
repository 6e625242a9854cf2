/*
 * The shape of a text: the text with those literals left out that no fact of a statement depends
 * on. Texts of one shape have equal facts, so one of them is parsed for all.
 */
#pragma once

#include "base/buf.h"

/*
 * Appends the shape to `out`. False when the text is not of the plain kind of SQL that the scanner
 * proves; `out` then holds rubbish. A text that is of that kind may still be refused by the parser,
 * and is then refused for all texts of its shape.
 */
bool shape_scan(struct bytes text, struct buf *out);
