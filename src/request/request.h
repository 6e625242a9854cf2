/*
 * The road of one request: read, classify, lookup, route, checkout, prepare, send; then, as the
 * server's answer comes, relay, store, finish. A step returns ON, WAIT or DONE; a step that waits
 * has recorded what for, and is simply run again. One file per step; road.c runs them.
 */
#pragma once

#include "cache/cache.h"
#include "client/client.h"
#include "listen/exchange.h"
#include "pgwire/extended.h"
#include "query/memo.h"

enum move {
    MOVE_ON,    /* the next step */
    MOVE_AGAIN, /* r->step was set: run that */
    MOVE_WAIT,  /* run this step again when what it waits for has come */
    MOVE_DONE,  /* the unit is dealt with: answered, or sent whole */
    MOVE_GONE,  /* the client is closed */
};

enum step {
    STEP_READ,
    STEP_CLASSIFY,
    STEP_LOOKUP,
    STEP_ROUTE,
    STEP_CHECKOUT,
    STEP_PREPARE,
    STEP_SEND
};

enum {
    UNIT_MOST = 262144,         /* waited for, before it is cut or passed on unread */
    UNIT_PARSE_MOST = 67108864, /* a Parse is always waited for: its name must be known */
    UNIT_PREFIX = 1024,         /* of a long Bind: its two names are in there */
    UNIT_NAMES = 16,
};

enum reset { RESET_SETTINGS = 1, RESET_STATEMENTS = 2, RESET_SEQUENCES = 4 };

enum unit_kind {
    UNIT_QUERY,    /* one Query message */
    UNIT_BATCH,    /* extended-protocol messages up to Sync or Flush, or as many as fit */
    UNIT_FUNCTION, /* one FunctionCall message */
    UNIT_STREAM,   /* one Query, Bind or FunctionCall too long to wait for: passed on unread */
};

/* What the client asks for in one go. Points into its input; valid until the unit is done. */
struct unit {
    enum unit_kind kind;
    struct bytes raw;
    size_t size;  /* what it takes of the input; for STREAM more than there is yet */
    bool sync;    /* ends in Sync */
    bool cut;     /* a BATCH that ends in neither Sync nor Flush */
    uint8_t type; /* STREAM: of the message */
    const char *portal, *statement; /* STREAM of a Bind; skip: what they take with the header */
    size_t skip;
    struct bytes text; /* QUERY: the statement; plain BATCH: the bound one's */
    /* BATCH: exactly [Parse] Bind [Describe portal] Execute(all rows) Sync, all of one portal */
    bool plain, described;
    bool has_parse, has_bind;
    unsigned executes;
    struct parse_msg parse; /* the first Parse */
    struct bind_msg bind;   /* the first Bind */
};

/* What is known of all statements of a unit together. */
struct facts {
    unsigned count;                 /* statements looked at */
    struct statement *only;         /* of a single statement: one reference */
    const struct judgement *judged; /* of the single one: one reference */
    uint32_t flags;                 /* enum stmt_flag, of any */
    uint32_t pins;                  /* enum stmt_pin, of any */
    bool replica;                   /* all provably read */
    bool unknown;                   /* something could not be looked into */
    bool fusible;                   /* all may follow unsynced messages */
    bool sets;                      /* one is SET or RESET */
    bool local;                     /* one changes, for its transaction, how texts are read */
    bool discards;                  /* one drops all prepared statements */
    bool nocache;                   /* a hint says so */
    bool names;                     /* one is about names of prepared statements, or runs by one */
    bool replanned;                 /* a statement was prepared before its tables changed */
    bool nameless;      /* names a statement that was never parsed, and that ends the client */
    bool ends;          /* one of them ends a transaction or a part of it */
    bool savepoints;    /* one of them makes, releases or goes back to a savepoint */
    bool asks_channels; /* one calls pg_listening_channels(), and the client listens */
    bool sequences;     /* one may take values of sequences */
    bool resets;        /* one may go back to settings of the start where nobody can follow */
    bool copies;        /* one may begin COPY FROM STDIN */
    bool may_taint;     /* calls what no catalog tells about: it may change the session */
    bool writes_all;
    unsigned writes_count;
    uint32_t writes[JUDGE_DEPS];
};

