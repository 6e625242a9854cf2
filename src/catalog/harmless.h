/* What a function's name alone tells, where no catalog says what it means. */
#pragma once

#include <stdbool.h>

#include "query/statement.h"

/* Surely a built-in, and one that changes no session in a way that a text does not show; a user's
   overload of such a name is taken for one. */
bool function_is_harmless(const struct stmt_name *name);
