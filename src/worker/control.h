/*
 * The control plane: one thread with its own loop. Signals and reload, probes of nodes, loading of
 * catalogs, the order of stopping.
 */
#pragma once

#include "config/config.h"

/* What the command line says beyond the file's name. */
struct launch {
    const char *user; /* in place of the option; NULL: not given */
    bool daemon;      /* go on in the background */
    bool quiet;       /* nothing to standard error once it runs */
    bool reboot;      /* take over from the process that has the pidfile */
    int verbose;      /* added to the option */
};

/*
 * Runs until a signal or the console ends it. cfg as loaded from its path. Returns the exit status.
 * Listening or another start-up step that fails is logged, and is exit status 1.
 */
int control_run(struct config *cfg, const struct launch *how);
