/*
 * One connection to Redis on one loop: connect without blocking, write what a loop turn gathered in
 * one go, match answers to requests in order, give up on late ones. hiredis reads the replies; its
 * own asynchronous context is not used because an answer nobody asked for makes it abort the
 * process, and what Redis sends is not to be trusted.
 */
#pragma once

#include <hiredis/hiredis.h>
#include <uv.h>

#include "base/buf.h"
#include "cache/address.h"

struct link;
struct loop;

struct link_ops {
    void (*up)(void *owner);   /* connected: requests may be sent */
    void (*down)(void *owner); /* gone, every request has been answered with NULL */
    void (*wake)(void *owner); /* call link_flush() before the loop sleeps */
    void (*read)(void *owner); /* some answers have come in, all callbacks are over */
};

/* reply NULL: it did not come in time or the connection is gone. Called once. */
typedef void link_answer(void *arg, const redisReply *reply);

struct link *link_new(struct loop *loop, const struct link_ops *ops, void *owner);
/* Closes; answers what is pending with NULL, so that its owner can free it; calls no down(). */
void link_free(struct link **l);

/* Starts connecting; the connection is given up when it is not there by due_us. */
void link_connect(struct link *l, const struct redis_address *a, size_t max_reply, int64_t due_us);
/* Closes; pending requests are answered with NULL, then down() is called. */
void link_fail(struct link *l);
bool link_closed(const struct link *l);
/* A request has gone unanswered for too long, and no answer came since. */
bool link_stalled(const struct link *l);

/* A request: link_send with the number of arguments, link_arg that many times. */
void link_send(struct link *l, unsigned args, link_answer *fn, void *arg, int64_t due_us);
void link_arg(struct link *l, struct bytes arg);
void link_flush(struct link *l);

/* The earliest time at which link_expire() has something to do; INT64_MAX: never. */
int64_t link_due(const struct link *l);
/* Answers late requests with NULL; closes a connection that has been stuck for long. */
void link_expire(struct link *l, int64_t now_us);
