/*
 * Shared libraries that only some configurations need. Linked the usual way each of them, with the
 * dozen others it brings, is a part of every process. What is loaded stays.
 */
#pragma once

#include <stddef.h>

#include "base/fault.h"

/*
 * Loads `file` and finds its functions by name: calls is an array (or a struct) of `count` pointers
 * to functions, filled in the order of the names, or left alone on failure.
 * Errors: E_CONFIG with the loader's words, in which the file stands.
 */
MUST_USE enum err library_load(const char *file, const char *const *names, size_t count,
                               void *calls, struct fault *why);
