/* What no single line can tell: do the parts fit together, and can this version do it? */
#pragma once

#include "base/fault.h"
#include "config/load.h"

/*
 * Completes (hosts by default, cache=on) and checks a whole configuration.
 * Errors: E_CONFIG with the place.
 */
MUST_USE enum err check_build(struct build *b, struct fault *why);
/* The part of it that may fail after a single option changed. The fault has no place. */
MUST_USE enum err check_changed(const struct config *cfg, struct fault *why);
/* E_CONFIG unless name is one that [settings] may set. The fault has no place. */
MUST_USE enum err check_setting_name(const char *name, struct fault *why);
