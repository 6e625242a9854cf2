/* What a process takes hold of when it starts, and lets go of when it ends: the terminal, the
 * pidfile, its sockets, its rights. */
#pragma once

#include "net/socket.h"
#include "worker/control.h"
#include "worker/pidfile.h"

struct start {
    int ready; /* of detach_begin(), or -1 */
    struct pidfile pidfile;
    struct listeners listeners;
    struct unix_file unix_file;
    bool inherited; /* the listeners are the service manager's */
};

/* -d: returns in the background process. Before any thread. */
MUST_USE enum err start_detach(struct start *s, const struct config *cfg, const struct launch *how,
                               struct fault *why);
/* Pidfile, sockets; then the rights of root go, if there were any. Before any thread but after
 * start_detach(). */
MUST_USE enum err start_listen(struct start *s, const struct config *cfg, const struct launch *how,
                               struct fault *why);
/* It serves: who waits for that is told, and the process taken over from is asked to go. */
void start_ready(struct start *s);
/* Also after a failure of the above. */
void start_done(struct start *s);
