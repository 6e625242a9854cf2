/*
 * One console client's commands: one at a time, each answered before the next is looked at. Whoever
 * runs a command ends it with session_complete() or session_error(), at once or later, on the
 * client's loop; the client may leave meanwhile, so what comes back later finds it by its id.
 */
#pragma once

#include "admin/admin.h"
#include "base/hmap.h"

struct ledger;
struct portal;
struct fds;
struct command;
struct column;

struct office {
    struct front *front;
    struct front **fronts;
    unsigned fronts_count;
    struct cache *cache;
    struct admin_hooks hooks;
    struct hmap sessions;
    struct ledger *ledger; /* of the first front's office; else NULL */
};

enum session_wait { SESSION_ACTS, SESSION_WAITS_PAUSE, SESSION_WAITS_CLOSE, SESSION_WAITS_SUSPEND };

struct session {
    struct hlink link; /* key: id */
    uint32_t id;       /* the client's */
    struct office *office;
    struct client *client;
    bool asked;    /* for anything yet */
    bool busy;     /* a command is in progress: input waits */
    bool running;  /* its input is being worked on further up the stack */
    uint32_t left; /* of a message that is skipped */

    struct fds *fds; /* what SHOW FDS still has to send */

    /* ---- the extended protocol: portal.c */
    struct hmap statements, portals;
    struct portal *portal; /* whose command runs; NULL: it came by a simple query */

    /* ---- PAUSE and WAIT_CLOSE */
    enum session_wait wait;
    char *scope; /* a database's name; NULL: all */
    struct timer timer;
};

/* NULL: it has left. */
struct session *session_find(struct office *o, uint32_t id);
static inline struct buf *session_out(struct session *s)
{
    return &s->client->stream.out;
}
/* The columns of the rows that follow: a simple query is told; who used Describe knows. */
void session_describe(struct session *s, const struct column *columns, unsigned count);
/* Where these rows go. */
struct buf *session_rows(struct session *s);
/* The answer's end. The session may be gone on return. */
void session_complete(struct session *s, const char *tag);
/* The same with an error; with pgbouncer_compat = strict every SQLSTATE is 08P01, as PgBouncer
 * does. */
void session_error(struct session *s, const char *sqlstate, const char *fmt, ...) PRINTF(3, 4);
void session_fault(struct session *s, const struct fault *why);
/* pgbouncer_compat = strict */
bool session_is_strict(const struct session *s);
/* The command was understood by nobody. */
void session_reject(struct session *s, struct bytes text);

/* ---- admin.c */
/* Runs a command of at least one word. text: as it was typed. */
void admin_run(struct session *s, const struct command *c, struct bytes text);
/* A command ended later: looks at the input that came meanwhile. */
void admin_resume(struct session *s);
