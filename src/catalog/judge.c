/*
 * A statement in the light of a catalog. Three questions, each answered by a walk over the
 * relations that the statement reaches: may it run on a replica, may its result be kept and what
 * does that result depend on, and what may it write. Every doubt has a side to fall to: primary,
 * not cached, writes everything.
 */
#include "catalog/catalog.h"

#include <stdio.h>
#include <string.h>

#include "catalog/harmless.h"
#include "catalog/model.h"

enum { WALK_MOST = 128 };

/* The relations a walk has reached; in order, each once. */
struct reached {
    const struct relation *items[WALK_MOST];
    unsigned count;
    bool overflow;
};

/* True when it is new. */
static bool reach(struct reached *w, const struct relation *r)
{
    for (unsigned i = 0; i < w->count; i++) {
        if (w->items[i] == r) { return false; }
    }
    if (w->count == WALK_MOST) {
        w->overflow = true;
        return false;
    }
    w->items[w->count++] = r;
    return true;
}

/* False when the list is full. */
static bool add_oid(uint32_t *list, unsigned *count, uint32_t oid)
{
    for (unsigned i = 0; i < *count; i++) {
        if (list[i] == oid) { return true; }
    }
    if (*count == JUDGE_DEPS) { return false; }
    list[(*count)++] = oid;
    return true;
}

/* A relation and all that is above it. */
static bool add_upwards(uint32_t *list, unsigned *count, const struct relation *r)
{
    bool fits = add_oid(list, count, r->oid);
    for (uint32_t i = 0; i < r->parents.count && fits; i++) {
        fits = add_upwards(list, count, r->parents.items[i]);
    }
    return fits;
}

static bool is_view(const struct relation *r)
{
    return r->kind == 'v';
}

/* ---- names */

enum resolved {
    RESOLVED,
    RESOLVED_UNKNOWN,
    RESOLVED_TEMP,
    RESOLVED_SYSTEM,
    RESOLVED_AMBIGUOUS,
};

/* Which relation a name means, when that does not depend on a search_path that nobody knows here.
 */
static enum resolved resolve(const struct catalog *c, const struct stmt_name *n,
                             const struct relation **ret)
{
    const struct relation *only = NULL;
    unsigned found = 0;
    if (n->schema != NULL && strncmp(n->schema, "pg_temp", 7) == 0) { return RESOLVED_TEMP; }
    for (const struct relation *r = catalog_named(c, n->name); r != NULL; r = r->same_name) {
        if (n->schema != NULL && strcmp(r->schema, n->schema) != 0) { continue; }
        /* A bare name finds pg_catalog first, but information_schema only when that is in the path.
         */
        if (r->system && (n->schema != NULL || strcmp(r->schema, "pg_catalog") == 0)) {
            return RESOLVED_SYSTEM;
        }
        only = r;
        found++;
    }
    if (n->schema != NULL &&
        (strcmp(n->schema, "pg_catalog") == 0 || strcmp(n->schema, "information_schema") == 0)) {
        return RESOLVED_SYSTEM;
    }
    if (found == 0) { return RESOLVED_UNKNOWN; }
    if (found > 1) { return RESOLVED_AMBIGUOUS; }
    *ret = only;
    return RESOLVED;
}

/* ---- refusing */

static void refuse(struct judgement *j, enum judge_reason reason, const char *culprit)
{
    if (j->reason != JUDGE_CACHEABLE) { return; }
    j->reason = reason;
    (void)snprintf(j->culprit, sizeof j->culprit, "%s", culprit == NULL ? "" : culprit);
}

static void refuse_name(struct judgement *j, enum judge_reason reason, const char *schema,
                        const char *name)
{
    if (j->reason != JUDGE_CACHEABLE) { return; }
    j->reason = reason;
    (void)snprintf(j->culprit, sizeof j->culprit, "%s%s%s", schema == NULL ? "" : schema,
                   schema == NULL ? "" : ".", name);
}

static void refuse_relation(struct judgement *j, enum judge_reason reason, const struct relation *r)
{
    refuse_name(j, reason, r->schema, r->name);
}

/* ---- what the text alone tells */

