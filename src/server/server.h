/*
 * One connection to PostgreSQL. It belongs to a pool and is watched by one loop at a time; whoever
 * holds it gets its socket events. What it believes of the server's session (settings, prepared
 * statements, transaction status) changes only when the server confirms.
 */
#pragma once

#include "auth/prove.h"
#include "base/hmap.h"
#include "config/config.h"
#include "net/resolve.h"
#include "net/socket.h"
#include "net/stream.h"
#include "route/node.h"
#include "server/expect.h"
#include "settings/varset.h"

struct pool;
struct ticket;
struct cancel;

enum server_state {
    SERVER_LOGIN,    /* connecting, proving who we are */
    SERVER_IDLE,     /* in the pool */
    SERVER_ACTIVE,   /* lent */
    SERVER_CLEANING, /* draining, rolling back or resetting after a client left it in disorder */
    SERVER_MOVING,   /* between two loops */
    SERVER_DEAD,     /* closed; freed when nothing points at it */
};

/* Where and as whom; borrowed for the life of the server from its pool. */
struct server_target {
    struct node *node;
    const char *dbname, *user, *password;
    const struct user_secret *secret; /* may be NULL: ... */
    struct vault *vault;       /* ... then what a client's login has told, if it did; may be NULL */
    const char *connect_query; /* may be NULL */
    const char *const *startup; /* more startup parameters: name, value, ... NULL */
    struct tls_context *tls;    /* NULL: none */
    enum tls_mode tls_mode;
    int64_t connect_timeout_us;
    int64_t cancel_timeout_us;
    struct socket_tuning tuning;
    unsigned max_prepared;     /* server-side statements kept; 0: none are renamed */
    _Atomic unsigned *cancels; /* requests under way: they may outlive the server, and need all of
                                  this but startup until their end; NULL: nobody asks */
};

enum dial_step { DIAL_CONNECT, DIAL_ASK, DIAL_SHAKE };

struct dial { /* the way to a server: dial.c */
    enum dial_step step;
    bool tls;   /* TLS is asked for; after it: there is TLS */
    bool again; /* it is the other way than the first */
};

struct server_param { /* what ParameterStatus last said */
    char *name, *value;
};

struct server {
    struct stream stream;
    void (*event)(struct server *s, int events); /* of whoever holds it */
    void *holder;
    struct pool *pool;
    struct dlist node; /* in one of the pool's lists */
    struct dlist all;  /* in the pool's list of all */
    _Atomic(enum server_state) state;
    _Atomic(struct loop *) home; /* whose loop watches it; NULL between two. The console asks */
    const struct server_target *target;
    struct address address; /* that the name stood for */
    unsigned addresses_tried;
    _Atomic bool close_needed; /* at the next release */
    bool pinned;               /* counted as such by its pool */
    bool reset_needed;         /* ... instead: something may have changed the session unseen */
    bool listens;              /* ... nor before it does no more: LISTEN ran here */
    uint32_t sequences_of;     /* the client that last took values of sequences here; 0: none */
    bool copy_in;              /* the server waits for CopyData */
    uint32_t left; /* bytes still to come of a message that is passed on or dropped unread */
    bool leaving;  /* it was told good-bye */
    bool torn;     /* a message was sent in part: it can only be closed */

    struct expects expects;
    uint8_t status;   /* of the last ReadyForQuery: 'I', 'T', 'E' */
    bool failed;      /* an error since the last ReadyForQuery */
    bool rolled_back; /* a ROLLBACK tag since the last ReadyForQuery */
    bool committed;   /* a COMMIT tag, and no ROLLBACK tag before it */

    const struct varset *have;    /* settings if the transaction in progress rolls back */
    const struct varset *now;     /* settings now */
    const struct varset *begun;   /* what it began with, for RESET to go back to */
    const struct varset *customs; /* names of custom settings that it knows of, by anybody */
    bool had_temp;                /* it has a schema for temporary things */
    bool have_unsure;             /* have may be wrong: now was, when it was committed */
    bool sure;                    /* false: now may be wrong (ROLLBACK TO, a failed prelude) */
    const struct varset *back;    /* where a ROLLBACK under way goes back to, if that is known */
    bool back_sure;               /* ... and was not wrong then */

    struct hmap statements; /* struct server_stmt under names of ours, by prepared id */
    struct hmap names;      /* struct server_stmt under names of clients, by name */
    struct dlist lru;       /* both, most recent first */
    unsigned statements_count;
    const struct prepared *unnamed; /* what the unnamed statement is, or NULL */
    uint64_t odd_reading;           /* how it reads is this transaction's own: its number; else 0 */

    struct server_param *params;
    size_t params_count;
    uint32_t backend_pid;
    uint8_t backend_key[64];
    size_t backend_key_len;
    struct cancel *cancel; /* a CancelRequest for it is on its way */

    struct timer timer; /* login, cleaning */
    struct prove *prove;
    struct resolve *resolve;
    struct dial dial;
    void (*opened)(struct server *s, enum err e); /* login is over */
    void (*cleaned)(struct server *s, enum err e);
    int clean_step;
    int64_t clean_until_us;
    struct fault why; /* of a failed login */

    struct letter letter; /* on its way to another loop */
    struct loop *to;
    struct ticket *ticket; /* whom it goes to there; NULL: nobody any more */

    int64_t connected_us, requested_us, released_us;
    int64_t connected_wall_us, requested_wall_us;
};

/* ---- life */
/*
 * Starts connecting on this loop; opened() comes later, never from inside. E_OK: idle and ready.
 * Else s->why says it: E_IO cannot connect, E_AUTH, E_SERVER with the server's own SQLSTATE and
 * words, E_TIMEOUT, E_PROTOCOL. The callee then frees it.
 */
