/* The snapshot's life and its lookups. */
#include "catalog/catalog.h"

#include <string.h>

#include "base/mem.h"
#include "catalog/function.h"
#include "catalog/model.h"

struct catalog *catalog_ref(struct catalog *c)
{
    if (c != NULL) { (void)atomic_fetch_add(&c->refs, 1); }
    return c;
}

void catalog_unref(struct catalog **ret)
{
    struct catalog *c = *ret;
    *ret = NULL;
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) != 1) { return; }
    hmap_done(&c->by_oid);
    hmap_done(&c->by_name);
    hmap_done(&c->functions);
    hmap_done(&c->times);
    arena_done(&c->arena);
    mem_free(&c);
}

uint64_t catalog_version(const struct catalog *c)
{
    return c == NULL ? 0 : c->version;
}

bool catalog_has_rules(const struct catalog *c)
{
    return c == NULL || c->has_rules;
}

const char *judge_reason_name(enum judge_reason r)
{
    switch (r) {
    case JUDGE_CACHEABLE: return "cacheable";
    case JUDGE_NO_CATALOG: return "no_catalog";
    case JUDGE_NOT_PARSED: return "not_parsed";
    case JUDGE_NOT_READ: return "not_read";
    case JUDGE_MULTI: return "multi";
    case JUDGE_NO_RULE: return "no_rule";
    case JUDGE_NO_RELATION: return "no_relation";
    case JUDGE_UNKNOWN_RELATION: return "unknown_relation";
    case JUDGE_AMBIGUOUS: return "ambiguous";
    case JUDGE_CATALOG_RELATION: return "catalog_relation";
    case JUDGE_KIND: return "kind";
    case JUDGE_FUNCTION: return "function";
    case JUDGE_TIME: return "time";
    case JUDGE_USER_FUNCTION: return "user_function";
    case JUDGE_SYSTEM_COLUMN: return "system_column";
    case JUDGE_SAMPLE: return "sample";
    case JUDGE_REG_CAST: return "reg_cast";
    case JUDGE_RLS_REFUSED: return "rls_refused";
    case JUDGE_RLS_UNCLEAR: return "rls_unclear";
    case JUDGE_TOO_MANY: return "too_many";
    }
    return "unknown";
}

const struct relation *catalog_relation(const struct catalog *c, uint32_t oid)
{
    struct hlink *at = hmap_find(&c->by_oid, bytes_of(&oid, sizeof oid));
    return at == NULL ? NULL : container_of(at, struct relation, by_oid);
}

const struct relation *catalog_named(const struct catalog *c, const char *name)
{
    struct hlink *at = hmap_find(&c->by_name, bytes_str(name));
    return at == NULL ? NULL : container_of(at, struct relation, by_name);
}

const struct function *catalog_function(const struct catalog *c, const char *name)
{
    struct hlink *at = hmap_find(&c->functions, bytes_str(name));
    return at == NULL ? NULL : container_of(at, struct function, link);
}

/*
 * An unqualified call may mean the built-in or a user's overload, whichever fits the arguments
 * best: both must be harmless. A name that nobody knows may have been created since.
 */
struct call catalog_call(const struct catalog *c, const struct stmt_name *name)
{
    const struct function *f = catalog_function(c, name->name);
    bool system = name->schema != NULL && (strcmp(name->schema, "pg_catalog") == 0 ||
                                           strcmp(name->schema, "information_schema") == 0);
    bool builtin = f != NULL && f->builtin && (name->schema == NULL || system);
    bool user = f != NULL && f->user && !system;
    if (!builtin && !user) {
        return (struct call){.taints = true, .writes = true, .reads = true, .users = true};
    }
    struct call call = {.replica = true, .cacheable = true};
    if (builtin) { call = function_builtin(f->name, f->builtin_volatility); }
    if (user) {
        call.cacheable = false;
        call.users = true;
        call.replica = call.replica && f->user_volatility != 'v' && !f->taints && !f->writes;
        call.taints = call.taints || f->taints;
        call.writes = call.writes || f->writes;
        call.reads = call.reads || f->reads;
        call.sequences = f->sequences || f->writes;
    }
    return call;
}

const char *catalog_moving_cast(const struct catalog *c, const struct statement *s)
{
    for (uint32_t i = 0; i < s->casts_count; i++) {
        const char *name = s->casts[i].name;
        if (hmap_find(&c->times, bytes_str(name)) == NULL) { return name; }
    }
    return NULL;
}

bool catalog_reads_setting(const struct catalog *c, const struct stmt_name *name)
{
    if (strcmp(name->name, "current_setting") != 0) { return false; }
    const struct function *f = catalog_function(c, name->name);
    if (name->schema != NULL) { return strcmp(name->schema, "pg_catalog") == 0; }
    return f != NULL && f->builtin && !f->user;
}