struct request {
    struct client *client;
    struct desk *desk;
    enum step step;
    bool waiting;
    struct server *server;
    struct timer timer;
    struct news_wait news; /* of the nodes, while none will do */
    int64_t arrived_us;    /* the unit */
    int64_t attached_us;
    int64_t began_us;          /* the transaction in progress, at its first statement */
    const struct varset *want; /* settings for this unit; one reference */
    bool set_by_us;            /* settings went out with this unit, which changes none itself */
    bool settings_sent;        /* a separate batch of settings is on its way */
    bool on_replica, primary_only;
    uint32_t left;        /* bytes of a client's message still to be passed on */
    bool left_drops;      /* ... or to be thrown away */
    bool row_drops;       /* the same of the server's row in progress */
    bool sole;            /* nothing else was under way when the unit was sent */
    bool followed;        /* the client has sent more than the unit */
    unsigned tries;       /* of a read that was asked again */
    unsigned nodes_tried; /* that gave no server */
    bool batch_open;      /* extended messages were sent that no Sync closed */
    bool breaks_copy;     /* the server was sent what ends the session in a COPY */
    unsigned
        copy_syncs; /* during COPY FROM STDIN, since its last data: the server has none of them */
    bool may_copy;  /* CopyData after what was sent last may be meant for it */
    bool copies;    /* what is under way may begin COPY FROM STDIN */
    bool remakes;   /* a statement that the client has is made behind what may fail */
    uint32_t owed_before; /* by the server, when the unit began to be sent */
    bool answered;        /* the client got a byte of the server's for what was sent last */
    bool kept;            /* the unit sent last uses a statement that is kept for it */
    bool as_it_is;        /* it is not to, this time */
    bool replans;         /* its unit is asked again when the server's Sync is answered */
    unsigned fakes_told;  /* answers of ours for what was sent last */
    bool resume;          /* run the client's input when the server's is done with */
    uint32_t resets;      /* enum reset: what a statement under way undoes */
    bool retell;          /* ... to values that the client was not given at its start */
    bool retelling;       /* those are being set; the client's ReadyForQuery follows */
    bool naming;          /* what the unit names is being made on the server */
    bool unnameable;      /* ... and that failed: its error is the unit's answer */
    bool chains;          /* a ROLLBACK under way may end a transaction and begin another */
    bool partly;          /* what is under way may have committed some when it fails */
    bool dates;           /* DateStyle is being set, perhaps by a part of it */
    bool undoable;        /* an error of what is under way undoes all of it */
    bool commits;         /* what is under way may commit a transaction */
    enum stmt_kind ends;  /* COMMIT or ROLLBACK, where what was sent last is one; else EMPTY */

    /* ---- the transaction in progress */
    bool writes_all;
    unsigned writes_count;
    uint32_t writes[JUDGE_DEPS];
    uint32_t pins;
    uint32_t sender;      /* pid of the server that was announced to the exchange; 0: none */
    bool shown;           /* its server listens to the same, to answer that */
    bool frees;           /* something was done that may have ended a pin */
    bool asking;          /* the server is asked which pins still last */
    uint32_t pins_found;  /* ... and has said so */
    bool touched_unclear; /* a setting may have been changed that has no known name */

    /* ---- LISTEN and NOTIFY */
    struct ask *ask; /* the exchange is asked something, on the client's behalf */
    bool announced;  /* it knows that what the server notifies is the client's */
    bool settling;   /* a ReadyForQuery is held back until it has answered */
    bool settled;    /* ... which it has */
    bool moves;      /* its server is to listen for it, as others hear in another encoding */
    struct named_portal *portals; /* of SQL about names; names.c */

    /* ---- the cache */
    struct cache_ticket cache;
    bool filling, broken;
    struct buf capture;
    unsigned rows;
    struct cache_bump bump;
    bool bumping, bumped;

