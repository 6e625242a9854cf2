/*
 * Everything asked here may be read by anybody who can connect. All rows are ordered, so that one
 * content has one hash, whoever loads it.
 */
#include "catalog/rows.h"

#include <stdlib.h>
#include <string.h>

enum { DEFINITION_BYTES = 1 << 20 };

/* ---- does anything have to be loaded again? */

const char load_snapshot_sql[] = "SELECT txid_current_snapshot()::text";

/*
 * Row versions (xmin) of the catalogs that matter, added up; each is hashed with its object, so
 * that changes do not cancel out. Temporary tables come and go all the time and are left out. Roles
 * are read through pg_roles, which has no xmin. A false alarm costs one load, whose content then
 * decides.
 */
/* clang-format off */
#define SUM_OF(oid)                                                                                \
    " SELECT count(*) AS n, sum(hashint8extended((" oid "::int8 << 32) | xmin::text::int8, 0)) "   \
    "AS h"
#define ONE(tag, oid, from)                                                                        \
    " UNION ALL SELECT '" tag "', n, h FROM (" SUM_OF(oid) " FROM " from ") AS s"
#define NOT_TEMP(oid) " WHERE " oid " NOT IN (SELECT oid FROM temp)"

const char load_fingerprint_sql[] =
    "WITH temp AS MATERIALIZED (SELECT oid FROM pg_class WHERE relpersistence = 't'),"
    " sums AS ("
    " SELECT 'class' AS what, n, h FROM (" SUM_OF("oid")
    " FROM pg_class WHERE relpersistence <> 't' AND relkind IN ('r','v','m','f','p','S')) AS s"
    ONE("attribute", "attrelid", "pg_attribute" NOT_TEMP("attrelid") " AND attrelid >= 16384")
    ONE("namespace", "oid", "pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'")
    ONE("proc", "oid", "pg_proc")
    ONE("policy", "oid", "pg_policy")
    ONE("rewrite", "oid", "pg_rewrite" NOT_TEMP("ev_class"))
    ONE("trigger", "oid", "pg_trigger" NOT_TEMP("tgrelid"))
    ONE("constraint", "oid", "pg_constraint" NOT_TEMP("conrelid"))
    ONE("attrdef", "oid", "pg_attrdef" NOT_TEMP("adrelid"))
    ONE("inherits", "inhrelid", "pg_inherits" NOT_TEMP("inhrelid"))
    ONE("operator", "oid", "pg_operator WHERE oid >= 16384")
    ONE("cast", "oid", "pg_cast")
    ONE("type", "oid", "pg_type WHERE typtype IN ('e','d','r','m') OR"
                       " (typtype = 'b' AND oid >= 16384 AND typelem = 0)")
    ONE("enum", "oid", "pg_enum")
    ONE("collation", "oid", "pg_collation WHERE oid >= 16384")
    ONE("ts_config", "oid", "pg_ts_config")
    ONE("ts_dict", "oid", "pg_ts_dict")
    ONE("ts_config_map", "mapcfg", "pg_ts_config_map")
    ONE("extension", "oid", "pg_extension")
    ONE("members", "roleid", "pg_auth_members")
    ONE("settings", "(setdatabase::int8 # setrole::int8)", "pg_db_role_setting")
    ONE("database", "oid", "pg_database WHERE datname = current_database()")
    " UNION ALL SELECT 'roles', count(*), sum(hashtextextended(concat_ws(' ', oid, rolname,"
    " rolsuper, rolinherit, rolbypassrls), 0)) FROM pg_roles)"
    " SELECT md5(string_agg(concat_ws(' ', what, n, h), ',' ORDER BY what)),"
    " txid_current_snapshot()::text FROM sums";
/* clang-format on */

/* ---- rows to facts */

static uint32_t oid_at(const PGresult *r, int row, int column)
{
    return (uint32_t)strtoul(column < pq.nfields(r) ? pq.getvalue(r, row, column) : "0", NULL, 10);
}

static const char *text_at(const PGresult *r, int row, int column)
{
    return column < pq.nfields(r) ? pq.getvalue(r, row, column) : "";
}

static void relations(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        build_relation(b, oid_at(r, i, 0), text_at(r, i, 1), text_at(r, i, 2), text_at(r, i, 3)[0],
                       text_at(r, i, 4)[0], text_at(r, i, 5)[0] == 't');
    }
}