struct server *server_open(struct loop *l, const struct server_target *target,
                           void (*opened)(struct server *s, enum err e), void *holder);
/*
 * Makes it another session, begun with these settings; it owes nothing, and what was known of the
 * old one is forgotten. opened() as with server_open().
 */
void server_renew(struct server *s, const struct varset *begun,
                  void (*opened)(struct server *s, enum err e));
/* Sends Terminate where that makes sense, closes, frees. */
void server_free(struct server **s);
/* Hands its events to another holder on the same loop. */
void server_hold(struct server *s, void (*event)(struct server *s, int events), void *holder);
void server_detach(struct server *s);
void server_attach(struct server *s, struct loop *l);

/* ---- what it told and what it believes */
const char *server_param(const struct server *s, const char *name);
/* Keeps a ParameterStatus body; false when it is malformed. */
bool server_keep_param(struct server *s, struct bytes body);
/* Nothing owed, idle, settings known. */
bool server_is_clean(const struct server *s);
/* To be told of each CommandComplete's tag, each ErrorResponse and each ReadyForQuery, in order. */
void server_saw_tag(struct server *s, const char *tag);
void server_saw_error(struct server *s);
void server_saw_ready(struct server *s, uint8_t status);

/* ---- settings: prelude.c */
/*
 * Appends to the stream what brings its settings to `want`, without a Sync: if one fails, the
 * server skips all that follows up to the Sync. Returns how many statements; belief moves with
 * them.
 */
unsigned server_prelude(struct server *s, const struct varset *want);
/* One more statement of ours in the same batch (BEGIN ...). */
void server_prelude_text(struct server *s, const char *text);
/* How it reads texts is changed until the end of the transaction: what is prepared here until then
 * is good for then. */
void server_reads_oddly(struct server *s);
/* A statement of the client changed settings: what is believed if it succeeds. */
void server_assume(struct server *s, const struct varset *now);
/* A ROLLBACK TO or AND CHAIN of the client: what is believed if it succeeds. */
void server_goes_back(struct server *s, const struct varset *to, bool sure);
/* It has told so, outside a transaction. */
void server_settle(struct server *s, const struct varset *now);

/* ---- prepared statements: statements.c */
/*
 * The server has this statement under its own name, or will by the time what follows is read:
 * appends a Parse (answer swallowed) and a Close of the oldest if there are too many.
 */
void server_need(struct server *s, const struct prepared *p);
/* The unnamed statement is this one, or surely none. */
void server_need_unnamed(struct server *s, const struct prepared *p);
/* How it reads a text now. */
struct reading server_reading(const struct server *s);
/* ... and its plan is not known to be void. */
bool server_has(const struct server *s, const struct prepared *p);
/* "cached plan must not change result type" of the statement with this id: no server's plan of it
 * that is as old will be used again. */
void server_plan_failed(struct server *s, uint64_t id);
/* The client's own Parse under its name goes out under the server-side one: the answer is the
 * client's. */
void server_parse(struct server *s, const struct prepared *p, const char *name);
/* An error was the answer to it, or it was skipped because of one before it. */
void server_skipped(struct server *s, const struct expect *e);
/* DISCARD ALL, DEALLOCATE ALL are done: all but those whose Parse is still to be answered. */
void server_forget_statements(struct server *s);
/* ... is sent: whatever becomes of it, what is there now is closed before it is made again. */
void server_doubt_statements(struct server *s);

/*
 * SQL knows statements by the names that clients gave them. These stand for the client that was
 * here last: who comes next and has another statement of that name, or none, has it closed first.
 */
bool server_has_name(const struct server *s, const char *name, const struct prepared *p);
/* Appends what makes it so; NULL: nothing has that name. An error is the client's to read. */
void server_need_name(struct server *s, const char *name, const struct prepared *p);
/* SQL of the client's own on its way will make it so. */
void server_assume_name(struct server *s, const char *name, const struct prepared *p);
/* ... or it has not, or nobody knows. */
void server_doubt_name(struct server *s, const char *name);
/* "cached plan must not change result type" of it. */
void server_named_plan_failed(struct server *s, const char *name);
/* Closes what has a name that the client did not give; with ours, all that has one of ours too. */
void server_close_others(struct server *s, bool ours,
                         bool (*is_given)(const void *arg, const char *name), const void *arg);
/* As many as max_prepared at most. */
void server_trim_statements(struct server *s);

/* ---- putting it in order: clean.c */
/*
 * Cancels what runs, eats what it owes, rolls back, and (reset) runs reset_query. cleaned() comes
 * later, never from inside: E_OK: as good as new; else close it.
 */
void server_clean(struct server *s, bool cancel, const char *reset_query, int64_t timeout_us,
                  void (*cleaned)(struct server *s, enum err e));

/* Asks an idle server whether it still is there. checked() comes later, never from inside. */
void server_check(struct server *s, const char *query, int64_t timeout_us,
                  void (*checked)(struct server *s, enum err e));

/*
 * Says good-bye and waits for the server to be gone, so that a limit of its own has room again.
 * left() comes later, never from inside; it is to be freed then.
 */
void server_leave(struct server *s, int64_t timeout_us, void (*left)(struct server *s, enum err e));

/* ---- cancel.c */
/*
 * Sends a CancelRequest for what runs there, on a connection of its own. One at a time: what is
 * asked for while one is open follows it, once, if the same query still runs then.
 */
void server_cancel(struct server *s);
/* The holder's event() comes, without events, when the last one is through. */
bool server_canceling(const struct server *s);
