/* PgBouncer's connection strings: key=value pairs by white space, values plain or 'quoted'. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/fault.h"

/*
 * The next pair of *at, which moves behind it.
 * Errors: E_EOF at the end; E_CONFIG with the reason.
 * Owner:  the arena.
 */
MUST_USE enum err connstr_next(const char **at, struct arena *memory, char **ret_key,
                               char **ret_value, struct fault *why);