static void pairs(struct build *b, const PGresult *r,
                  void (*add)(struct build *b, uint32_t one, uint32_t other))
{
    for (int i = 0; i < pq.ntuples(r); i++) { add(b, oid_at(r, i, 0), oid_at(r, i, 1)); }
}

static void parents(struct build *b, const PGresult *r)
{
    pairs(b, r, build_parent);
}

static void view_reads(struct build *b, const PGresult *r)
{
    pairs(b, r, build_reads);
}

static void cascades(struct build *b, const PGresult *r)
{
    pairs(b, r, build_cascade);
}

static void policy_reads(struct build *b, const PGresult *r)
{
    pairs(b, r, build_policy_reads);
}

static void sequences(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) { build_sequence(b, oid_at(r, i, 0)); }
}

static void rules(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) { build_rule(b, oid_at(r, i, 0)); }
}

static void texts(struct build *b, const PGresult *r,
                  void (*add)(struct build *b, uint32_t relation, struct statement *s))
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        struct statement *s = query_parse(bytes_str(text_at(r, i, 1)), DEFINITION_BYTES);
        add(b, oid_at(r, i, 0), s);
        statement_unref(&s);
    }
}

static void definitions(struct build *b, const PGresult *r)
{
    texts(b, r, build_definition);
}

static void policies(struct build *b, const PGresult *r)
{
    texts(b, r, build_policy);
}

static void calls(struct build *b, const PGresult *r)
{
    static const char letters[] = {
        [BUILD_TRIGGER] = 't', [BUILD_WRITE] = 'w',    [BUILD_VIEW] = 'v',
        [BUILD_POLICY] = 'p',  [BUILD_COMPUTED] = 'c',
    };
    for (int i = 0; i < pq.ntuples(r); i++) {
        const char *at = memchr(letters, text_at(r, i, 1)[0], sizeof letters);
        if (at == NULL) { continue; }
        build_calls(b, oid_at(r, i, 0), (enum build_when)(at - letters), text_at(r, i, 2));
    }
}

static void builtins(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        build_builtin(b, text_at(r, i, 0), text_at(r, i, 1)[0]);
    }
}

static void functions(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        const struct function_source source = {
            .name = text_at(r, i, 0),
            .language = text_at(r, i, 1),
            .extension = text_at(r, i, 2),
            .volatility = text_at(r, i, 3)[0],
            .text = text_at(r, i, 4),
        };
        build_function(b, &source);
    }
}

static void unnamed(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        build_unnamed(b, text_at(r, i, 0), text_at(r, i, 1), text_at(r, i, 2)[0]);
    }
}

static void domains(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) {
        struct statement *s = query_parse(bytes_str(text_at(r, i, 1)), DEFINITION_BYTES);
        build_domain(b, text_at(r, i, 0), s);
        statement_unref(&s);
    }
}

static void time_columns(struct build *b, const PGresult *r)
{
    for (int i = 0; i < pq.ntuples(r); i++) { build_time_column(b, text_at(r, i, 0)); }
}

/* ---- the questions */

/* clang-format off */
#define DEPENDS(class, oid, on)                                                                    \
    " JOIN pg_depend AS d ON d.classid = '" class "'::regclass AND d.objid = " oid                 \
    " AND d.refclassid = '" on "'::regclass"
#define PROC(oid)     " JOIN pg_proc AS p ON p.oid = " oid
#define OPERATOR(oid) " JOIN pg_operator AS o ON o.oid = " oid PROC("o.oprcode")
#define LANGUAGE      " JOIN pg_language AS l ON l.oid = p.prolang"
#define SYSTEM        "('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"

