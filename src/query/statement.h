/*
 * What a text of SQL is, as far as its syntax tells: made by query_parse() from libpg_query's tree,
 * immutable, shared by reference. Nothing here knows a catalog: catalog/judge.h adds what the
 * names mean.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum stmt_kind {
    STMT_EMPTY,   /* no statement: comments, white space */
    STMT_MULTI,   /* several statements; the flags and names are the union */
    STMT_UNKNOWN, /* not parsed: too long, a syntax error, or too deep */
    STMT_SELECT,  /* SELECT, VALUES, TABLE; flags tell if it also writes or locks */
    STMT_MODIFY,  /* INSERT, UPDATE, DELETE, MERGE */
    STMT_COPY_FROM,
    STMT_COPY_TO,
    STMT_BEGIN,
    STMT_COMMIT,   /* COMMIT, END */
    STMT_ROLLBACK, /* ROLLBACK, ABORT */
    STMT_SAVEPOINT,
    STMT_RELEASE,
    STMT_ROLLBACK_TO,
    STMT_PREPARE_TRANSACTION,
    STMT_COMMIT_PREPARED, /* and ROLLBACK PREPARED */
    STMT_SET,             /* SET and SET SESSION ... of one setting (also TIME ZONE, NAMES, ROLE) */
    STMT_SET_LOCAL,
    STMT_SET_TRANSACTION, /* SET TRANSACTION, SET CONSTRAINTS */
    STMT_SET_CHARACTERISTICS,
    STMT_RESET,
    STMT_RESET_ALL,
    STMT_SHOW,
    STMT_EXPLAIN,
    STMT_PREPARE,
    STMT_EXECUTE,
    STMT_DEALLOCATE,
    STMT_DISCARD_ALL,
    STMT_DISCARD, /* PLANS, SEQUENCES, TEMP */
    STMT_LISTEN,
    STMT_UNLISTEN,
    STMT_NOTIFY,
    STMT_DECLARE,
    STMT_FETCH, /* FETCH, MOVE, CLOSE */
    STMT_LOCK,
    STMT_DO,
    STMT_CALL,
    STMT_LOAD,
    STMT_DDL,     /* CREATE, ALTER, DROP, GRANT, TRUNCATE, REFRESH, COMMENT ... */
    STMT_UTILITY, /* VACUUM, ANALYZE, CHECKPOINT, CLUSTER, REINDEX and all that is left */
};

enum stmt_flag {
    /* every statement is a SELECT/VALUES/SHOW/plain EXPLAIN of such, without locking clause, INTO
       or writing CTE. Functions are not judged here: see functions[]. */
    STMT_READS_ONLY = 1 << 0,
    STMT_LOCKS_ROWS = 1 << 1,   /* FOR UPDATE and friends */
    STMT_WRITES_ALL = 1 << 2,   /* may write relations that writes[] does not name */
    STMT_TIME = 1 << 3,         /* CURRENT_DATE and friends (SQLValueFunction but for the users) */
    STMT_USER = 1 << 4,         /* CURRENT_USER, SESSION_USER, CURRENT_ROLE, CURRENT_SCHEMA ... */
    STMT_TIME_LITERAL = 1 << 5, /* a string constant that holds now, today, tomorrow or yesterday as
                                   a word, in any case: '10:00 today' is a moving time too; or a
                                   cast that may find such a text */
    STMT_SYSTEM_COLUMN = 1 << 6, /* ctid, xmin, xmax, cmin, cmax, tableoid */
    STMT_SAMPLE = 1 << 7,        /* TABLESAMPLE */
    STMT_LIMIT_UNORDERED = 1 << 8,
    STMT_REG_CAST = 1 << 9, /* a cast to regclass, regproc, ... */
    /* May run after extended-protocol messages that no Sync closed (same implicit transaction):
       SELECT, MODIFY, COPY, SHOW, EXPLAIN without ANALYZE of a utility; nothing that
       PreventInTransactionBlock refuses, no CALL, no DO, no transaction control. */
    STMT_FUSIBLE = 1 << 10,
    STMT_HAS_PARAMS = 1 << 11, /* $1 ... appear */
    STMT_BEGIN_READ_ONLY = 1 << 12,
    STMT_BEGIN_OPTIONS = 1 << 13, /* BEGIN with an isolation level or DEFERRABLE */
    STMT_BEGIN_START = 1 << 25,   /* START TRANSACTION: it is answered by that name */
    STMT_CHAIN = 1 << 14,         /* COMMIT/ROLLBACK AND CHAIN */
    STMT_TRANSACTION = 1 << 15, /* a MULTI holds BEGIN, COMMIT, ROLLBACK or a savepoint statement */
    STMT_DYNAMIC_BODY =
        1 << 16,               /* DO, CREATE FUNCTION/PROCEDURE, or a PREPARE that hides effects */
    STMT_RESETS_ALL = 1 << 17, /* RESET ALL or DISCARD ALL is among the statements */
    STMT_RESETS_ALL_LAST = 1 << 18, /* ... and only as the last one */
    STMT_ROLLS_BACK_TO = 1 << 19,   /* ROLLBACK TO among the statements */
    STMT_TEMP_DROP = 1 << 20,       /* CREATE TEMP ... ON COMMIT DROP only */
    STMT_FORGETS = 1 << 22,         /* DEALLOCATE ALL or DISCARD ALL is among the statements */
    STMT_OWN_SEQUENCE = 1 << 23,    /* lastval() or currval() is called */
    STMT_FREES = 1 << 24, /* may end what pins: DROP, DISCARD TEMP, CLOSE, pg_advisory_unlock() and
                             pg_try_advisory_lock(), which may not have got it */
    STMT_LISTS_NAMES = 1 << 27, /* reads pg_prepared_statements */
    STMT_BACKSLASH = 1 << 21, /* a backslash is in the text: with standard_conforming_strings off it
                                 may mean something else than what is told here */
    STMT_NOTIFIES = 1 << 26,  /* NOTIFY, pg_notify() */
    STMT_RETURNING = 1 << 28, /* INSERT, UPDATE or DELETE gives rows */
};

