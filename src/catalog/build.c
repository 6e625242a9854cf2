/*
 * Facts are collected as they come and put together at the end, when every relation and function is
 * known: links between relations, then what is true of a table and all below it (so that judging
 * never walks a thousand partitions), then functions through each other's bodies, then what views
 * and policies do.
 */
#include "catalog/build.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/siphash.h"

enum fact_kind {
    FACT_READS,
    FACT_DEFINITION,
    FACT_PARENT,
    FACT_CASCADE,
    FACT_POLICY,
    FACT_GUARD,
    FACT_RULE,
    FACT_SEQUENCE,
    FACT_CALL,
    FACT_DOMAIN,
};

struct fact {
    enum fact_kind kind;
    uint32_t oid, other;
    enum build_when when;
    const char *name;       /* FACT_CALL, FACT_DOMAIN; in the catalog's arena */
    struct statement *text; /* FACT_DEFINITION, FACT_POLICY, FACT_DOMAIN; one reference */
};

/* A function's body, until calls between functions are followed. */
struct source {
    struct function *function;
    char *text;
};

struct build {
    struct catalog *c;
    struct fact *facts;
    size_t facts_count, facts_room;
    struct source *sources;
    size_t sources_count, sources_room;
    bool trigger_taints; /* some trigger's function may change the session */
};

struct build *build_new(void)
{
    struct build *b = mem_new(struct build);
    b->c = mem_new(struct catalog);
    atomic_store(&b->c->refs, 1);
    return b;
}

void build_free(struct build **ret)
{
    struct build *b = *ret;
    if (b == NULL) { return; }
    for (size_t i = 0; i < b->facts_count; i++) { statement_unref(&b->facts[i].text); }
    mem_free(&b->facts);
    for (size_t i = 0; i < b->sources_count; i++) { mem_free(&b->sources[i].text); }
    mem_free(&b->sources);
    catalog_unref(&b->c);
    mem_free(ret);
}

/* ---- collecting */

static char *keep(struct build *b, const char *text)
{
    return arena_strdup(&b->c->arena, text);
}

static struct fact *add_fact(struct build *b, enum fact_kind kind, uint32_t oid, uint32_t other)
{
    if (b->facts_count == b->facts_room) {
        b->facts_room = b->facts_room == 0 ? 64 : b->facts_room * 2;
        b->facts = mem_grow(b->facts, b->facts_room, sizeof *b->facts);
    }
    struct fact *f = &b->facts[b->facts_count++];
    *f = (struct fact){.kind = kind, .oid = oid, .other = other};
    return f;
}

void build_relation(struct build *b, uint32_t oid, const char *schema, const char *name, char kind,
                    char persistence, bool row_security)
{
    struct catalog *c = b->c;
    if (catalog_relation(c, oid) != NULL) { return; }
    struct relation *r = arena_new(&c->arena, struct relation);
    r->oid = oid;
    r->schema = keep(b, schema);
    r->name = keep(b, name);
    r->kind = kind;
    r->persistence = persistence;
    r->row_security = row_security;
    r->rule = -1;
    r->system = strcmp(schema, "pg_catalog") == 0 || strcmp(schema, "information_schema") == 0;
    r->foreign = kind == 'f';
    r->unlogged = persistence != 'p';
    hmap_insert(&c->by_oid, &r->by_oid, bytes_of(&r->oid, sizeof r->oid));
    struct hlink *first = hmap_find(&c->by_name, bytes_str(r->name));
    if (first == NULL) {
        hmap_insert(&c->by_name, &r->by_name, bytes_str(r->name));
    } else {
        struct relation *head = container_of(first, struct relation, by_name);
        r->same_name = head->same_name;
        head->same_name = r;
    }
}

void build_reads(struct build *b, uint32_t view, uint32_t relation)
{
    (void)add_fact(b, FACT_READS, view, relation);
}

void build_definition(struct build *b, uint32_t view, struct statement *definition)
{
    add_fact(b, FACT_DEFINITION, view, 0)->text = statement_ref(definition);
}

void build_parent(struct build *b, uint32_t child, uint32_t parent)
{
    (void)add_fact(b, FACT_PARENT, child, parent);
}