bool judge_next_flag(const struct statement *s, size_t *at, enum judge_reason *ret)
{
    static const struct {
        uint32_t flag;
        enum judge_reason reason;
    } flags[] = {
        {STMT_TIME, JUDGE_TIME},          {STMT_TIME_LITERAL, JUDGE_TIME},
        {STMT_USER, JUDGE_USER_FUNCTION}, {STMT_SYSTEM_COLUMN, JUDGE_SYSTEM_COLUMN},
        {STMT_SAMPLE, JUDGE_SAMPLE},      {STMT_REG_CAST, JUDGE_REG_CAST},
    };
    while (*at < sizeof flags / sizeof flags[0]) {
        size_t i = (*at)++;
        if ((s->flags & flags[i].flag) == 0) { continue; }
        *ret = flags[i].reason;
        return true;
    }
    return false;
}

static void judge_kind(const struct statement *s, struct judgement *j)
{
    if (s->kind == STMT_UNKNOWN) { refuse(j, JUDGE_NOT_PARSED, NULL); }
    if (s->kind == STMT_MULTI) { refuse(j, JUDGE_MULTI, NULL); }
    if (s->kind != STMT_SELECT || (s->flags & STMT_READS_ONLY) == 0) {
        refuse(j, JUDGE_NOT_READ, NULL);
    }
    if ((s->pins & PIN_TEMP) != 0) { refuse(j, JUDGE_KIND, "pg_temp"); }
    enum judge_reason reason;
    for (size_t at = 0; judge_next_flag(s, &at, &reason);) { refuse(j, reason, NULL); }
}

/* SHOW and EXPLAIN are about the server they run on. */
static bool may_leave_primary(const struct statement *s)
{
    if ((s->flags & STMT_READS_ONLY) == 0 || s->pins != 0) { return false; }
    return s->kind == STMT_SELECT || (s->kind == STMT_MULTI && (s->flags & STMT_FUSIBLE) != 0);
}

/* ---- calls */

/* These two differ between primary and replica. */
static bool is_server_setting(const char *name)
{
    return strcmp(name, "in_hot_standby") == 0 || strcmp(name, "transaction_read_only") == 0;
}

static void judge_calls(const struct catalog *c, const struct statement *s, struct judgement *j)
{
    for (uint32_t i = 0; i < s->functions_count; i++) {
        const struct call call = catalog_call(c, &s->functions[i]);
        j->replica = j->replica && call.replica;
        j->taints = j->taints || call.taints;
        j->writes_all = j->writes_all || call.writes;
        j->sequences = j->sequences || call.sequences;
        j->lasting = j->lasting && !call.users;
        if (!call.cacheable && !catalog_reads_setting(c, &s->functions[i])) {
            refuse_name(j, JUDGE_FUNCTION, s->functions[i].schema, s->functions[i].name);
        }
    }
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const char *name = s->settings[i].name;
        if (name == NULL || is_server_setting(name)) { j->replica = false; }
    }
    if (c->unnamed.reason != JUDGE_CACHEABLE) {
        j->lasting = false;
        refuse(j, c->unnamed.reason, c->unnamed.culprit);
    }
    const char *moving = catalog_moving_cast(c, s);
    if (moving != NULL) { refuse(j, JUDGE_TIME, moving); }
}

static void add_keyed(struct judgement *j, const char *name, const struct relation *because)
{
    for (unsigned i = 0; i < j->keyed_count; i++) {
        if (strcmp(j->keyed[i], name) == 0) { return; }
    }
    if (j->keyed_count == JUDGE_KEYED) {
        refuse_relation(j, JUDGE_RLS_UNCLEAR, because);
        return;
    }
    j->keyed[j->keyed_count++] = name;
}

/* current_setting() in the text itself: only of what the key holds anyway for a policy's sake. */
static void judge_settings(const struct catalog *c, const struct statement *s, struct judgement *j)
{
    bool reads = false;
    for (uint32_t i = 0; i < s->functions_count; i++) {
        reads = reads || catalog_reads_setting(c, &s->functions[i]);
    }
    if (reads && s->settings_count == 0) { refuse(j, JUDGE_FUNCTION, "current_setting"); }
    for (uint32_t i = 0; i < s->settings_count; i++) {
        bool keyed = false;
        for (unsigned k = 0; k < j->keyed_count && s->settings[i].name != NULL; k++) {
            keyed = keyed || strcmp(j->keyed[k], s->settings[i].name) == 0;
        }
        if (!keyed || !s->settings[i].reads) { refuse(j, JUDGE_FUNCTION, "current_setting"); }
    }
}

