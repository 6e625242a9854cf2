/* Commands about the process as a whole. */
#pragma once

#include "admin/command.h"
#include "admin/session.h"

/* SET key = value | key TO value */
bool process_is_set(const struct command *c);
/* false: none of these commands, nothing was answered. */
bool process_run(struct session *s, const struct command *c);
