/*
 * Readiness of a file descriptor that we own. The uv handle lives in its own heap block until its
 * close callback, so whoever holds a watch may move to another loop: close here, open there.
 */
#pragma once

#include "net/loop.h"

struct watch;

/* Nothing is watched until watch_want(). ready() gets UV_READABLE | UV_WRITABLE; on a socket error
   both, so that the next read or write reports it: once, unless reading is wanted. */
struct watch *watch_open(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg);
/* Costs system calls only when the set changes. */
void watch_want(struct watch *w, int events);
int watch_wanted(const struct watch *w);
/* No callback comes afterwards; the fd stays open. */
void watch_close(struct watch **w);
