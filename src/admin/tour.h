/*
 * A letter that goes to every worker's loop in turn and then home: clients and servers are read and
 * changed only on their own loop. At home the console client is found again by its id; it may have
 * left. During the end of the process a tour that meets a closed office ends there.
 */
#pragma once

#include "admin/session.h"

struct tour { /* embedded in what it carries */
    struct letter letter;
    struct front **fronts;
    unsigned fronts_count, next;
    struct front *home;
    uint32_t session_id;
    void (*visit)(struct tour *t, struct front *f);  /* on f's loop; NULL: goes nowhere */
    void (*back)(struct tour *t, struct session *s); /* on the session's loop */
    void (*drop)(struct tour *t);                    /* last call, always: frees it */
};

/* Sets out for the session. From here on the tour owns itself. */
void tour_start(struct tour *t, struct session *s);
