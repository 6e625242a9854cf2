/* A small database and statements spelled out by hand, for tests of the catalog. */
#pragma once

#include "unit.h"

#include "catalog/build.h"

enum small_oid {
    MENUS = 16400,
    MODULES,
    PERMISSIONS,
    UNNAMED,
    SLOTS,
    SLOTS_1,
    SLOTS_2,
    UNLOGGED,
    SEQUENCE,
    DUP_PUBLIC,
    DUP_OTHER,
    PG_CLASS,
    VIEW,
    VIEW_OF_VIEW,
    APPOINTMENTS,
    GRANTS,
    AUDITED,
    FOREIGN,
    APPOINTMENTS_VIEW,
    PATIENTS,
};

/* Rules 0: menus, modules, permissions, slots (1 h); 1: appointments, grants (30 s, rls = keyed);
   2: patients (10 s, rls = refuse); 3: audited (ttl mode, 1 s). */
static inline struct config *small_config(void)
{
    static char t0[5][20] = {"public.menus", "public.modules", "permissions", "public.slots",
                             "public.menus_view"};
    static char t1[2][20] = {"public.appointments", "public.grants"};
    static char t2[1][20] = {"public.patients"}, t3[1][20] = {"public.audited"};
    static char *tables[4][5] = {
        {t0[0], t0[1], t0[2], t0[3], t0[4]}, {t1[0], t1[1]}, {t2[0]}, {t3[0]}};
    static struct rule_config rules[4];
    static struct config cfg;
    rules[0] = (struct rule_config){
        .tables = tables[0], .tables_count = 5, .ttl_us = 3600000000, .mode = RULE_STRICT};
    rules[1] = (struct rule_config){.tables = tables[1],
                                    .tables_count = 2,
                                    .ttl_us = 30000000,
                                    .mode = RULE_STRICT,
                                    .rls = RLS_KEYED};
    rules[2] = (struct rule_config){.tables = tables[2],
                                    .tables_count = 1,
                                    .ttl_us = 10000000,
                                    .mode = RULE_STRICT,
                                    .rls = RLS_REFUSE};
    rules[3] = (struct rule_config){
        .tables = tables[3], .tables_count = 1, .ttl_us = 1000000, .mode = RULE_TTL};
    cfg = (struct config){.rules = rules, .rules_count = 4};
    return &cfg;
}

static inline void small_table(struct build *b, uint32_t oid, const char *name)
{
    build_relation(b, oid, "public", name, 'r', 'p', false);
}

static inline void small_function(struct build *b, const char *name, const char *language,
                                  char volatility, const char *text)
{
    const struct function_source source = {.name = name,
                                           .language = language,
                                           .extension = "",
                                           .volatility = volatility,
                                           .text = text};
    build_function(b, &source);
}

/* menus <-cascade- modules <-cascade- permissions; slots has two partitions; views over menus and
 * modules. */
static inline struct build *small_build(void)
{
    struct build *b = build_new();
    small_table(b, MENUS, "menus");
    small_table(b, MODULES, "modules");
    small_table(b, PERMISSIONS, "permissions");
    small_table(b, UNNAMED, "unnamed");
    build_relation(b, SLOTS, "public", "slots", 'p', 'p', false);
    small_table(b, SLOTS_1, "slots_1");
    small_table(b, SLOTS_2, "slots_2");
    build_relation(b, UNLOGGED, "public", "unlogged", 'r', 'u', false);
    build_relation(b, FOREIGN, "public", "abroad", 'f', 'p', false);
    build_relation(b, SEQUENCE, "public", "a_seq", 'S', 'p', false);
    build_relation(b, DUP_PUBLIC, "public", "dup", 'r', 'p', false);
    build_relation(b, DUP_OTHER, "other", "dup", 'r', 'p', false);
    build_relation(b, PG_CLASS, "pg_catalog", "pg_class", 'r', 'p', false);
    build_relation(b, VIEW, "public", "menus_view", 'v', 'p', false);
    build_relation(b, VIEW_OF_VIEW, "public", "view_of_view", 'v', 'p', false);
    build_relation(b, APPOINTMENTS, "public", "appointments", 'r', 'p', true);
    build_relation(b, APPOINTMENTS_VIEW, "public", "appointments_view", 'v', 'p', false);
    build_relation(b, PATIENTS, "public", "patients", 'r', 'p', true);
    small_table(b, GRANTS, "grants");
    small_table(b, AUDITED, "audited");
    build_parent(b, SLOTS_1, SLOTS);
    build_parent(b, SLOTS_2, SLOTS);
    build_reads(b, VIEW, MENUS);
    build_reads(b, VIEW, MODULES);
    build_reads(b, VIEW_OF_VIEW, VIEW);
    build_reads(b, APPOINTMENTS_VIEW, APPOINTMENTS);
    build_cascade(b, MENUS, MODULES);
    build_cascade(b, MODULES, PERMISSIONS);
    build_builtin(b, "count", 'i');
    build_builtin(b, "to_char", 's');
    build_builtin(b, "now", 's');
    build_builtin(b, "pg_backend_pid", 's');
    build_builtin(b, "random", 'v');
    build_builtin(b, "current_setting", 's');
    build_builtin(b, "query_to_xml", 'v');
    return b;
}