    struct request *next; /* spare: the next one */
    /* From here on a spare one keeps its memory, cleared, and what is filled in before it is read:
       the ticket's `why`, the unit, the facts. */
    struct buf again;     /* again.c: what was sent last, if it may be asked again */
    bool again_elsewhere; /* ... and of another server */
    struct buf key;       /* of the cache */
    struct buf touched;   /* names, each closed by a zero: touched.c */
    struct buf channels;  /* what the unit's LISTEN and UNLISTEN name: listen.c */
    struct buf reads_custom, sets_custom; /* the same, of the unit: renew.c */
    struct buf sent_custom;               /* ... of what is under way */
    struct ticket ticket;
    struct unit unit;
    struct facts facts;
};

struct known { /* what this worker knows of one database */
    struct hlink link;
    uint32_t id;
    struct memo *memo;
    struct catalog *catalog;
    uint64_t turn;
    bool fresh;            /* turn was looked at once */
    struct branch *branch; /* of those here who listen; NULL: nobody did yet */
};

/* Texts that came without a name of late: whose turn it is to be kept. */
enum { WARM_SLOTS = 1024, WARM_ENOUGH = 5, WARM_MOST = 1000 };
struct warm {
    uint64_t hash;
    unsigned count;
    const struct prepared *kept; /* one reference; NULL: not yet */
};

struct desk { /* request/'s own of one worker */
    struct front *front;
    struct cache_side *cache;
    struct exchange *exchange;
    struct hmap known;
    struct known *latest;
    struct request *spares; /* the memory of those that come next */
    unsigned spares_count;
    struct buf settings; /* of the key that is being made */
    struct warm warm[WARM_SLOTS];
};

struct desk *desk_new(struct front *f, struct cache *cache, struct exchange *exchange);
/* The clients are gone. The loop must run once more. */
/* A database that is no more, by its id. */
void desk_forget(struct desk *d, uint32_t database_id);
void desk_free(struct desk **d);
struct known *desk_known(struct desk *d, struct database *db);

extern const struct client_ops request_ops;

/* ---- road.c */
void request_resume(struct client *c);
void request_wait(struct request *r, int64_t deadline_us); /* 0: no deadline of ours */
void request_unwait(struct request *r);
/* A server is on its way: until query_wait_timeout, with a word to the client after
 * query_wait_notify. */
void request_wait_for_server(struct request *r, int64_t now_us);
/* The unit fails with this error; the session goes on. */
enum move request_fail(struct request *r, const struct fault *why) COLD;
/* The same of the unit at the front of the input, which waits. */
void request_fail_waiting(struct request *r, const struct fault *why) COLD;
/* A message of this type came while COPY FROM STDIN is under way: the session ends with the
 * server's word on that. */
void request_break_copy(struct request *r, uint8_t type) COLD;
/* Both sides' gathered writes go out. */
void request_flush(struct request *r);
/* A BEGIN that was answered already is on its way. */
void request_send_begin(struct request *r);
void request_free(struct request *r);

/* ---- the steps, a file each */
MUST_USE enum err unit_read(struct bytes in, struct unit *ret, struct fault *why);
/* The statement that a unit executes, found again after its bytes moved. */
struct bytes unit_text(const struct request *r);
enum move step_classify(struct request *r);
void facts_forget(struct facts *f); /* gives back what it holds */
/* A reload replaced its database's definition, and nothing keeps it with the old one. */
bool request_is_outdated(const struct request *r);
enum move step_lookup(struct request *r);
enum move step_route(struct request *r);
enum move step_checkout(struct request *r);
/* primary_reads = never, and this read is not an exception. */
bool route_keeps_from_primary(const struct request *r);
enum move step_prepare(struct request *r);
enum move step_send(struct request *r);
void relay_event(struct server *s, int events);
/* Answers of ours whose turn it is already. */
void relay_fakes(struct request *r);

/* ---- virtual.c: transactions that exist only here so far */
/* Answers BEGIN, COMMIT, ROLLBACK, DEALLOCATE where no server is needed; false: go on. */
bool virtual_answer(struct request *r);
/* The unit's Parse, if there is one, takes effect here and is answered. */
void virtual_parse(struct request *r, struct reading how);
void virtual_complete(struct request *r, const char *tag, uint8_t status);

