/*
 * A failure a human will read: the code, a sentence, and a hint where there is one.
 * Filled only on failure, by the layer that knows; logged or sent once, by the layer that decides.
 */
#pragma once

#include "base/err.h"

struct fault {
    enum err code;
    char sqlstate[6]; /* empty: pgwire/sqlstate.c chooses from code */
    char text[256];
    char hint[160];
    const char *routine; /* static; where drivers look for PostgreSQL's own name of it; else NULL */
};

/* Fills *why (may be NULL) and returns code, so that a failing path is one line. Text is cut to
 * fit. */
enum err fault_set(struct fault *why, enum err code, const char *fmt, ...) PRINTF(3, 4) COLD;

/* The same with an exact SQLSTATE of five characters. */
enum err fault_state(struct fault *why, enum err code, const char *sqlstate, const char *fmt, ...)
    PRINTF(4, 5) COLD;

/* Adds a hint to a fault that is already set. */
void fault_hint(struct fault *why, const char *fmt, ...) PRINTF(2, 3) COLD;
