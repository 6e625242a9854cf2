/* Is a database the same after a reload? */
#pragma once

#include "config/config.h"

/* Nothing that its server connections or decisions rest on has changed from the one to the other.
 */
bool definition_is_same(const struct database_config *a, const struct config *of_a,
                        const struct database_config *b, const struct config *of_b);
