/* The cache: its counters, its rules, and why a statement is or is not cached. */
#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cache/cache.h"

static const struct column cache_columns[] = {SHOW_TEXT("name"), SHOW_LONG("value")};
static const struct column rule_columns[] = {
    SHOW_TEXT("rule"), SHOW_TEXT("tables"), SHOW_TEXT("ttl"),          SHOW_TEXT("mode"),
    SHOW_TEXT("rls"),  SHOW_TEXT("scope"),  SHOW_TEXT("empty_results")};
static const struct column why_columns[] = {SHOW_TEXT("cacheable"), SHOW_TEXT("reason"),
                                            SHOW_TEXT("culprit"), SHOW_TEXT("rule"),
                                            SHOW_TEXT("depends_on")};

static void put_counter(struct table *t, const char *name, uint64_t value)
{
    table_row(t);
    table_text(t, name);
    table_int(t, (int64_t)value);
    table_end(t);
}

static void fill_cache(struct gathering *g, struct table *t)
{
    struct cache_stats s = {0};
    if (g->office->cache != NULL) { cache_stats(g->office->cache, &s); }
    put_counter(t, "hits", s.hits);
    put_counter(t, "misses", s.misses);
    put_counter(t, "fills", s.fills);
    put_counter(t, "bumps", s.bumps);
    put_counter(t, "evictions", s.evictions);
    put_counter(t, "expired", s.expired);
    put_counter(t, "stale", s.stale);
    put_counter(t, "too_big", s.too_big);
    put_counter(t, "flights_joined", s.flights_joined);
    put_counter(t, "entries", s.entries);
    put_counter(t, "bytes", s.bytes);
    put_counter(t, "redis_up", s.redis_up);
    put_counter(t, "redis_hits", s.redis_hits);
    put_counter(t, "redis_errors", s.redis_errors);
}

static void put_list(struct table *t, char *const *items, size_t count)
{
    struct buf text = {0};
    for (size_t i = 0; i < count; i++) { buf_printf(&text, "%s%s", i == 0 ? "" : ", ", items[i]); }
    table_bytes(t, buf_view(&text));
    buf_done(&text);
}

static void fill_rules(struct gathering *g, struct table *t)
{
    static const char *const modes[] = {[RULE_TTL] = "ttl",
                                        [RULE_BOUNDED] = "bounded",
                                        [RULE_STRICT] = "strict",
                                        [RULE_FENCED] = "fenced"};
    for (size_t i = 0; i < g->config->rules_count; i++) {
        const struct rule_config *r = &g->config->rules[i];
        char *ttl = mem_printf("%gs", (double)r->ttl_us / (double)US_PER_S);
        table_row(t);
        table_text(t, r->name);
        put_list(t, r->tables, r->tables_count);
        table_text(t, ttl);
        table_text(t, modes[r->mode]);
        table_text(t, r->rls == RLS_KEYED ? "keyed" : "refuse");
        table_text(t, r->scope);
        table_yes(t, r->empty_results);
        table_end(t);
        mem_free(&ttl);
    }
}

/* ---- SHOW CACHE WHY -------------------------------------------------------------------------- */

/* The relations the text names, and how many more the catalog found behind them. */
static void put_dependencies(struct table *t, const struct statement *st, const struct judgement *j)
{
    struct buf text = {0};
    for (uint32_t i = 0; i < st->reads_count; i++) {
        const struct stmt_name *n = &st->reads[i];
        buf_printf(&text, "%s%s%s%s", i == 0 ? "" : ", ", n->schema == NULL ? "" : n->schema,
                   n->schema == NULL ? "" : ".", n->name);
    }
    if (j->deps_count > st->reads_count) {
        buf_printf(&text, ", and %u behind them", j->deps_count - st->reads_count);
    }
    if (buf_len(&text) == 0) {
        table_null(t);
    } else {
        table_bytes(t, buf_view(&text));
    }
    buf_done(&text);
}

/* The cache is off for the database: because the ini says so, or although it says otherwise? */
static const char *off_culprit(const struct database *db)
{
    int asked = db->line->cache >= 0 ? db->line->cache : (int)db->config->o.cache;
    return asked == CACHE_OFF ? NULL : "no monitor_user";
}

static void put_why(struct session *s, const struct database *db, const struct statement *st,
                    const struct judgement *j)
{
    struct table t = table_of(session_rows(s), SHOW_COLUMNS(why_columns));
    bool off = db->cache == CACHE_OFF;
    bool ruled = j->rule >= 0 && (size_t)j->rule < db->config->rules_count;
    session_describe(s, t.columns, t.count);
    table_row(&t);
    table_yes(&t, j->reason == JUDGE_CACHEABLE && !off);
    table_text(&t, off ? "cache_off" : judge_reason_name(j->reason));
    if (off) {
        table_text(&t, off_culprit(db));
    } else if (st->error.len > 0) {
        table_bytes(&t, st->error);
    } else {
        table_text(&t, j->culprit[0] == '\0' ? NULL : j->culprit);
    }
    table_text(&t, ruled ? db->config->rules[j->rule].name : NULL);
    put_dependencies(&t, st, j);
    table_end(&t);
    session_complete(s, "SHOW");
}

/* The named database, else the first that has its cache on. */
static struct database *choose(struct registry *r, const char *name)
{
    struct database_roll roll = roll_databases(r);
    struct database *db = name == NULL ? NULL : roll_find(&roll, name);
    for (size_t i = 0; name == NULL && db == NULL && i < roll.count; i++) {
        struct database *other = roll.items[i];
        if (!atomic_load(&other->retired) && other->cache != CACHE_OFF) { db = other; }
    }
    mem_free(&roll.items);
    return db;
}

const struct column *show_cache_why_columns(unsigned *ret_count)
{
    *ret_count = sizeof why_columns / sizeof *why_columns;
    return why_columns;
}

void show_cache_why(struct session *s, const struct command *c)
{
    const char *name = c->count == 5 ? command_value(c, 3) : NULL;
    const char *sql = c->words[c->count - 1].text;
    enum word_kind kind = c->words[c->count - 1].kind;
    if ((kind != WORD_STRING && kind != WORD_PARAMETER) || (c->count == 5 && name == NULL)) {
        session_error(s, "42601", "expected: SHOW CACHE WHY [<db>] '<sql>'");
        return;
    }
    struct database *db = choose(s->office->front->registry, name);
    if (db == NULL && name != NULL) {
        session_error(s, "3D000", "no such database: %s", name);
        return;
    }
    if (db == NULL) {
        session_error(s, "55000", "no database has cache on");
        return;
    }
    struct statement *st = query_parse(bytes_str(sql), (size_t)db->config->o.max_inspect_bytes);
    struct catalog *catalog = database_catalog(db);
    struct judgement j;
    catalog_judge(catalog, st, &j);
    put_why(s, db, st, &j);
    catalog_unref(&catalog);
    statement_unref(&st);
}

const struct show show_cache = {"cache", SHOW_COLUMNS(cache_columns), NULL, fill_cache, NULL};
const struct show show_cache_rules = {"cache_rules", SHOW_COLUMNS(rule_columns), NULL, fill_rules,
                                      NULL};
