/*
 * One application's connection: what it is told, what it asked for, what it holds. It lives and
 * dies on one worker. Below is the login; above it is whoever serves it, reached through struct
 * client_ops.
 */
#pragma once

#include "auth/helper.h"
#include "auth/lookup.h"
#include "auth/penalty.h"
#include "base/random.h"
#include "net/socket.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "pool/registry.h"

struct client;
struct front;

struct client_ops { /* client/ calls up without knowing request/ or admin/ */
    void (*events)(struct client *c, int events); /* the socket, once the login is over */
    void (*cancel)(struct client *c);             /* a CancelRequest with its key came */
    /* pgusher stops: close it as soon as it is idle. Not asked of consoles, which stay to the end
     */
    void (*drain)(struct client *c);
    /* It has got a part of a message, so no word of ours may follow. NULL: that never happens */
    bool (*is_inside)(const struct client *c);
    void (*closed)(struct client *c); /* last call */
};

enum { CLIENT_KEY_SHORT = 8, CLIENT_KEY_LONG = 36 }; /* up to protocol 3.0, and from 3.2 on */

enum client_state { CLIENT_LOGIN, CLIENT_READY, CLIENT_CLOSED };

struct client_stmt { /* a name the client gave to a prepared statement */
    struct hlink link;
    const struct prepared *prepared;
    uint32_t turn; /* of the statement when it was prepared */
    char name[];
};

/* There are thousands, most of them idle: what is small stands together. */
struct client {
    struct stream stream;
    struct front *front;
    const struct client_ops *ops;
    union {
        struct dlist node; /* in its front, until it is closed */
        struct letter
            grave; /* closed: freed at the end of the turn, so state may be looked at until then */
    };
    struct timer timer;
    struct hlink key_link;   /* in the table of cancel keys, once it has one */
    struct account *account; /* NULL during login and on the console */
    struct login *login;     /* while it lasts */
    char *console_user;      /* on the console: who; else NULL */
    int port;                /* a unix socket has our own */
    int peer_pid;            /* over a unix socket: whose, else 0 */
    uint32_t id;
    uint8_t key[CLIENT_KEY_LONG]; /* as the client was told: a pid, which is its id where there are
                                     no peers, and a secret */
    uint8_t key_len;
    bool key_hops;          /* peers may count in it */
    bool counted;           /* in max_client_conn, from its first moment on */
    bool over;              /* ... and it was full when it came */
    bool admin, stats_only; /* what console_user may */
    bool unix_socket;
    enum client_state state : 8;

    /* ---- the session */
    const struct varset *given;   /* at startup */
    const struct varset *startup; /* the same without what [settings] protects */
    const struct varset *base;    /* startup and identity: what RESET goes back to */
    const struct varset *wanted;  /* base and what SET changed, committed */
    const struct varset *in_tx;   /* the same if the transaction in progress commits */
    const struct varset *customs; /* names of custom settings that it has set once */
    char *begin;                  /* BEGIN was answered, no server has it yet */
    char *lost_untold;            /* why `lost`, while it has not been told yet: nothing may come
                                     unasked */
    struct savepoint *savepoints; /* newest first; request/savepoints.c */
    int64_t pinned_us;
    int64_t wrote_us;       /* its last commit that wrote */
    struct hmap statements; /* struct client_stmt */
    const struct prepared *unnamed;
    struct listening *listening;     /* to channels, or NULL; request/listen.c */
    struct request *request;         /* on the road, or NULL */
    struct replication *replication; /* it is one, with a server of its own; else NULL */
    int64_t active_us;               /* when it last asked or was answered */
    int64_t connected_us, connected_wall_us, requested_wall_us, wait_since_us;
    uint32_t pins;         /* enum stmt_pin: why it keeps its server */
    uint32_t sequences_on; /* backend pid of the server where it last took values of sequences */
    uint8_t status;        /* what it was told last: 'I', 'T', 'E' */
    bool begin_reads;      /* `begin` said READ ONLY */
    bool lost;             /* in a transaction that exists nowhere any more: 25P02 until its end */
    bool skip_to_sync;     /* it got an error: nothing is looked at until its Sync */
    bool draining;
    bool settings_unclear; /* PIN_SETTING: of a setting that nobody knows the name of */

    char address[]; /* "10.0.0.1", "unix" */
};

enum { PIN_SESSION = 1 << 30 }; /* pool_mode = session */

/* All that the clients of one worker share. */
struct front {
    struct loop *loop;
    struct registry *registry;
    struct config *config;        /* in force, as this worker knows it; one reference */
    struct shared *shared;        /* what all workers share: limits, cancel keys */
    const struct client_ops *ops; /* who serves applications */
    const struct client_ops *console;
    void *desk;                /* request/'s own */
    void *office;              /* admin/'s own */
    struct random_pool random; /* for cancel keys */
    struct dlist clients;
    _Atomic unsigned clients_count;
    _Atomic unsigned consoles_count; /* of those, on the console */
    bool draining;                   /* pgusher stops */
    bool hasty;                      /* ... and who waits for a server is not waited for */
};

