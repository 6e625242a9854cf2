/* A start without what lasts of it: --check-config. */
#pragma once

#include "worker/control.h"

/*
 * What a start as this user would stumble over beyond the ini itself: files that cannot be read or
 * written, or are wrong. Nothing is bound, made or changed but the process's own rights, which it
 * gives up where a start would. The fault names option, file and reason.
 */
MUST_USE enum err rehearse_start(const struct config *cfg, const struct launch *how,
                                 struct fault *why);