void build_cascade(struct build *b, uint32_t referenced, uint32_t referencing)
{
    (void)add_fact(b, FACT_CASCADE, referenced, referencing);
}

void build_policy(struct build *b, uint32_t relation, struct statement *expression)
{
    add_fact(b, FACT_POLICY, relation, 0)->text = statement_ref(expression);
}

void build_policy_reads(struct build *b, uint32_t relation, uint32_t other)
{
    (void)add_fact(b, FACT_GUARD, relation, other);
}

void build_sequence(struct build *b, uint32_t relation)
{
    (void)add_fact(b, FACT_SEQUENCE, relation, 0);
}

void build_rule(struct build *b, uint32_t relation)
{
    (void)add_fact(b, FACT_RULE, relation, 0);
}

void build_calls(struct build *b, uint32_t relation, enum build_when when, const char *function)
{
    struct fact *f = add_fact(b, FACT_CALL, relation, 0);
    f->when = when;
    f->name = keep(b, function);
}

/* ---- functions */

static struct function *function_named(struct build *b, const char *name)
{
    struct hlink *at = hmap_find(&b->c->functions, bytes_str(name));
    if (at != NULL) { return container_of(at, struct function, link); }
    struct function *f = arena_new(&b->c->arena, struct function);
    f->name = keep(b, name);
    f->builtin_volatility = f->user_volatility = 'i';
    hmap_insert(&b->c->functions, &f->link, bytes_str(f->name));
    return f;
}

/* 'i' < 's' < 'v'. */
static char worse(char a, char b)
{
    return a > b ? a : b;
}

void build_builtin(struct build *b, const char *name, char volatility)
{
    struct function *f = function_named(b, name);
    f->builtin = true;
    f->builtin_volatility = worse(f->builtin_volatility, volatility);
}

void build_function(struct build *b, const struct function_source *source)
{
    struct function *f = function_named(b, source->name);
    struct body body = function_body(source);
    f->user = true;
    f->user_volatility = worse(f->user_volatility, source->volatility);
    f->taints = f->taints || body.taints;
    f->writes = f->writes || body.writes;
    f->reads = f->reads || body.reads;
    f->sequences = f->sequences || body.sequences;
    if (b->sources_count == b->sources_room) {
        b->sources_room = b->sources_room == 0 ? 64 : b->sources_room * 2;
        b->sources = mem_grow(b->sources, b->sources_room, sizeof *b->sources);
    }
    b->sources[b->sources_count++] =
        (struct source){.function = f, .text = mem_strdup(source->text)};
}

void build_unnamed(struct build *b, const char *name, const char *language, char volatility)
{
    /* A compiled STABLE function looks at settings; any other may look at tables. */
    bool compiled = strcmp(language, "c") == 0 || strcmp(language, "internal") == 0;
    if (volatility == 'i' || (volatility == 's' && compiled)) { return; }
    b->c->unnamed = (struct obstacle){JUDGE_FUNCTION, keep(b, name)};
}

void build_domain(struct build *b, const char *name, struct statement *check)
{
    struct fact *f = add_fact(b, FACT_DOMAIN, 0, 0);
    f->name = keep(b, name);
    f->text = statement_ref(check);
}

void build_time_column(struct build *b, const char *name)
{
    struct time_column *t = arena_new(&b->c->arena, struct time_column);
    t->name = keep(b, name);
    if (hmap_find(&b->c->times, bytes_str(t->name)) != NULL) { return; }
    hmap_insert(&b->c->times, &t->link, bytes_str(t->name));
}

/* A body that names another function has that one's effects. True when something changed. */
static bool follow_body(struct build *b, const struct source *s)
{
    struct function *f = s->function;
    struct words words = words_of(s->text);
    bool changed = false;
    struct word w;
    while ((!f->taints || !f->writes || !f->reads || !f->sequences) &&
           function_next_word(&words, &w)) {
        const struct function *other = catalog_function(b->c, w.text), was = *f;
        if (other == NULL || other == f || !other->user) { continue; }
        f->reads = f->reads || other->reads;
        f->taints = f->taints || other->taints;
        f->writes = f->writes || other->writes;
        f->sequences = f->sequences || other->sequences;
        changed = changed || was.reads != f->reads || was.taints != f->taints ||
                  was.writes != f->writes || was.sequences != f->sequences;
    }
    return changed;
}

