/*
 * What drivers and tools say to any server before or between their own queries, answered as a
 * server would where the console has nothing to say: SET of session settings, transaction blocks,
 * SELECT 1. Any console user may.
 */
#pragma once

#include "admin/command.h"
#include "admin/session.h"

/* false: none of these, nothing was answered. */
bool faked_run(struct session *s, const struct command *c);
/* The column of its answer; NULL: it has none, or it is none of these. */
const struct column *faked_column(const struct command *c);
