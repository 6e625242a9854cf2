/*
 * The console's rows are made in text; who asked for binary results gets them from here. Pure.
 * Protocol: "Formats and Format Codes".
 */
#pragma once

#include "pgwire/compose.h"

/* Can values of that type be sent in binary? */
bool recode_knows(uint32_t type);
/*
 * Appends the body of a DataRow to out, with the columns for which binary is set in their types'
 * binary form. The body is one that table.c made.
 */
void recode_row(struct bytes body, const struct column *columns, unsigned count, const bool *binary,
                struct buf *out);
