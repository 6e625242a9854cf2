/*
 * The only way values get into SQL that pgusher writes. The text must be in an encoding whose ASCII
 * bytes mean themselves (every server encoding; not SJIS, BIG5, GBK, UHC, GB18030, JOHAB). A zero
 * byte is passed on, so that the server refuses the statement rather than reads half of it.
 */
#pragma once

#include "base/buf.h"

/* 'text', and E'text' when there is a backslash: safe with standard_conforming_strings on or off.
 */
void quote_literal(struct buf *out, struct bytes text);
/* "text", always quoted. */
void quote_ident(struct buf *out, struct bytes text);
/* text or "text", as PostgreSQL's quote_ident() decides: what SHOW would print. */
void quote_ident_if_needed(struct buf *out, struct bytes text);