/* Why a session that ran this keeps its server; a bit set. */
enum stmt_pin {
    PIN_TEMP = 1 << 0,    /* CREATE TEMP, SELECT INTO TEMP, a name in pg_temp */
    PIN_HOLD = 1 << 1,    /* DECLARE ... WITH HOLD */
    PIN_LISTEN = 1 << 2,  /* of request/listen.c: no text pins by LISTEN alone */
    PIN_PREPARE = 1 << 3, /* SQL PREPARE where names are not carried */
    PIN_LOAD = 1 << 4,
    PIN_ADVISORY = 1 << 5, /* pg_advisory_lock and its session-level family */
    PIN_SEQUENCE = 1 << 6, /* nextval, setval called by name: currval may follow */
    PIN_SEED = 1 << 7,     /* setseed */
    PIN_SETTING = 1 << 8,  /* a session-level setting change that settings[] cannot describe */
    PIN_STARTUP = 1 << 10, /* its server began with the client's startup settings */
    PIN_UNKNOWN = 1 << 9,  /* parse failure, DO, CALL: anything may have happened */
};

/* What a text does with names of prepared statements. */
enum stmt_naming {
    NAMING_PREPARE,
    NAMING_EXECUTE, /* by itself, in EXPLAIN or CREATE TABLE AS */
    NAMING_DEALLOCATE,
    NAMING_FORGET, /* DEALLOCATE ALL, DISCARD ALL; name is NULL */
};

struct stmt_named {
    enum stmt_naming what;
    const char *name;
    uint32_t start, len; /* PREPARE: where it stands in the text; len may pass the end */
};

struct stmt_name {
    const char *schema; /* NULL when not qualified */
    const char *name;
};

/* A setting that the text reads or changes by SET, RESET, set_config() or current_setting(). */
struct stmt_setting {
    const char *name;  /* lower case; NULL when it is not a constant */
    int name_param;    /* n when the name is $n, else 0 */
    const char *value; /* NULL: DEFAULT, RESET, not a constant, or several values (value_list) */
    int value_param;
    bool list;        /* SET name TO a, b: value holds the list as set_config() would take it */
    bool local;       /* SET LOCAL, set_config(..., true) */
    bool reads;       /* SHOW or current_setting(): nothing is changed */
    bool resets;      /* RESET name, SET name TO DEFAULT */
    bool by_function; /* set_config() or current_setting(), or UPDATE pg_settings */
};

struct stmt_channel { /* of LISTEN, UNLISTEN */
    const char *name; /* NULL: UNLISTEN * */
    bool listens;
};

struct statement {
    enum stmt_kind kind;
    uint32_t count; /* statements in the text; 0 for EMPTY and UNKNOWN */
    uint32_t flags; /* enum stmt_flag */
    uint32_t pins;  /* enum stmt_pin: if it succeeds */
    uint32_t reads_count, writes_count, functions_count, casts_count, settings_count,
        channels_count, named_count;
    const struct stmt_name *reads; /* relations in FROM, sub-selects, USING ...; no CTE names */
    const struct stmt_name
        *writes; /* targets of MODIFY, COPY FROM, TRUNCATE, SELECT INTO, REFRESH */
    const struct stmt_name *functions; /* every function called, aggregates and windows included */
    /* columns that are cast to a time, or to a type of a user's that may be one below: where they
       hold text, the result moves with the clock */
    const struct stmt_name *casts;
    const struct stmt_setting *settings;
    const struct stmt_channel *channels; /* in the order of the text */
    const struct stmt_named *named;      /* in the order of the text */
    const char *name;   /* the prepared statement, savepoint, cursor, channel or DISCARD target */
    struct bytes error; /* UNKNOWN: the parser's words, for SHOW CACHE WHY */
};

/*
 * Parses a text, without its closing zero, of any content.
 * Errors: none: what cannot be parsed, or is longer than max_bytes, is STMT_UNKNOWN.
 * Owner:  the caller; statement_unref() frees. Thread: any.
 */
struct statement *query_parse(struct bytes text, size_t max_bytes);
struct statement *statement_ref(struct statement *s);
void statement_unref(struct statement **s);
