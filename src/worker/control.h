/*
 * The control plane: one thread with its own loop. Signals and reload, probes of nodes, loading of
 * catalogs, the order of stopping.
 */
#pragma once

#include "config/config.h"
#include "auth/userlist.h"

/*
 * Runs until a signal or the console ends it. cfg as loaded from its path. Returns the exit status.
 * Listening or another start-up step that fails is logged, and is exit status 1.
 */
int control_run(struct config *cfg);