static inline struct catalog *small_finish(struct build *b)
{
    return build_finish(&b, small_config(), 1);
}

/* ---- statements */

static struct stmt_name small_names[3][20];
static struct stmt_setting small_settings[2];
static struct statement small_statement;

/* A name as it is written: "x" or "schema.x"; names are separated by spaces. */
static inline uint32_t small_list(const char *text, struct stmt_name *names)
{
    static char room[3][512];
    char *at = room[(names - small_names[0]) / 20];
    uint32_t count = 0;
    (void)strncpy(at, text, sizeof room[0] - 1);
    for (char *save = NULL, *word = strtok_r(at, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        char *dot = strchr(word, '.');
        if (dot != NULL) { *dot = '\0'; }
        names[count++] =
            dot == NULL ? (struct stmt_name){NULL, word} : (struct stmt_name){word, dot + 1};
    }
    return count;
}

static inline struct statement *small_stmt(enum stmt_kind kind, uint32_t flags, const char *reads,
                                           const char *writes, const char *functions)
{
    small_statement = (struct statement){.kind = kind,
                                         .count = 1,
                                         .flags = flags,
                                         .reads = small_names[0],
                                         .writes = small_names[1],
                                         .functions = small_names[2],
                                         .settings = small_settings};
    small_statement.reads_count = small_list(reads, small_names[0]);
    small_statement.writes_count = small_list(writes, small_names[1]);
    small_statement.functions_count = small_list(functions, small_names[2]);
    return &small_statement;
}

static inline struct statement *small_select(const char *reads, const char *functions)
{
    return small_stmt(STMT_SELECT, STMT_READS_ONLY | STMT_FUSIBLE, reads, "", functions);
}

static inline struct statement *small_modify(const char *writes)
{
    return small_stmt(STMT_MODIFY, STMT_FUSIBLE, "", writes, "");
}

static inline struct judgement small_judge(const struct catalog *c, const struct statement *s)
{
    struct judgement j;
    catalog_judge(c, s, &j);
    return j;
}

/* The list is exactly these OIDs, in any order; 0 ends it. */
static inline bool small_is(const uint32_t *list, unsigned count, const uint32_t *want)
{
    unsigned wanted = 0;
    for (; want[wanted] != 0; wanted++) {
        bool found = false;
        for (unsigned i = 0; i < count; i++) { found = found || list[i] == want[wanted]; }
        if (!found) { return false; }
    }
    return wanted == count;
}
#define CHECK_DEPS(j, ...)                                                                         \
    CHECK(small_is((j).deps, (j).deps_count, (const uint32_t[]){__VA_ARGS__ __VA_OPT__(, ) 0}))
#define CHECK_WRITES(j, ...)                                                                       \
    CHECK(!(j).writes_all && small_is((j).writes, (j).writes_count,                                \
                                      (const uint32_t[]){__VA_ARGS__ __VA_OPT__(, ) 0}))