/* ---- relations that are read */

static void judge_policies(const struct catalog *c, const struct relation *r, bool inside_view,
                           struct judgement *j)
{
    if (!r->row_security) { return; }
    if (r->rule >= 0 && !c->rules[r->rule].keyed) {
        refuse_relation(j, JUDGE_RLS_REFUSED, r);
        return;
    }
    /* A view asks as its owner, whose name and settings the key does not hold. */
    if (inside_view) { refuse_relation(j, JUDGE_RLS_UNCLEAR, r); }
    if (r->policies_unclear) { refuse(j, JUDGE_RLS_UNCLEAR, r->policy_culprit); }
    j->keyed_role = j->keyed_role || r->policy_role;
    for (uint32_t i = 0; i < r->policy_settings_count; i++) {
        add_keyed(j, r->policy_settings[i], r);
    }
}

/* Its policies may call functions of users. */
static bool hides_calls(const struct relation *r)
{
    return r->row_security && r->policies_unclear;
}

static void judge_rule(const struct catalog *c, const struct relation *r, struct judgement *j)
{
    if (r->rule < 0) {
        refuse_relation(j, JUDGE_NO_RULE, r);
        return;
    }
    const struct rule *now = j->rule < 0 ? NULL : &c->rules[j->rule], *its = &c->rules[r->rule];
    if (now == NULL || its->ttl_us < now->ttl_us ||
        (its->ttl_us == now->ttl_us && its->mode > now->mode)) {
        j->rule = r->rule;
    }
}

/*
 * A relation may be reached both directly and inside a view; with row security those differ, so
 * what views reach is a walk of its own.
 */
struct reading {
    struct reached direct, views;
    bool deps_unknown; /* the list of dependencies is not complete */
};

static void judge_relation(const struct catalog *c, const struct relation *r, bool inside_view,
                           struct reading *w, struct judgement *j)
{
    j->replica = j->replica && !r->not_on_replica && !r->unlogged && !r->foreign &&
                 strchr("rvmp", r->kind) != NULL;
    j->taints = j->taints || r->read_taints;
    j->writes_all = j->writes_all || r->read_writes;
    w->deps_unknown = w->deps_unknown || r->opaque;
    if (r->system) { refuse_relation(j, JUDGE_CATALOG_RELATION, r); }
    if (strchr("rvp", r->kind) == NULL || r->foreign || r->unlogged) {
        refuse_relation(j, JUDGE_KIND, r);
    }
    j->lasting = j->lasting && !hides_calls(r) && r->obstacle.reason == JUDGE_CACHEABLE;
    if (r->obstacle.reason != JUDGE_CACHEABLE) {
        refuse(j, r->obstacle.reason, r->obstacle.culprit);
    }
    if (is_view(r)) { return; } /* its tables stand for it */
    judge_rule(c, r, j);
    judge_policies(c, r, inside_view, j);
    if (!add_upwards(j->deps, &j->deps_count, r)) { w->deps_unknown = true; }
}

static void judge_reached(const struct catalog *c, struct reading *w, bool inside_view,
                          struct judgement *j)
{
    struct reached *here = inside_view ? &w->views : &w->direct;
    for (unsigned i = 0; i < here->count; i++) {
        const struct relation *r = here->items[i];
        judge_relation(c, r, inside_view, w, j);
        for (uint32_t k = 0; k < r->reads.count; k++) { (void)reach(&w->views, r->reads.items[k]); }
        for (uint32_t k = 0; r->row_security && k < r->guards.count; k++) {
            (void)reach(here, r->guards.items[k]);
        }
    }
}

/* One rule decides about the result: it must not be laxer than that of any other relation. */
static void judge_modes(const struct catalog *c, struct judgement *j)
{
    for (unsigned i = 0; i < j->deps_count && j->rule >= 0; i++) {
        const struct relation *r = catalog_relation(c, j->deps[i]);
        if (r->rule >= 0 && c->rules[r->rule].mode > c->rules[j->rule].mode) {
            refuse(j, JUDGE_NO_RULE, "rules of different modes");
        }
    }
}