static void follow_bodies(struct build *b)
{
    bool changed = true;
    while (changed) {
        changed = false;
        for (size_t i = 0; i < b->sources_count; i++) {
            changed = follow_body(b, &b->sources[i]) || changed;
        }
    }
}

/* Which table a body writes is not known, so neither is which trigger that fires. */
static void follow_triggers(struct build *b)
{
    for (size_t i = 0; i < b->facts_count && !b->trigger_taints; i++) {
        const struct fact *f = &b->facts[i];
        if (f->kind != FACT_CALL || f->when != BUILD_TRIGGER) { continue; }
        const struct function *fn = catalog_function(b->c, f->name);
        b->trigger_taints = fn == NULL || (fn->user && fn->taints);
    }
    for (size_t i = 0; i < b->sources_count && b->trigger_taints; i++) {
        struct function *f = b->sources[i].function;
        f->taints = f->taints || f->writes;
    }
}

/* ---- links between relations */

static struct relation *relation_of(struct build *b, uint32_t oid)
{
    struct hlink *at = hmap_find(&b->c->by_oid, bytes_of(&oid, sizeof oid));
    return at == NULL ? NULL : container_of(at, struct relation, by_oid);
}

static void link_to(struct build *b, struct relations *list, struct relation *r)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i] == r) { return; }
    }
    if (list->count == list->room) {
        uint32_t room = list->room == 0 ? 4 : list->room * 2;
        struct relation **items = arena_array(&b->c->arena, struct relation *, room);
        for (uint32_t i = 0; i < list->count; i++) { items[i] = list->items[i]; }
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = r;
}

static void link_relations(struct build *b)
{
    for (size_t i = 0; i < b->facts_count; i++) {
        const struct fact *f = &b->facts[i];
        struct relation *r = relation_of(b, f->oid), *other = relation_of(b, f->other);
        if (r == NULL) { continue; }
        if (f->kind == FACT_RULE) { r->write_all = true; }
        if (f->kind == FACT_SEQUENCE) { r->sequences = true; }
        if (other == NULL || other == r) { continue; }
        switch (f->kind) {
        case FACT_READS: link_to(b, &r->reads, other); break;
        case FACT_PARENT: link_to(b, &r->parents, other); break;
        case FACT_CASCADE: link_to(b, &r->cascades, other); break;
        case FACT_GUARD: link_to(b, &r->guards, other); break;
        case FACT_DEFINITION:
        case FACT_POLICY:
        case FACT_RULE:
        case FACT_SEQUENCE:
        case FACT_DOMAIN:
        case FACT_CALL: break;
        }
    }
}

/* ---- calls */

static void set_obstacle(struct relation *r, enum judge_reason reason, const char *culprit)
{
    if (r->obstacle.reason == JUDGE_CACHEABLE) { r->obstacle = (struct obstacle){reason, culprit}; }
}

static void set_unclear(struct relation *r, const char *culprit)
{
    if (!r->policies_unclear) { r->policy_culprit = culprit; }
    r->policies_unclear = true;
}

static void add_read_call(struct relation *r, const struct call *call)
{
    r->not_on_replica = r->not_on_replica || !call->replica;
    r->read_taints = r->read_taints || call->taints;
    r->read_writes = r->read_writes || call->writes;
    r->opaque = r->opaque || call->reads;
}

/* A call that a relation's own definition makes. */
static void add_call(struct build *b, struct relation *r, const struct fact *f)
{
    const struct stmt_name name = {.name = f->name};
    const struct call call = catalog_call(b->c, &name);
    switch (f->when) {
    case BUILD_TRIGGER: /* what a trigger does is not proven by the words of its function */
        r->write_all = true;
        r->write_taints = r->write_taints || call.taints;
        return;
    case BUILD_WRITE:
        r->write_users = r->write_users || call.users;
        r->write_all = r->write_all || call.writes;
        r->write_taints = r->write_taints || call.taints;
        return;
    case BUILD_POLICY:
        set_unclear(r, f->name);
        r->write_all = r->write_all || call.writes;
        r->write_taints = r->write_taints || call.taints;
        break;
    case BUILD_VIEW:
    case BUILD_COMPUTED: set_obstacle(r, JUDGE_FUNCTION, f->name); break;
    }
    /* A computed column is called only by texts that name it, but those do not show it. */
    add_read_call(r, &call);
}

