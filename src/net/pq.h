/*
 * libpq, loaded when it is needed: with what it links to it takes 3 MiB of a process that may never
 * ask a server anything itself. pq.getvalue() is PQgetvalue(). Control thread.
 */
#pragma once

#include <libpq-fe.h>

#include "base/fault.h"

#define PQ_CALLS(X)                                                                                \
    X(clear)                                                                                       \
    X(connectPoll)                                                                                 \
    X(connectStartParams)                                                                          \
    X(consumeInput)                                                                                \
    X(errorMessage)                                                                                \
    X(finish)                                                                                      \
    X(flush)                                                                                       \
    X(getResult)                                                                                   \
    X(getisnull)                                                                                   \
    X(getlength)                                                                                   \
    X(getvalue)                                                                                    \
    X(isBusy)                                                                                      \
    X(nfields)                                                                                     \
    X(ntuples)                                                                                     \
    X(resultErrorField)                                                                            \
    X(resultStatus)                                                                                \
    X(sendQuery)                                                                                   \
    X(sendQueryParams)                                                                             \
    X(setErrorVerbosity)                                                                           \
    X(setNoticeReceiver)                                                                           \
    X(setnonblocking)                                                                              \
    X(socket)                                                                                      \
    X(status)

struct pq {
#define PQ_POINTER(name) __typeof__(PQ##name) *(name);
    PQ_CALLS(PQ_POINTER)
#undef PQ_POINTER
};

extern struct pq pq; /* once pq_load() has said E_OK */

/* Any number of times. Errors: E_CONFIG: the library is not there, and why. */
MUST_USE enum err pq_load(struct fault *why);