/* A user's function may read what the text does not name. */
static bool calls_readers(const struct catalog *c, const struct statement *s)
{
    for (uint32_t i = 0; i < s->functions_count; i++) {
        if (catalog_call(c, &s->functions[i]).reads) { return true; }
    }
    return false;
}

/* Any relation of that name may be the one. */
static void add_effects_of_all(const struct catalog *c, const char *name, struct judgement *j)
{
    for (const struct relation *r = catalog_named(c, name); r != NULL; r = r->same_name) {
        j->taints = j->taints || r->read_taints;
        j->writes_all = j->writes_all || r->read_writes;
    }
}

static void judge_reads(const struct catalog *c, const struct statement *s, struct judgement *j)
{
    struct reading w = {.deps_unknown = calls_readers(c, s)};
    for (uint32_t i = 0; i < s->reads_count; i++) {
        const struct stmt_name *n = &s->reads[i];
        const struct relation *r = NULL;
        switch (resolve(c, n, &r)) {
        case RESOLVED: (void)reach(&w.direct, r); continue;
        case RESOLVED_UNKNOWN: refuse_name(j, JUDGE_UNKNOWN_RELATION, n->schema, n->name); break;
        case RESOLVED_TEMP: refuse_name(j, JUDGE_KIND, n->schema, n->name); break;
        case RESOLVED_SYSTEM: refuse_name(j, JUDGE_CATALOG_RELATION, n->schema, n->name); break;
        case RESOLVED_AMBIGUOUS:
            refuse_name(j, JUDGE_AMBIGUOUS, n->schema, n->name);
            add_effects_of_all(c, n->name, j);
            break;
        }
        j->replica = j->lasting = false;
        w.deps_unknown = true;
    }
    judge_reached(c, &w, false, j);
    judge_reached(c, &w, true, j);
    if (w.direct.overflow || w.views.overflow) { j->replica = j->lasting = false; }
    if (w.direct.overflow || w.views.overflow || w.deps_unknown) {
        refuse(j, JUDGE_TOO_MANY, NULL);
        j->deps_count = 0; /* part of a list would be taken for the whole */
    }
    if (s->reads_count == 0) { refuse(j, JUDGE_NO_RELATION, NULL); }
    judge_settings(c, s, j);
    judge_modes(c, j);
}

/* ---- relations that are written */

static void write_all(struct judgement *j)
{
    j->writes_all = true;
    j->writes_count = 0;
}

/* Follows what each reached relation's change brings about. */
static void close_writes(struct reached *w, struct judgement *j)
{
    for (unsigned i = 0; i < w->count; i++) {
        const struct relation *r = w->items[i];
        j->taints = j->taints || r->write_taints;
        j->sequences = j->sequences || r->sequences;
        j->lasting = j->lasting && !r->write_users && !hides_calls(r);
        j->writes_all = j->writes_all || r->write_all || r->system;
        for (uint32_t k = 0; k < r->cascades.count; k++) { (void)reach(w, r->cascades.items[k]); }
        if (is_view(r)) {
            for (uint32_t k = 0; k < r->reads.count; k++) { (void)reach(w, r->reads.items[k]); }
        } else if (!add_upwards(j->writes, &j->writes_count, r)) {
            j->writes_all = true;
        }
    }
    if (w->overflow || j->writes_all) { write_all(j); }
    j->sequences = j->sequences || j->writes_all;
}

static void reach_written(const struct catalog *c, const struct stmt_name *n, struct reached *w,
                          struct judgement *j)
{
    const struct relation *r = NULL;
    switch (resolve(c, n, &r)) {
    case RESOLVED: (void)reach(w, r); return;
    case RESOLVED_AMBIGUOUS:
        for (r = catalog_named(c, n->name); r != NULL; r = r->same_name) {
            if (!r->system) { (void)reach(w, r); }
        }
        return;
    case RESOLVED_UNKNOWN: /* temporary, or made since: then with triggers that nobody knows */
    case RESOLVED_TEMP:
    case RESOLVED_SYSTEM: j->writes_all = true; return;
    }
}

enum extent { WRITES_NOTHING, WRITES_NAMED, WRITES_ANYTHING };

