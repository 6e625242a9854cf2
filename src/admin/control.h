/* Commands that change something: PAUSE, RESUME, RELOAD, SET, SHUTDOWN, KILL and their like. */
#pragma once

#include "admin/command.h"
#include "admin/session.h"

/* false: no such command, nothing was answered. */
bool control_run_command(struct session *s, const struct command *c);
/* A CancelRequest: a waiting PAUSE is taken back. */
void control_cancel(struct session *s);
