/*
 * What the names of one database mean: relations, views, foreign keys, partitions, policies,
 * functions. Loaded by the control thread over libpq, published as an immutable snapshot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "query/statement.h"

struct catalog; /* immutable, refcounted; any thread */

struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog **c);
/* Differs between any two snapshots whose content differs. */
uint64_t catalog_version(const struct catalog *c);

enum judge_reason {
    JUDGE_CACHEABLE, /* may be cached; every dependency is named by a rule */
    JUDGE_NO_CATALOG,
    JUDGE_NOT_PARSED,
    JUDGE_NOT_READ,    /* writes, locks or changes the session */
    JUDGE_MULTI,       /* several statements in one text */
    JUDGE_NO_RULE,     /* a relation that no rule names (named in `culprit`) */
    JUDGE_NO_RELATION, /* reads no table at all */
    JUDGE_UNKNOWN_RELATION,
    JUDGE_AMBIGUOUS,        /* the bare name exists in several schemas */
    JUDGE_CATALOG_RELATION, /* pg_catalog, information_schema */
    JUDGE_KIND,             /* temp, unlogged, foreign, sequence, materialized view */
    JUDGE_FUNCTION,         /* not an immutable built-in (named in `culprit`) */
    JUDGE_TIME,             /* CURRENT_DATE, 'now', 'today' ... */
    JUDGE_USER_FUNCTION,    /* CURRENT_SCHEMA and what the key does not hold */
    JUDGE_SYSTEM_COLUMN,
    JUDGE_SAMPLE,
    JUDGE_REG_CAST,
    JUDGE_RLS_REFUSED, /* row security, and the rule says rls = refuse */
    JUDGE_RLS_UNCLEAR, /* rls = keyed, but a policy's inputs cannot be keyed */
    JUDGE_TOO_MANY,    /* more than JUDGE_DEPS relations */
};

/* A stable word, for SHOW CACHE WHY: "no_rule", "rls_refused", ... */
const char *judge_reason_name(enum judge_reason r);

enum { JUDGE_DEPS = 16, JUDGE_KEYED = 8 };

/* A statement in the light of a catalog. Immutable once made. */
struct judgement {
    bool replica;   /* provably reads only: may run on a replica */
    bool taints;    /* calls a function that may change session state */
    bool sequences; /* may take values of sequences without naming nextval */
    /* A plan of it holds as long as the catalog does: planned anew it would find the same. Not so
       with a text that names a moment or an object, and with functions of users, which may say
       that they are immutable. */
    bool lasting;
    enum judge_reason reason;
    char culprit[64];    /* the relation or function that decided, when there is one */
    int rule;            /* index of the cache rule with the smallest ttl among the deps, or -1 */
    unsigned deps_count; /* 0 also when there are too many, or not all are known */
    /* Relation OIDs, closed over views, policies and, upwards only, partitions and inheritance: who
       writes a leaf also bumps what is above it, so the two sets meet at the common ancestor. */
    uint32_t deps[JUDGE_DEPS];
    unsigned keyed_count;
    const char *keyed[JUDGE_KEYED]; /* settings that policies read; point into the catalog */
    bool keyed_role;                /* policies read current_user or session_user */
    bool writes_all;                /* bump everything */
    /* Relation OIDs closed over cascades, views and, upwards, partitions: bump these. */
    unsigned writes_count;
    uint32_t writes[JUDGE_DEPS];
};

/*
 * Never fails: doubt means primary, uncached, writes everything. c may be NULL (not loaded yet).
 * The rules' tables are those of the configuration that the catalog was loaded for.
 */
void catalog_judge(const struct catalog *c, const struct statement *s, struct judgement *ret);

/*
 * What to bump when a relation was changed in some other way, as an invalidation feed reports it:
 * fills writes_all, writes_count and writes of *ret like catalog_judge() does, nothing else.
 */
void catalog_touch(const struct catalog *c, uint32_t relation, struct judgement *ret);

/* Does any cache rule name a table of this database? Without, writes need not be bumped. Without a
   catalog nobody knows: true. */
bool catalog_has_rules(const struct catalog *c);