/* SUSPEND: shall clients and servers be put to rest, and at any price? */
enum rest { REST_NONE, REST_WANTED, REST_FORCED };

/* Where its worker counts what it does. */
static inline struct stats *client_stats(const struct client *c)
{
    return &c->account->stats[c->front->loop->index];
}

/* What all workers share; client/shared.c. */
struct shared {
    struct lock lock;
    struct hmap keys;    /* cancel keys: struct key_entry */
    _Atomic int clients; /* connected, logged in or not; consoles and cancel requests go off it */
    _Atomic uint32_t last_id;
    _Atomic(enum rest) rest;
    _Atomic unsigned restless; /* connections that this round could not put to rest */
    int64_t started_us;
    struct penalties *penalties; /* for failed logins */
    struct helper *helper;       /* threads for what blocks */
    struct peers *peers;         /* cancel requests that are passed on */
    _Atomic uint64_t
        consoles_asked;    /* console sessions that have asked for something, since ever */
    struct lookup *lookup; /* auth_query; borrowed from the control thread */
};
struct shared *shared_new(void);
/* Before the workers' loops end; what waits for a helper then gets its answer unasked. */
void shared_stop_helpers(struct shared *s);
void shared_free(struct shared **s);

/* A socket was accepted. Takes the fd. */
void client_accept(struct front *f, int fd, const struct address *peer);
/*
 * Is there room for it under max_client_conn? Who came while there was has a place of its own,
 * however many came at once; who came later has one as soon as somebody left.
 */
bool client_has_room(const struct client *c);
/* It is no application: it takes no place. */
void client_uncount(struct client *c);
/* Ends it now: closes the socket, calls ops->closed(). c->state tells it until the end of this turn
   of the loop, when c is freed. */
void client_close(struct client *c, const char *reason) COLD;
/* The same after a FATAL with these words, where there is room for them: not inside a message. */
void client_fail(struct client *c, const struct fault *why) COLD;
/* What has come; false: nothing, or the client has gone and is closed. */
MUST_USE static inline bool client_read(struct client *c, struct bytes *ret)
{
    enum err e = stream_read(&c->stream, ret);
    if (e != E_OK && e != E_AGAIN) { client_close(c, "client unexpected eof"); }
    return e == E_OK;
}
/*
 * To all of this front but the consoles: finish what you do and go. Who has just been served or is
 * logging in may have one more transaction, if it comes within FRONT_GRACE_US.
 */
enum { FRONT_GRACE_US = 1000000, FRONT_LOGIN_US = 5000000 };
void front_drain(struct front *f, bool hasty);
/* Now and then afterwards: for whom that time is over. */
void front_sweep(struct front *f);
void front_close_all(struct front *f);

struct log_who client_who(const struct client *c);
/* An error of ours, not the server's, is on its way to it. */
void client_log_error(const struct client *c, const struct fault *why);
/*
 * That error, into its stream. With pgbouncer_compat = strict an error of PgBouncer's own has the
 * SQLSTATE that PgBouncer gives to almost all of them: 08P01.
 */
void client_put_error(struct client *c, const char *severity, const struct fault *why);
/* pgbouncer_compat = strict */
bool client_is_strict(const struct client *c);

/* The name's statement, or NULL. "" is the unnamed one. */
const struct prepared *client_statement(const struct client *c, const char *name);
/* p NULL: the name is free again. Takes no reference of the caller's. */
void client_name_statement(struct client *c, const char *name, const struct prepared *p);
/* The tables of the name's statement have changed since: its rows may not have the form that the
 * client was told. */
bool client_statement_is_old(const struct client *c, const char *name);
/* It was prepared anew, now. */
void client_renew_statement(struct client *c, const char *name);
void client_forget_names(struct client *c); /* the unnamed one stays */
void client_forget_statements(struct client *c);

/* ---- cancel keys, process-wide */
/* peer_id 0: there are no peers. */
void client_make_key(struct client *c, int peer_id, bool is_long);
void client_keep_key(struct client *c);
void client_drop_key(struct client *c);
/* Any thread: finds the client and has its worker call ops->cancel(). false: nobody has this key.
 */
bool client_cancel(struct shared *s, struct bytes key);

/* ---- between login.c and client.c */
void client_login_start(struct client *c, const struct address *peer);
void client_login_drop(struct client *c);
/* What it said so far, for the log; NULL: not yet. */
void client_login_names(const struct client *c, const char **ret_database, const char **ret_user);
void client_login_sweep(struct client *c); /* pgusher stops: enough was waited for it */