static const char calls_sql[] =
    "SELECT tgrelid, 't', proname FROM pg_trigger" PROC("tgfoid")
    " WHERE (NOT tgisinternal OR p.pronamespace NOT IN " SYSTEM ") AND tgenabled <> 'D'"
    " UNION SELECT a.adrelid, 'w', p.proname FROM pg_attrdef AS a"
    DEPENDS("pg_attrdef", "a.oid", "pg_proc") PROC("d.refobjid")
    " UNION SELECT c.conrelid, 'w', p.proname FROM pg_constraint AS c"
    DEPENDS("pg_constraint", "c.oid", "pg_proc") PROC("d.refobjid")
    " UNION SELECT r.ev_class, 'v', p.proname FROM pg_rewrite AS r"
    DEPENDS("pg_rewrite", "r.oid", "pg_proc") PROC("d.refobjid")
    " UNION SELECT r.ev_class, 'v', p.proname FROM pg_rewrite AS r"
    DEPENDS("pg_rewrite", "r.oid", "pg_operator") OPERATOR("d.refobjid")
    " UNION SELECT l.polrelid, 'p', p.proname FROM pg_policy AS l"
    DEPENDS("pg_policy", "l.oid", "pg_proc") PROC("d.refobjid")
    " UNION SELECT l.polrelid, 'p', p.proname FROM pg_policy AS l"
    DEPENDS("pg_policy", "l.oid", "pg_operator") OPERATOR("d.refobjid")
    " UNION SELECT t.typrelid, 'c', p.proname FROM pg_proc AS p"
    " JOIN pg_type AS t ON t.oid = p.proargtypes[0]"
    " WHERE t.typtype = 'c' AND p.pronargs - p.pronargdefaults <= 1"
    " AND p.pronamespace NOT IN " SYSTEM
    " ORDER BY 1, 2, 3";

static const char unnamed_sql[] =
    "SELECT o.oprname::text, l.lanname, p.provolatile FROM pg_operator AS o"
    PROC("o.oprcode") LANGUAGE " WHERE o.oid >= 16384"
    " UNION SELECT format_type(c.castsource, NULL) || '::' || format_type(c.casttarget, NULL),"
    " l.lanname, p.provolatile FROM pg_cast AS c"
    PROC("c.castfunc") LANGUAGE " WHERE c.oid >= 16384"
    " UNION SELECT t.typname::text, l.lanname, p.provolatile FROM pg_type AS t"
    PROC("t.typinput") LANGUAGE " WHERE t.oid >= 16384 AND t.typtype = 'b'"
    " ORDER BY 1, 2, 3";
/* clang-format on */