/* In the catalog's own rendering, made with nothing but pg_catalog in the path, only its relations
   are not qualified. pg_depend does not hold them. */
static bool reads_system(const struct statement *s)
{
    for (uint32_t i = 0; i < s->reads_count; i++) {
        const char *schema = s->reads[i].schema;
        if (schema == NULL || strcmp(schema, "pg_catalog") == 0 ||
            strcmp(schema, "information_schema") == 0) {
            return true;
        }
    }
    return false;
}

static void add_definition(struct build *b, struct relation *r, const struct statement *s)
{
    if (s->kind != STMT_SELECT || (s->flags & STMT_READS_ONLY) == 0) {
        set_obstacle(r, JUDGE_NOT_PARSED, r->name);
        r->not_on_replica = true;
    }
    enum judge_reason reason;
    for (size_t at = 0; judge_next_flag(s, &at, &reason);) { set_obstacle(r, reason, r->name); }
    const char *moving = catalog_moving_cast(b->c, s);
    if (moving != NULL) { set_obstacle(r, JUDGE_TIME, keep(b, moving)); }
    if (reads_system(s)) {
        set_obstacle(r, JUDGE_CATALOG_RELATION, r->name);
        r->not_on_replica = true;
    }
    for (uint32_t i = 0; i < s->functions_count; i++) {
        const struct call call = catalog_call(b->c, &s->functions[i]);
        if (!call.cacheable) { set_obstacle(r, JUDGE_FUNCTION, keep(b, s->functions[i].name)); }
        add_read_call(r, &call);
    }
}

static void add_policy_setting(struct build *b, struct relation *r, const char *name)
{
    for (uint32_t i = 0; i < r->policy_settings_count; i++) {
        if (strcmp(r->policy_settings[i], name) == 0) { return; }
    }
    if (r->policy_settings_count == JUDGE_KEYED) {
        set_unclear(r, "more settings than a key can hold");
        return;
    }
    if (r->policy_settings == NULL) {
        r->policy_settings = arena_array(&b->c->arena, const char *, JUDGE_KEYED);
    }
    r->policy_settings[r->policy_settings_count++] = keep(b, name);
}

/* Inputs that a key can hold: settings named by constants, the role, other relations' rows. */
static void add_policy(struct build *b, struct relation *r, const struct statement *s)
{
    const uint32_t unclear =
        STMT_TIME | STMT_TIME_LITERAL | STMT_SYSTEM_COLUMN | STMT_SAMPLE | STMT_REG_CAST;
    if (s->kind != STMT_SELECT || (s->flags & STMT_READS_ONLY) == 0 || (s->flags & unclear) != 0) {
        set_unclear(r, r->name);
    }
    const char *moving = catalog_moving_cast(b->c, s);
    if (moving != NULL) { set_unclear(r, keep(b, moving)); }
    if (reads_system(s)) {
        set_unclear(r, r->name);
        r->not_on_replica = true;
    }
    if ((s->flags & STMT_USER) != 0) { r->policy_role = true; }
    const bool keyed = s->settings_count > 0; /* the calls of current_setting() are described */
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *setting = &s->settings[i];
        if (!setting->reads || setting->name == NULL) {
            set_unclear(r, "current_setting");
        } else {
            add_policy_setting(b, r, setting->name);
        }
    }
    for (uint32_t i = 0; i < s->functions_count; i++) {
        const struct call call = catalog_call(b->c, &s->functions[i]);
        if (!call.cacheable && !(keyed && catalog_reads_setting(b->c, &s->functions[i]))) {
            set_unclear(r, keep(b, s->functions[i].name));
        }
        add_read_call(r, &call);
    }
}

