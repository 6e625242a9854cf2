/* Texts of the ini into values: numbers, switches, times and sizes. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* All return E_CONFIG, *ret untouched, when the text is no such value. */

/* Decimal, 0octal or 0xhex, as PgBouncer reads numbers. */
MUST_USE enum err value_int(const char *text, int min, int max, int *ret);
/* 0 1 on off yes no true false, in any case; other numbers are true, as in PgBouncer. */
MUST_USE enum err value_bool(const char *text, bool *ret);
/* Seconds as a decimal fraction, or with a unit: us ms s min h d. Microseconds in *ret, never
 * negative. */
MUST_USE enum err value_time(const char *text, int64_t *ret);
/* Bytes, or with a unit: B kB MB GB TB, in any case. */
MUST_USE enum err value_size(const char *text, int64_t *ret);
/* The place of text in the list of texts, which ends with NULL; in any case. */
MUST_USE enum err value_enum(const char *text, const char *const *texts, int *ret);