static enum extent extent_of(const struct statement *s)
{
    if ((s->flags & STMT_WRITES_ALL) != 0) { return WRITES_ANYTHING; }
    switch (s->kind) {
    case STMT_EMPTY:
    case STMT_BEGIN:
    case STMT_COMMIT: /* what it makes visible was judged when it was written */
    case STMT_ROLLBACK:
    case STMT_SAVEPOINT:
    case STMT_RELEASE:
    case STMT_ROLLBACK_TO:
    case STMT_PREPARE_TRANSACTION:
    case STMT_SET:
    case STMT_SET_LOCAL:
    case STMT_SET_TRANSACTION:
    case STMT_SET_CHARACTERISTICS:
    case STMT_RESET:
    case STMT_RESET_ALL:
    case STMT_SHOW:
    case STMT_DEALLOCATE:
    case STMT_DISCARD_ALL:
    case STMT_DISCARD:
    case STMT_LISTEN:
    case STMT_UNLISTEN:
    case STMT_NOTIFY:
    case STMT_FETCH: /* its query was judged when it was declared */
    case STMT_LOCK: return WRITES_NOTHING;
    case STMT_SELECT:
    case STMT_DECLARE:
    case STMT_PREPARE: /* is asked for its query, when that is run */
    case STMT_COPY_TO: return WRITES_NAMED;
    case STMT_MODIFY:
    case STMT_COPY_FROM: return s->writes_count > 0 ? WRITES_NAMED : WRITES_ANYTHING;
    case STMT_EXPLAIN:
    case STMT_MULTI:
        if ((s->flags & STMT_READS_ONLY) != 0) { return WRITES_NAMED; }
        if (s->kind == STMT_MULTI && (s->flags & STMT_FUSIBLE) == 0) { return WRITES_ANYTHING; }
        return s->writes_count > 0 ? WRITES_NAMED : WRITES_ANYTHING;
    case STMT_UNKNOWN:
    case STMT_COMMIT_PREPARED:
    case STMT_EXECUTE:
    case STMT_DO:
    case STMT_CALL:
    case STMT_LOAD:
    case STMT_DDL:
    case STMT_UTILITY: return WRITES_ANYTHING;
    }
    return WRITES_ANYTHING;
}

static void judge_writes(const struct catalog *c, const struct statement *s, struct judgement *j)
{
    struct reached w = {0};
    enum extent extent = extent_of(s);
    if (extent == WRITES_ANYTHING) { j->writes_all = true; }
    /* For what their triggers do, even where more is written. */
    for (uint32_t i = 0; i < s->writes_count && extent != WRITES_NOTHING; i++) {
        reach_written(c, &s->writes[i], &w, j);
    }
    close_writes(&w, j);
}

/* ---- the door */

static void judge_blindly(const struct statement *s, struct judgement *j)
{
    enum extent extent = extent_of(s);
    j->replica = false;
    for (uint32_t i = 0; i < s->functions_count; i++) {
        j->taints = j->taints || !function_is_harmless(&s->functions[i]);
    }
    j->writes_all = extent == WRITES_ANYTHING ||
                    (extent == WRITES_NAMED && (s->writes_count > 0 || s->functions_count > 0));
    j->sequences = extent == WRITES_ANYTHING || s->writes_count > 0 || j->taints;
    refuse(j, JUDGE_NO_CATALOG, NULL);
}

void catalog_judge(const struct catalog *c, const struct statement *s, struct judgement *ret)
{
    *ret = (struct judgement){.reason = JUDGE_CACHEABLE, .rule = -1};
    ret->replica = may_leave_primary(s);
    if (c == NULL) {
        judge_blindly(s, ret);
        return;
    }
    ret->lasting = (s->flags & (STMT_TIME_LITERAL | STMT_REG_CAST)) == 0;
    judge_kind(s, ret);
    judge_calls(c, s, ret);
    judge_reads(c, s, ret);
    judge_writes(c, s, ret);
    if (ret->taints || ret->writes_all) { ret->replica = false; }
    if (ret->reason != JUDGE_CACHEABLE) { ret->rule = -1; }
}

void catalog_touch(const struct catalog *c, uint32_t relation, struct judgement *ret)
{
    const struct relation *r = c == NULL ? NULL : catalog_relation(c, relation);
    *ret = (struct judgement){.reason = JUDGE_NOT_READ, .rule = -1};
    if (r == NULL) {
        ret->writes_all = true;
        return;
    }
    if (!add_upwards(ret->writes, &ret->writes_count, r)) { write_all(ret); }
}