/* A domain is checked by casts that no text shows. */
static void add_domain(struct build *b, const char *name, const struct statement *check)
{
    const uint32_t moving = STMT_TIME | STMT_TIME_LITERAL | STMT_USER | STMT_REG_CAST;
    bool plain = check->kind == STMT_SELECT && (check->flags & moving) == 0;
    for (uint32_t i = 0; i < check->functions_count; i++) {
        const struct function *f = catalog_function(b->c, check->functions[i].name);
        bool constant = f != NULL && f->user && !f->builtin && f->user_volatility == 'i';
        plain = plain && (constant || catalog_call(b->c, &check->functions[i]).cacheable);
    }
    if (!plain) { b->c->unnamed = (struct obstacle){JUDGE_FUNCTION, name}; }
}

static void add_effects(struct build *b)
{
    for (size_t i = 0; i < b->facts_count; i++) {
        const struct fact *f = &b->facts[i];
        if (f->kind == FACT_DOMAIN) { add_domain(b, f->name, f->text); }
        struct relation *r = relation_of(b, f->oid);
        if (r == NULL) { continue; }
        if (f->kind == FACT_CALL) { add_call(b, r, f); }
        if (f->kind == FACT_DEFINITION) { add_definition(b, r, f->text); }
        if (f->kind == FACT_POLICY) { add_policy(b, r, f->text); }
    }
}

/* What reads a relation has the effects of that. True when something changed. */
static bool read_through(struct relation *r, const struct relations *list)
{
    const bool tainted = r->read_taints, wrote = r->read_writes;
    for (uint32_t i = 0; i < list->count; i++) {
        r->read_taints = r->read_taints || list->items[i]->read_taints;
        r->read_writes = r->read_writes || list->items[i]->read_writes;
    }
    return r->read_taints != tainted || r->read_writes != wrote;
}

/* True when there is a relation whose reading has effects. */
static bool follow_reads(struct build *b)
{
    bool changed = true, any = false;
    while (changed) {
        changed = false;
        hmap_each (link, &b->c->by_oid) {
            struct relation *r = container_of(link, struct relation, by_oid);
            changed = read_through(r, &r->reads) || changed;
            if (r->row_security) { changed = read_through(r, &r->guards) || changed; }
            any = any || r->read_taints || r->read_writes;
        }
    }
    return any;
}

/* A body that names such a relation reads it. True when something changed. */
static bool follow_reader(const struct build *b, const struct source *s)
{
    struct function *f = s->function;
    const bool tainted = f->taints, wrote = f->writes;
    struct words words = words_of(s->text);
    struct word w;
    while ((!f->taints || !f->writes) && function_next_word(&words, &w)) {
        for (const struct relation *r = catalog_named(b->c, w.text); r != NULL; r = r->same_name) {
            f->taints = f->taints || r->read_taints;
            f->writes = f->writes || r->read_writes;
        }
    }
    return f->taints != tainted || f->writes != wrote;
}

/* Functions call each other, fire triggers and read views, and views call functions: until nothing
   new comes of it. */
static void follow_effects(struct build *b)
{
    bool changed = true;
    while (changed) {
        changed = false;
        follow_bodies(b);
        follow_triggers(b);
        follow_bodies(b);
        add_effects(b);
        if (!follow_reads(b)) { return; }
        for (size_t i = 0; i < b->sources_count; i++) {
            changed = follow_reader(b, &b->sources[i]) || changed;
        }
    }
}

enum {
    DEEPEST = 64
}; /* PostgreSQL refuses circles in inheritance; this only guards the recursion */

/* ---- what holds for a table and all below it */

static void lift_into(struct build *b, struct relation *above, const struct relation *r,
                      unsigned depth)
{
    above->foreign = above->foreign || r->foreign;
    above->unlogged = above->unlogged || r->unlogged;
    above->write_all = above->write_all || r->write_all;
    above->write_taints = above->write_taints || r->write_taints;
    above->sequences = above->sequences || r->sequences;
    above->write_users = above->write_users || r->write_users;
    for (uint32_t i = 0; i < r->cascades.count; i++) {
        link_to(b, &above->cascades, r->cascades.items[i]);
    }
    for (uint32_t i = 0; i < above->parents.count && depth > 0; i++) {
        lift_into(b, above->parents.items[i], r, depth - 1);
    }
}