static const struct load_step steps[] = {
    {"SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity"
     " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
     " WHERE c.relkind IN ('r','v','m','f','p','S') AND c.relpersistence <> 't'"
     " AND n.nspname <> 'pg_toast' ORDER BY 1",
     relations},
    {"SELECT inhrelid, inhparent FROM pg_inherits ORDER BY 1, 2", parents},
    {"SELECT DISTINCT r.ev_class, d.refobjid FROM pg_rewrite AS r" DEPENDS(
         "pg_rewrite", "r.oid",
         "pg_class") " WHERE r.rulename = '_RETURN' AND d.refobjid <> r.ev_class ORDER BY 1, 2",
     view_reads},
    {"SELECT oid, pg_get_viewdef(oid) FROM pg_class"
     " WHERE relkind IN ('v','m') AND oid >= 16384 AND relpersistence <> 't' ORDER BY 1",
     definitions},
    {"SELECT DISTINCT ev_class FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class >= 16384"
     " ORDER BY 1",
     rules},
    {"SELECT a.adrelid FROM pg_attrdef AS a" DEPENDS(
         "pg_attrdef", "a.oid",
         "pg_class") " JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'"
                     " UNION SELECT attrelid FROM pg_attribute WHERE attidentity <> ''"
                     " AND NOT attisdropped ORDER BY 1",
     sequences},
    {"SELECT DISTINCT confrelid, conrelid FROM pg_constraint WHERE contype = 'f'"
     " AND (confdeltype IN ('c','n','d') OR confupdtype IN ('c','n','d')) ORDER BY 1, 2",
     cascades},
    /* what is called without being named */
    {calls_sql, calls},
    {"SELECT polrelid, 'SELECT ' || pg_get_expr(polqual, polrelid) FROM pg_policy"
     " WHERE polcmd IN ('*','r') AND polqual IS NOT NULL ORDER BY 1, 2",
     policies},
    {"SELECT DISTINCT l.polrelid, d.refobjid FROM pg_policy AS l" DEPENDS(
         "pg_policy", "l.oid", "pg_class") " WHERE d.refobjid <> l.polrelid ORDER BY 1, 2",
     policy_reads},
    {"SELECT proname, max(provolatile::text) FROM pg_proc WHERE pronamespace IN " SYSTEM
     " GROUP BY 1 ORDER BY 1",
     builtins},
    /* an aggregate's body is the names of its functions; an SQL-standard body has no source text */
    {"SELECT p.proname, l.lanname, coalesce(e.extname, ''), p.provolatile, concat_ws(' ',"
     " CASE WHEN p.prosrc <> '' OR p.prokind = 'a' THEN p.prosrc"
     " ELSE regexp_replace(pg_get_functiondef(p.oid), '^CREATE OR REPLACE', '') END,"
     " pg_get_expr(p.proargdefaults, 0), a.aggtransfn, a.aggfinalfn, a.aggcombinefn, "
     "a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)"
     " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
     " LEFT JOIN pg_aggregate AS a ON a.aggfnoid = p.oid"
     " LEFT JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid"
     " AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'"
     " LEFT JOIN pg_extension AS e ON e.oid = d.refobjid"
     " WHERE p.pronamespace NOT IN " SYSTEM " ORDER BY 1, 2, 3, 4, 5",
     functions},
    {unnamed_sql, unnamed},
    {"SELECT t.typname, 'SELECT ' || pg_get_expr(k.conbin, 0) FROM pg_constraint AS k"
     " JOIN pg_type AS t ON t.oid = k.contypid WHERE k.contype = 'c' AND k.oid >= 16384"
     " ORDER BY 1, 2",
     domains},
    {"SELECT a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid"
     " JOIN pg_type AS t ON t.oid = a.atttypid"
     " WHERE c.oid >= 16384 AND c.relkind IN ('r','v','m','f','p') AND c.relpersistence <> 't'"
     " AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1"
     " HAVING bool_and(t.typcategory IN ('D','N','B','T')) AND bool_or(t.typcategory = 'D')"
     " ORDER BY 1",
     time_columns},
    /* what results look like and who may see them */
    {"SELECT md5(string_agg(concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod,"
     " attisdropped, attcollation, attacl), ',' ORDER BY attrelid, attnum))"
     " FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid WHERE a.attrelid >= 16384"
     " AND a.attnum > 0 AND c.relkind IN ('r','v','m','f','p') AND c.relpersistence <> 't'",
     NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, relowner, relforcerowsecurity, relacl,"
     " reloptions), ',' ORDER BY oid)) FROM pg_class"
     " WHERE relkind IN ('r','v','m','f','p','S') AND relpersistence <> 't'",
     NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, nspname, nspowner, nspacl), ',' ORDER BY oid))"
     " FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'",
     NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, proowner, proacl, prosecdef, proconfig), ','"
     " ORDER BY oid)) FROM pg_proc WHERE oid >= 16384 OR proacl IS NOT NULL",
     NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, polrelid, polname, polcmd, polpermissive, polroles,"
     " md5(polqual::text), md5(polwithcheck::text)), ',' ORDER BY oid)) FROM pg_policy",
     NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, rolname, rolsuper, rolinherit, rolbypassrls), ','"
     " ORDER BY oid)) FROM pg_roles",
     NULL},
    {"SELECT md5(string_agg(m::text, ',' ORDER BY m::text)) FROM pg_auth_members AS m", NULL},
    {"SELECT md5(string_agg(s::text, ',' ORDER BY s::text)) FROM pg_db_role_setting AS s", NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, datname, datdba, datacl), ',')) FROM pg_database"
     " WHERE datname = current_database()",
     NULL},
    {"SELECT md5(string_agg(e::text, ',' ORDER BY e::text)) FROM pg_enum AS e", NULL},
    {"SELECT md5(string_agg(concat_ws(' ', oid, xmin), ',' ORDER BY oid)) FROM pg_type"
     " WHERE typtype IN ('e','d','r','m') AND oid >= 16384",
     NULL},
    {"SELECT md5(string_agg(t, ',' ORDER BY t)) FROM ("
     " SELECT 'c ' || oid || ' ' || xmin AS t FROM pg_cast WHERE oid >= 16384"
     " UNION ALL SELECT 'o ' || oid || ' ' || xmin FROM pg_operator WHERE oid >= 16384"
     " UNION ALL SELECT 'l ' || oid || ' ' || xmin FROM pg_collation WHERE oid >= 16384"
     " UNION ALL SELECT 't ' || oid || ' ' || xmin FROM pg_ts_config"
     " UNION ALL SELECT 'd ' || oid || ' ' || xmin FROM pg_ts_dict"
     " UNION ALL SELECT 'm ' || mapcfg || ' ' || maptokentype || ' ' || xmin FROM pg_ts_config_map"
     " UNION ALL SELECT 'x ' || oid || ' ' || xmin FROM pg_extension) AS s",
     NULL},
};

const struct load_step *load_step(unsigned i)
{
    return i < sizeof steps / sizeof steps[0] ? &steps[i] : NULL;
}
