/*
 * Startup parameters: which are left out, which are refused, and those that stand in "options".
 * Protocol: "Message Formats", StartupMessage.
 */
#pragma once

#include "base/fault.h"
#include "config/config.h"
#include "settings/varset.h"

/* Is the name in the list, which commas and blanks divide? */
bool parameter_is_listed(const char *list, const char *name);
/* The same for names of users, which differ by case. */
bool user_is_listed(const char *list, const char *user);
/*
 * PgBouncer takes only what it can track from server to server: with pgbouncer_compat = strict what
 * it would not is refused. where: "" or " in options".
 */
MUST_USE enum err parameter_check(const struct options *o, const char *name, const char *where,
                                  struct fault *why);
/*
 * What "options" sets, into the edit.
 * Errors: E_REFUSED for anything but -c name=value and --name=value.
 */
MUST_USE enum err parameters_take_options(struct varset_edit *edit, const char *options,
                                          const struct options *o, struct fault *why);