static void lift(struct build *b)
{
    hmap_each (link, &b->c->by_oid) {
        const struct relation *r = container_of(link, struct relation, by_oid);
        for (uint32_t i = 0; i < r->parents.count; i++) {
            lift_into(b, r->parents.items[i], r, DEEPEST);
        }
    }
}

/* ---- cache rules */

static bool rule_names(const struct rule_config *rule, const struct relation *r)
{
    for (size_t i = 0; i < rule->tables_count; i++) {
        const char *dot = strchr(rule->tables[i], '.');
        size_t len = dot == NULL ? 0 : (size_t)(dot - rule->tables[i]);
        const char *name = dot == NULL ? rule->tables[i] : dot + 1;
        const char *schema = dot == NULL ? "public" : rule->tables[i];
        if (dot == NULL) { len = strlen(schema); }
        if (strlen(r->schema) == len && memcmp(r->schema, schema, len) == 0 &&
            strcmp(r->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The shorter ttl decides; of two the same, the stricter mode. */
static int decide(const struct catalog *c, int a, int b)
{
    if (a < 0 || b < 0) { return a < 0 ? b : a; }
    const struct rule *ra = &c->rules[a], *rb = &c->rules[b];
    if (ra->ttl_us != rb->ttl_us) { return ra->ttl_us < rb->ttl_us ? a : b; }
    return ra->mode >= rb->mode ? a : b;
}

/* A rule that names a table covers what is below it. */
static int rule_above(const struct catalog *c, const struct relation *r, unsigned depth)
{
    int rule = r->rule;
    for (uint32_t i = 0; i < r->parents.count && depth > 0; i++) {
        rule = decide(c, rule, rule_above(c, r->parents.items[i], depth - 1));
    }
    return rule;
}

static void apply_rules(struct build *b, const struct config *cfg)
{
    struct catalog *c = b->c;
    c->rules_count = cfg->rules_count;
    c->rules = arena_array(&c->arena, struct rule, c->rules_count + 1);
    for (size_t i = 0; i < c->rules_count; i++) {
        const struct rule_config *rule = &cfg->rules[i];
        c->rules[i] = (struct rule){
            .ttl_us = rule->ttl_us, .mode = (int)rule->mode, .keyed = rule->rls == RLS_KEYED};
    }
    hmap_each (link, &c->by_oid) {
        struct relation *r = container_of(link, struct relation, by_oid);
        for (size_t i = 0; i < c->rules_count && !r->system; i++) {
            if (rule_names(&cfg->rules[i], r)) { r->rule = decide(c, r->rule, (int)i); }
        }
        c->has_rules = c->has_rules || r->rule >= 0;
    }
    hmap_each (below, &c->by_oid) {
        struct relation *r = container_of(below, struct relation, by_oid);
        r->rule = rule_above(c, r, DEEPEST);
    }
}

static uint64_t mix_rules(const struct config *cfg, uint64_t version)
{
    struct buf text = {0};
    buf_put(&text, &version, sizeof version);
    for (size_t i = 0; i < cfg->rules_count; i++) {
        const struct rule_config *r = &cfg->rules[i];
        buf_printf(&text, "%zu %lld %d %d;", i, (long long)r->ttl_us, (int)r->mode, (int)r->rls);
        for (size_t j = 0; j < r->tables_count; j++) { buf_put_str(&text, r->tables[j]); }
    }
    /* A fixed key: every pgusher in front of one database comes to the same version. */
    const struct sipkey fixed = {0x7075736765727631ULL, 0x636174616c6f6776ULL};
    uint64_t mixed = siphash(fixed, buf_view(&text));
    buf_done(&text);
    return mixed == 0 ? 1 : mixed;
}

struct catalog *build_finish(struct build **ret, const struct config *cfg, uint64_t version)
{
    struct build *b = *ret;
    link_relations(b);
    follow_effects(b);
    lift(b);
    apply_rules(b, cfg);
    struct catalog *c = b->c;
    c->version = mix_rules(cfg, version);
    b->c = NULL;
    build_free(ret);
    return c;
}
