/* Commands that change something: here those on databases and clients, in process.h the others. */
#pragma once

#include "admin/command.h"
#include "admin/session.h"

/* false: no such command, nothing was answered. */
bool control_run_command(struct session *s, const struct command *c);
/* A CancelRequest: a waiting PAUSE is taken back. */
void control_cancel(struct session *s);

/* ---- for process.c */
/* "NAME command issued" */
void control_log(const struct session *s, const char *name, const char *scope);
bool control_is_suspended(const struct session *s);
/* true: it was answered, because everything is paused or suspended. */
bool control_refuse_at_rest(struct session *s);