/* ---- again.c: what had no effect is run once more */
/* The unit has been sent. whole: no batch was open before it. */
enum { AGAIN_MOST = 16384 }; /* bytes of a unit that is kept for it */
void again_keep(struct request *r, bool whole);
/* It reads, and nothing of its answer was passed on. */
bool again_may_go_elsewhere(const struct request *r);
/* If so, and in no transaction: it is the client's next unit again. Its server is to go:
 * again_leave(). */
bool again_elsewhere(struct request *r);
/* refused: the replica took it for a write, so the primary is asked whatever primary_reads says. */
void again_leave(struct request *r, bool refused);
/* The tables have changed under its plan: is it to be planned anew, unseen by the client? */
bool again_may_replan(const struct request *r);
bool again_replanned(struct request *r); /* false: it was tried too often */
/* E_REFUSED: the unit relies on the form of rows that its statement does not have any more. */
MUST_USE enum err again_check_plans(const struct request *r, struct fault *why);

/* ---- hint.c */
enum { HINT_PRIMARY = 1, HINT_NOCACHE = 2 };
unsigned hint_read(struct bytes text);

/* ---- savepoints.c */
/* SAVEPOINT, RELEASE or ROLLBACK TO, alone, is sent now. false: nothing is known of that name. */
bool savepoints_note(struct request *r, const struct statement *s);
/* The transaction is over, or some were made and released that nobody followed. */
void savepoints_clear(struct client *c);

/* ---- listen.c */
/* A text that the unit runs. */
void listen_note(struct request *r, const struct statement *s);
/* One that it has to do with. E_REFUSED: it asks for the channels when they cannot be told. */
MUST_USE enum err listen_check(struct request *r, const struct statement *s, struct fault *why);
/* The unit has been sent. */
void listen_expect(struct request *r);
/* It listens: so it stays with its database's definition. */
bool listen_holds(const struct client *c);
/* Something is not answered or not committed yet. */
bool listen_is_unsettled(const struct client *c);
void listen_saw_tag(struct request *r, const char *tag);
/* A savepoint: what was done before it; ROLLBACK TO it, or to one that was not followed. */
size_t listen_mark(const struct client *c);
void listen_undo(struct client *c, size_t mark);
void listen_undo_unknown(struct client *c);
void listen_forget(struct client *c); /* the transaction is lost */
/* ReadyForQuery came. E_AGAIN: relay goes on when all that the client is to hear before it has
 * been heard. */
enum err listen_settle(struct request *r, uint8_t status, bool failed);
/* A transaction is over: in another encoding from now on, its own server is to tell the client. */
void listen_move(struct request *r);
void listen_moved(struct request *r); /* ... and listens now */
/* Before a unit is sent that may notify, or asks for its channels. false: it waits, and is run
 * again. */
bool listen_announce(struct request *r);
/* For the console: what it listens to, and how many bytes wait to be told. */
void listen_each(const struct client *c, void (*visit)(const char *channel, void *arg), void *arg);
size_t listen_waiting(const struct client *c);
/* A NotificationResponse of its own server. true: the client is told. */
bool listen_take_notification(struct request *r, struct bytes body);
/* What waits for it, into its stream; if this is the time for it. */
void listen_put_news(struct client *c);
void listen_tell(struct client *c); /* may end it */
/* The server is gone, or its client. */
void listen_abandon(struct request *r);
void listen_close(struct client *c);

/* ---- store.c */
void store_capture(struct request *r, uint8_t type, struct bytes run);
void store_finish(struct request *r, bool complete);
/* The transaction wrote: tell the cache and the clock of writes. E_AGAIN: relay goes on when it is
 * told. */
enum err store_bump(struct request *r);

/* ---- limits.c: now and then, for all clients of a worker */
void request_check_limits(struct front *f);

/* ---- pins.c */
/*
 * What is about to be sent pins the client: may it? E_LIMIT: as many servers of the pool are pinned
 * as may be.
 */
