/*
 * Threads for calls that block and belong to nobody's loop: PAM, LDAP, names of system users. Few
 * and with a bounded queue; started when first needed. Jobs are taken in the order they came.
 */
#pragma once

#include "net/loop.h"

struct helper;

struct helper_job { /* embedded in what is to be done; in use from helper_ask() to done() */
    struct letter letter;
    struct loop *back;
    void (*run)(struct helper_job *j);  /* on a helper's thread */
    void (*done)(struct helper_job *j); /* then on loop `back`, always: the asker may be gone */
};

struct helper *helper_new(unsigned threads, unsigned most_waiting);
/* Any thread. E_LIMIT: too many wait already; the job is the caller's. */
MUST_USE enum err helper_ask(struct helper *h, struct helper_job *j);
/*
 * Before the loops end: jobs that wait are done() unrun, those that run have `wait_us` to end; one
 * that does not is left to its thread, and never done().
 */
void helper_free(struct helper **h, int64_t wait_us);
