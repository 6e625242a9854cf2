/*
 * Readiness of a file descriptor that we own: an entry of the loop's own epoll set, which costs one
 * system call to make and one to end. Whoever holds a watch may move to another loop: close here,
 * open there.
 */
#pragma once

#include <uv.h>

#include "net/loop.h"

enum { WATCH_EDGE = 1 << 16 }; /* with UV_READABLE: told once for each time that it becomes so */

/* Nothing is watched until watch_want(). ready() gets UV_READABLE | UV_WRITABLE; on a socket error
   both, so that the next read or write reports it: once, unless reading is wanted. */
struct watch *watch_open(struct loop *l, int fd, void (*ready)(void *arg, int events), void *arg);
/* Costs a system call only when the set changes. */
void watch_want(struct watch *w, int events);
int watch_wanted(const struct watch *w);
/* No callback comes afterwards; the fd stays open. */
void watch_close(struct watch **w);

/* ---- for the loop */
/* What epoll says of an entry. */
void watch_tell(void *entry, uint32_t bits);
/* Frees what was closed: no event names it any more. */
void watch_bury(struct loop *l);