MUST_USE enum err pins_reserve(struct request *r, struct fault *why);
/* It is pinned from now on. */
void pins_keep(struct request *r, uint32_t pins);
/* ReadyForQuery came: what the statements under way have pinned, or given free, from here on. */
void pins_settle(struct request *r, bool failed);
/* DISCARD ALL is done: none is left. */
void pins_discarded(struct request *r);
/* Nothing is under way: asks the server, if something may have changed. */
void pins_ask(struct request *r);
void pins_hear(struct request *r, struct bytes row);
void pins_heard(struct request *r, bool failed);

/* ---- names.c: prepared statements by SQL */
/* The names that the unit's SQL will look up mean the client's statements, when it is run. */
enum move names_prepare(struct request *r);
/* In the middle of a batch: the text is about to be parsed, or bound to that portal. */
void names_parse(struct request *r, struct bytes text);
void names_bind(struct request *r, const char *portal, const struct prepared *p);
/* ... and a Bind or Describe will use a statement made by SQL, or none. */
void names_use(struct request *r, const char *name, const struct prepared *p);
/* The portal is about to be run; it was: a Query; what was owed last is the answer. */
void names_execute(struct request *r, const char *portal);
void names_executed(struct request *r, const char *portal);
void names_query(struct request *r);
/* CommandComplete of the head of what is owed. */
void names_complete(struct request *r, struct expect *x, const char *tag);
void names_forget_portals(struct request *r);
/* The text's meaning depends on who has it: interned for this client alone. */
bool names_are_in(const struct request *r, struct bytes text);
bool names_are_carried(const struct client *c);
/* How the server will have read a text that is parsed now. */
struct reading names_reading(const struct request *r, struct bytes text);

/* ---- kept.c: statements without a name that are kept prepared */
/* Sends the plain, unnamed batch so, if it may and is worth it. p: what its Parse makes. */
bool kept_send(struct request *r, const struct prepared *p);
/* false: the server has not taken it yet, and it may have to be sent once more. */
bool kept_is_bound(const struct request *r);
void kept_forget(struct desk *d);

/* ---- failed.c */
/* The server itself is to refuse the text, as it does not end a failed transaction. */
bool failed_refuses(const struct request *r, struct bytes text);
/* What the server would not prepare now is described by what stands in for it; false: it is not. */
bool failed_describe(struct request *r, const char *name, const struct prepared *p);

/* ---- touched.c */
/* A statement that is about to be sent; param: the text bound to $n, or NULL. */
void touched_note(struct request *r, const struct statement *s,
                  const char *(*param)(void *arg, int n), void *arg);
void touched_note_all(struct request *r, const struct varset *v);
void touched_forget(struct request *r);
void touched_put_question(const struct request *r, struct buf *out);
void touched_hear(struct request *r, struct bytes name, struct bytes value);

/* ---- renew.c */
/* A statement of the unit. alone: the unit is nothing else. */
void renew_look(struct request *r, const struct statement *s, bool taints, bool alone,
                const char *(*param)(void *arg, int n), void *arg);
/* The unit is to run on a session that is as new. */
bool renew_is_due(const struct request *r);
enum move renew_server(struct request *r);
/* Custom settings that the unit reads are made known to the server first. */
bool renew_define(struct request *r);
/* The unit is on its way; it is answered. */
void renew_note_sent(struct request *r);
void renew_note_done(struct request *r, bool failed);

/* ---- finish.c */
/* ReadyForQuery came: what the transaction changed takes effect, the server goes back if it can. */
void finish_ready(struct request *r, uint8_t status, bool failed, bool rolled_back, bool committed);
/* The server is gone, or was given up. refused: it would not take the session's settings. */
void finish_lost(struct request *r, const struct fault *why, bool refused) COLD;
/* DISCARD ALL is done, whatever follows: no error takes it back. */
void finish_discarded(struct request *r);
void finish_release(struct request *r);
/* The client leaves. */
void finish_abandon(struct client *c);

/* The name's statement as it will be when what is on its way has been confirmed. */
const struct prepared *pending_statement(const struct request *r, const char *name);
