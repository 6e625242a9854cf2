/* Which of the libraries that are loaded on demand a configuration cannot do without. */
#pragma once

#include "worker/access.h"

/* Loads them. Control thread. Errors: E_CONFIG with what needs the library, and why it is not
 * there. */
MUST_USE enum err libraries_load(const struct config *cfg, const struct access *a,
                                 struct fault *why);
