/* The inside of a catalog: build.c makes it, judge.c reads it, nobody else looks. Immutable once
 * made. */
#pragma once

#include <stdatomic.h>

#include "base/arena.h"
#include "base/hmap.h"
#include "catalog/catalog.h"

/* A growing list of relations in the catalog's arena. */
struct relations {
    struct relation **items;
    uint32_t count, room;
};

/* Why something must not be cached; JUDGE_CACHEABLE: it may. */
struct obstacle {
    enum judge_reason reason;
    const char *culprit;
};

struct relation {
    struct hlink by_oid;  /* key: oid */
    struct hlink by_name; /* key: name; only the first of its name is in the table */
    struct relation *same_name;
    uint32_t oid;
    const char *schema, *name;
    char kind;        /* pg_class.relkind */
    char persistence; /* pg_class.relpersistence */
    bool system;      /* in pg_catalog or information_schema */
    bool row_security;

    struct relations parents;  /* partitioned or inherited table above it */
    struct relations reads;    /* a view's relations */
    struct relations guards;   /* relations that its policies read */
    struct relations cascades; /* relations that a DELETE or UPDATE here changes by foreign key */

    /* Of this relation and all below it: */
    bool foreign, unlogged; /* ... is such a table */
    bool write_all;         /* triggers, rules or calls with an effect nobody knows */
    bool write_taints;      /* what a write calls may change the session */
    bool sequences;         /* a default or an identity takes values of one */
    bool write_users;       /* a default or a check calls a function of a user's */

    struct obstacle obstacle; /* to caching, in its own definition: a view's functions ... */
    bool opaque;              /* its definition calls functions that may read other relations */
    bool not_on_replica;      /* reading it calls what must not run there */
    /* reading it, or what is below it, calls what may change the session, or write */
    bool read_taints, read_writes;

    bool policies_unclear;
    const char *policy_culprit;
    bool policy_role; /* its policies read current_user or session_user */
    const char **policy_settings;
    uint32_t policy_settings_count;

    int rule; /* of the rules that name it or a table above it: the one that decides; -1: none */
};

/* All functions of one name. */
struct function {
    struct hlink link; /* key: name */
    const char *name;
    bool builtin, user;
    char builtin_volatility, user_volatility; /* the worst of the overloads: 'i', 's', 'v' */
    bool taints, writes, reads, sequences;    /* one of the user's may */
};

/* A column's name that means a time, or a number, wherever it is used. */
struct time_column {
    struct hlink link; /* key: name */
    const char *name;
};

struct rule {
    int64_t ttl_us;
    int mode;   /* enum rule_mode */
    bool keyed; /* rls = keyed */
};

struct catalog {
    atomic_uint refs;
    uint64_t version;
    struct arena arena;
    struct hmap by_oid, by_name, functions, times;
    struct rule *rules;
    size_t rules_count;
    bool has_rules;
    /* a user's operator, cast or domain, called without being named, may read or change anything:
       nothing is cached */
    struct obstacle unnamed;
};

const struct relation *catalog_relation(const struct catalog *c, uint32_t oid);
/* The first of all relations of that name. */
const struct relation *catalog_named(const struct catalog *c, const char *name);
const struct function *catalog_function(const struct catalog *c, const char *name);

/* The cast of a column that may hold text which means another time later, or NULL. */
const char *catalog_moving_cast(const struct catalog *c, const struct statement *s);

/* What a call by that name means; schema NULL: not qualified. */
struct call {
    bool replica;   /* may run there */
    bool taints;    /* may change the session in a way that its text does not show */
    bool writes;    /* may write tables */
    bool reads;     /* may read tables that the text does not name */
    bool sequences; /* may take values of sequences */
    bool users;     /* may be a function of a user's */
    bool cacheable;
};
struct call catalog_call(const struct catalog *c, const struct stmt_name *name);
/* The call is of the built-in current_setting() and nothing else. */
bool catalog_reads_setting(const struct catalog *c, const struct stmt_name *name);

/* What else in a text, or in a view's definition, keeps its answer out of the cache; at begins at
 * 0. judge.c. */
bool judge_next_flag(const struct statement *s, size_t *at, enum judge_reason *ret);
