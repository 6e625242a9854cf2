/*
 * The file that holds the process id. It is locked for as long as the process lives, so a file left
 * by a dead one is told from a living one's even when its number is in use again.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"

struct pidfile {
    char *path;     /* NULL: none */
    int fd;         /* holds the lock */
    pid_t replaced; /* take_over: who held it before; 0: nobody */
};

/*
 * path empty: none. take_over: a living process's file is replaced and stays unharmed by its end.
 * Errors: E_EXISTS while another process has it, E_IO.
 */
MUST_USE enum err pidfile_take(const char *path, bool take_over, struct pidfile *ret,
                               struct fault *why);
/* Writes the number of this process: after the last fork. */
MUST_USE enum err pidfile_write(const struct pidfile *p, struct fault *why);
/* Removes it if it is still ours; where that is not allowed, leaves it empty. */
void pidfile_drop(struct pidfile *p);
