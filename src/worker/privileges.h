/* `user`: whom a process started as root becomes once its sockets are bound. */
#pragma once

#include <stdbool.h>

#include "base/fault.h"

/*
 * user empty: nothing to do. Changes user, group and supplementary groups for good; before any
 * thread. Errors: E_NOTFOUND no such user, E_IO not allowed.
 */
MUST_USE enum err privileges_drop(const char *user, struct fault *why);
/* The same for root; for others, who could start nothing as that user, only: is there such a one?
 */
MUST_USE enum err privileges_rehearse(const char *user, struct fault *why);
bool privileges_are_roots(void);
