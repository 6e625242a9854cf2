/* What texts of SQL are found to be. */
#include "unit.h"

#include <pthread.h>

#include "query/told.h"

static void check_told(const char *sql, const char *expected)
{
    char *told = tell_text(bytes_str(sql));
    if (strcmp(told, expected) != 0) { print_error("%s\n", sql); }
    CHECK_STR(told, expected);
    free(told);
}

static void check_has(const char *sql, const char *part)
{
    char *told = tell_text(bytes_str(sql));
    if (strstr(told, part) == NULL) {
        print_error("%s\n gave: %s\n without: %s\n", sql, told, part);
        fail();
    }
    free(told);
}

static void check_lacks(const char *sql, const char *part)
{
    char *told = tell_text(bytes_str(sql));
    if (strstr(told, part) != NULL) {
        print_error("%s\n gave: %s\n with: %s\n", sql, told, part);
        fail();
    }
    free(told);
}

TEST(a_plain_select_only_reads)
{
    check_told("SELECT * FROM Modules m JOIN app.menus USING (id)",
               "SELECT reads_only fusible reads:modules reads:app.menus");
    check_told("values (1)", "SELECT reads_only fusible");
    check_told("table x;", "SELECT reads_only fusible reads:x");
    check_told("select $1::int", "SELECT reads_only fusible params");
}

TEST(relations_are_found_wherever_they_hide)
{
    check_told("select (select 1 from a where exists (select 1 from b)), array(select 1 from c)"
               " from (select * from d) x, lateral (select * from e) y"
               " where z in (select 1 from f) group by (select 1 from g)"
               " having (select true from h) order by (select 1 from i) limit (select 1 from j)",
               "SELECT reads_only fusible reads:a reads:b reads:c reads:d reads:e reads:f reads:g"
               " reads:h reads:i reads:j");
    check_told("select 1 from a union select 1 from b except (table c intersect table d)",
               "SELECT reads_only fusible reads:a reads:b reads:c reads:d");
    check_told(
        "select case when exists(table a) then (select 1 from b) end, row((select 1 from c)),"
        " x[(select 1 from d)], coalesce((select 1 from e)), f(x => (select 1 from g)),"
        " sum(a) filter (where exists(table h)) over (partition by (select 1 from i))",
        "SELECT reads_only fusible reads:a reads:b reads:c reads:d reads:e reads:g reads:h"
        " reads:i calls:f calls:sum");
    check_told("select * from rows from (f((select 1 from a))), xmltable('x' passing (table b)"
               " columns c int default (select 1 from d))",
               "SELECT reads_only fusible reads:a reads:b reads:d calls:f");
}

TEST(a_with_name_hides_a_table_only_where_it_is_visible)
{
    check_told("with t as (select 1) select * from t", "SELECT reads_only fusible");
    check_told("with t as (select * from t) select * from t", "SELECT reads_only fusible reads:t");
    check_told("with recursive t as (select * from t) select * from t",
               "SELECT reads_only fusible");
    check_told("with a as (select * from b), b as (select * from a) select * from b",
               "SELECT reads_only fusible reads:b");
    check_told("select * from t, (with t as (select 1) select * from t) x",
               "SELECT reads_only fusible reads:t");
    check_told("(with t as (select 1) select * from t) union select * from t",
               "SELECT reads_only fusible reads:t");
    check_told("with t as (select 1) select * from t union select * from t",
               "SELECT reads_only fusible");
    check_told("with t as (select 1) select * from public.t",
               "SELECT reads_only fusible reads:public.t");
    check_told("with t as (select 1) select (with u as (table t) select 1 from t, u, v)",
               "SELECT reads_only fusible reads:v");
    check_told("with t as (select 1) insert into t select * from t", "MODIFY fusible writes:t");
}

TEST(a_statement_that_modifies_names_its_target)
{
    check_told("insert into a.t select * from b returning (select 1 from c)",
               "MODIFY fusible returning reads:b reads:c writes:a.t");
    check_told("insert into t values ($1) on conflict (id) do update set x = (select 1 from u)",
               "MODIFY fusible params reads:u writes:t");
    check_told("update t set a = f() from b where c in (table d)",
               "MODIFY fusible reads:d reads:b writes:t calls:f");
    check_told("delete from t using b where t.id = b.id", "MODIFY fusible reads:b writes:t");
    check_told("merge into t using b on t.id = b.id when matched then delete",
               "MODIFY fusible reads:b writes:t");
}

TEST(a_select_that_writes_or_locks_does_not_only_read)
{
    check_told("with x as (delete from t returning *) select * from x", "SELECT fusible writes:t");
    check_told("select * from (select 1) q where exists"
               " (with x as (insert into t values (1) returning *) select 1 from x)",
               "SELECT fusible writes:t");
    check_told("select * from a, b for update of b skip locked",
               "SELECT locks_rows fusible reads:a reads:b");
    check_told("select * from (select * from a for share) x", "SELECT locks_rows fusible reads:a");
    check_told("select * into n from a", "SELECT writes_all fusible reads:a writes:n");
    check_told("select 1 into temp n", "SELECT writes_all fusible TEMP writes:n");
}

TEST(what_depends_on_the_moment_or_the_user_is_flagged)
{
    check_has("select current_date", " time");
    check_has("select localtimestamp(2)", " time");
    check_has("select current_user", " user");
    check_has("select current_schema", " user");
    check_has("select system_user", " user");
    check_has("select 'now'::timestamp", " moving");
    check_has("select ' TODAY '", " moving");
    check_has("select date '10:00 tomorrow'", " moving");
    check_has("select E'\\x6eow'::timestamp", " moving");
    check_lacks("select 'nowhere', 'knows', 'yesterdays'", " moving");
    check_has("select ctid from t", " system_column");
    check_has("select t.xmin from t", " system_column");
    check_has("select * from t tablesample system (1)", " sample");
    check_has("select * from t limit 1", " unordered");
    check_has("select (select 1 from t offset 1) from u order by 1 limit 2", " unordered");
    check_lacks("select * from t order by 1 limit 1", " unordered");
    check_has("select 't'::regclass", " reg");
    check_has("select cast(x as pg_catalog.regproc[])", " reg");
    check_has("select regtype('int')", " reg");
    check_lacks("select regexp_replace('a', 'b', 'c')", " reg");
    check_has("select '\\'", " backslash");
}

TEST(a_cast_to_a_time_is_proven_harmless_or_names_its_column)
{
    check_lacks("select 'x'::date, $1::timestamptz, (date '2026-01-01' + 1)::timestamp", " moving");
    check_lacks("select date_trunc('day', a)::date, timezone('UTC', a)::time from t", " moving");
    check_lacks("select a::text, a::uuid, a::pg_catalog.int4, a::interval from t", " casts");
    check_has("select a::date from t", " casts:a");
    check_has("select date(a) from t", " casts:a");
    check_has("select a::text::date from t", " casts:a");
    check_has("select (t.a + '1 day'::interval)::date from t", " casts:a");
    check_has("select max(a)::date from t", " casts:a");
    check_has("select cast(coalesce(t.a, nullif(b, c), greatest(d)) as date) from t",
              " casts:a casts:b casts:c casts:d");
    check_has("select a::status from t", " casts:a");
    check_has("select a::app.text from t", " casts:a");
    check_has("select ('n' || 'ow')::timestamptz", " moving");
    check_has("select (j->>'at')::timestamptz from t", " moving");
    check_has("select upper(a)::date from t", " moving");
    check_has("select (select a from t)::date", " moving");
    check_has("select * from xmltable('/a' passing x columns b date)", " moving");
    check_has("select * from json_to_record(x) as r(b date)", " moving");
    check_lacks("select * from json_to_record(x) as r(b text)", " moving");
}

TEST(a_cast_column_that_has_its_name_from_the_text_is_doubtful)
{
    check_has("select a::date from (select v as a from t) s", " moving");
    check_has("select a::date from (select v from t) s(a)", " moving");
    check_has("select a::date from t as u(a)", " moving");
    check_has("with x(a) as (select v from t) select a::date from x", " moving");
    check_has("with x as (select v as a from t) select a::date from x", " moving");
    check_has("select value::date from json_each_text($1)", " moving");
    check_lacks("select a::date as a from t", " moving");
    check_lacks("select a::date from (select a, b as c from t) s", " moving");
}

TEST(functions_are_listed_and_some_keep_the_server)
{
    check_told("select count(*), pg_catalog.upper(a), app.f(1) from t",
               "SELECT reads_only fusible reads:t calls:count calls:pg_catalog.upper calls:app.f");
    check_has("select pg_try_advisory_lock_shared(1)", " ADVISORY");
    check_lacks("select pg_advisory_xact_lock(1)", " ADVISORY");
    check_lacks("select pg_advisory_unlock_all()", " ADVISORY");
    check_has("insert into t values (nextval('s'))", " SEQUENCE");
    check_has("select pg_catalog.setval('s', 1)", " SEQUENCE");
    check_has("select setseed(0.1)", " SEED");
    check_has("select extract(year from a)", "calls:pg_catalog.extract");
}

TEST(explain_reads_unless_it_runs_what_writes)
{
    check_told("explain select * from t", "EXPLAIN reads_only fusible reads:t");
    check_told("explain (analyze) select * from t", "EXPLAIN reads_only fusible reads:t");
    check_told("explain (analyze off, costs) delete from t", "EXPLAIN fusible reads:t");
    check_told("explain analyze delete from t", "EXPLAIN fusible writes:t");
    check_told("explain (analyze 0) select nextval('s')",
               "EXPLAIN reads_only fusible calls:nextval");
    check_told("explain (analyze false, analyze true) select nextval('s')",
               "EXPLAIN reads_only fusible SEQUENCE calls:nextval");
    check_told("explain analyze execute p", "EXPLAIN writes_all [execute p]");
    check_told("explain execute p", "EXPLAIN fusible [execute p]");
    check_told("explain analyze create table n as select * from t",
               "EXPLAIN writes_all reads:t writes:n");
}

TEST(copy_is_judged_by_its_direction_and_its_query)
{
    check_told("copy t to stdout", "COPY_TO reads_only fusible reads:t");
    check_told("copy (select * from t) to stdout", "COPY_TO reads_only fusible reads:t");
    check_told("copy (delete from t returning *) to stdout", "COPY_TO fusible writes:t");
    check_told("copy s.t (a) from stdin where f(a)", "COPY_FROM fusible writes:s.t calls:f");
    check_told("copy t to '/tmp/x'", "UTILITY fusible reads:t");
    check_told("copy t to program 'x'", "UTILITY fusible reads:t");
    check_told("copy t from '/tmp/x'", "UTILITY writes_all fusible writes:t");
}

TEST(transaction_control_is_told_apart)
{
    check_told("begin", "BEGIN");
    check_told("start transaction read only", "BEGIN read_only start");
    check_told("begin read only, read write", "BEGIN");
    check_told("begin isolation level serializable, read only", "BEGIN read_only options");
    check_told("begin not deferrable", "BEGIN options");
    check_told("end", "COMMIT");
    check_told("commit and chain", "COMMIT chain");
    check_told("abort", "ROLLBACK");
    check_told("rollback and no chain", "ROLLBACK");
    check_told("savepoint \"A b\"", "SAVEPOINT name'A b'");
    check_told("release s", "RELEASE name's'");
    check_told("rollback to s", "ROLLBACK_TO rolls_back_to name's'");
    check_told("prepare transaction 'g'", "PREPARE_TRANSACTION name'g'");
    check_told("commit prepared 'g'", "COMMIT_PREPARED writes_all name'g'");
    check_told("rollback prepared 'g'", "COMMIT_PREPARED writes_all name'g'");
}

TEST(statements_about_the_session_say_what_keeps_the_server)
{
    check_told("prepare p as select * from t", "PREPARE reads:t [prepare p] name'p'");
    check_told("prepare p as delete from t", "PREPARE body writes:t [prepare p] name'p'");
    check_told("prepare p as select set_config('a.b', $1, false)",
               "PREPARE params body SETTING calls:set_config {called a.b=$1} [prepare p] name'p'");
    check_told("execute p(f())", "EXECUTE writes_all calls:f [execute p] name'p'");
    check_told("deallocate p", "DEALLOCATE [deallocate p] name'p'");
    check_told("deallocate all", "DEALLOCATE forgets [forget]");
    check_has("select 1; deallocate all; select 2", "forgets");
    check_told("discard all", "DISCARD_ALL resets_all resets_last forgets [forget] name'all'");
    check_has("select lastval()", "own_sequence");
    check_has("select pg_catalog.currval($1)", "own_sequence");
    check_told("discard temp", "DISCARD frees name'temp'");
    check_has("drop view v", "frees");
    check_has("select 1; drop owned by current_user", "frees");
    check_has("select pg_advisory_unlock_shared($1)", "frees");
    check_has("with w as (select pg_catalog.pg_try_advisory_lock(1)) table w", "frees");
    check_told("listen c", "LISTEN on:c name'c'");
    check_told("unlisten \"C d\"", "UNLISTEN off:C d name'C d'");
    check_told("unlisten *", "UNLISTEN off:*");
    check_told("unlisten *; listen a; select 1; listen b", "MULTI off:* on:a on:b");
    check_told("notify c, 'x'", "NOTIFY notifies name'c'");
    check_has("select 1 from pg_catalog.pg_notify($1, $2)", "notifies");
    check_told("declare c cursor with hold for select * from t", "DECLARE HOLD reads:t name'c'");
    check_told("declare c cursor for select * from t for update",
               "DECLARE locks_rows reads:t name'c'");
    check_told("fetch all in c", "FETCH name'c'");
    check_told("close all", "FETCH frees");
    check_told("lock table a.t", "LOCK reads:a.t");
    check_told("load 'x'", "LOAD LOAD name'x'");
    check_told("do $$ begin end $$", "DO writes_all body UNKNOWN");
    check_told("call s.p(1)", "CALL writes_all UNKNOWN calls:s.p");
}

TEST(names_of_prepared_statements_come_in_order_and_with_their_places)
{
    check_has("prepare p as select 1; execute p; execute q; execute p; deallocate p;",
              "[prepare p of 21] [execute p at 22 of 10] [execute q at 33 of 10]"
              " [deallocate p at 55 of 13]");
    check_has(" discard all; prepare p as select 1", "[forget of 12] [prepare p at 13]");
    check_has("execute p; deallocate p; execute p",
              "[execute p of 9] [deallocate p at 10 of 13] [execute p at 24]");
    check_has("explain analyze create table n as execute p(1)", "[execute p]");
    check_has("select 1 from pg_prepared_statements", "lists_names");
    check_has("select pg_catalog.pg_prepared_statement()", "lists_names");
    check_lacks("select 1 from pg_prepared_xacts", "lists_names");
}

TEST(what_changes_the_catalog_may_write_anything)
{
    check_told("truncate a, s.b cascade", "DDL writes_all writes:a writes:s.b");
    check_told("refresh materialized view m", "DDL writes_all writes:m");
    check_told("create table n as select * from t", "DDL writes_all reads:t writes:n");
    check_told("create table n as execute p", "DDL writes_all writes:n [execute p]");
    check_told("create function f() returns int language sql as 'select 1'", "DDL writes_all body");
    check_has("grant select on t to u", "DDL writes_all");
    check_has("alter table t add c int", "DDL writes_all");
    check_has("create policy p on t using (x = (select 1 from u))", "reads:u");
    check_has("comment on table t is 'x'", "DDL writes_all");
    check_told("vacuum t", "UTILITY reads:t");
    check_told("reindex table t", "UTILITY writes_all reads:t");
}

TEST(temporary_objects_keep_the_server)
{
    check_told("create temp table x (a int) on commit drop",
               "DDL writes_all temp_drop TEMP reads:x");
    check_told("create temp table x (a int)", "DDL writes_all TEMP reads:x");
    check_has("create temp table x on commit drop as select 1", " temp_drop TEMP");
    check_has("create temporary view v as select 1", " TEMP");
    check_has("create table pg_temp.x (a int)", " TEMP");
    check_has("create function pg_temp.f() returns int language sql as 'select 1'", " TEMP");
    check_has("create type pg_temp_3.t as (a int)", " TEMP");
    check_has("set search_path to pg_temp, public", " TEMP");
    check_lacks("create temp table x (a int) on commit drop; create temp table y (a int)",
                "temp_drop");
    check_lacks("select 'pg_temp'", " TEMP");
}

TEST(several_statements_are_the_union_of_what_they_do)
{
    check_told("select * from a; select * from b", "MULTI reads_only fusible reads:a reads:b");
    check_told("select * from a; delete from b", "MULTI fusible reads:a writes:b");
    check_told("begin; select 1; commit", "MULTI transaction");
    check_told("set a.b = 1; select 1", "MULTI SETTING {a.b=1}");
    check_told("set local a.b = 1; select 1", "MULTI {local a.b=1}");
    check_told("select 1; reset all", "MULTI resets_all resets_last");
    check_told("discard all; select 1", "MULTI resets_all forgets SETTING [forget of 11]");
    check_told("reset all; reset all", "MULTI resets_all SETTING");
    check_told("; ; select 1 ; ;", "SELECT reads_only fusible");
}

TEST(nothing_is_told_apart_from_white_space_and_comments)
{
    check_told("", "EMPTY");
    check_told(" ; -- x\n /* y */", "EMPTY");
}

TEST(what_cannot_be_parsed_may_do_anything)
{
    struct statement *s = query_parse(BYTES("selec 1"), SIZE_MAX);
    CHECK(s->kind == STMT_UNKNOWN && s->count == 0);
    CHECK(s->flags == STMT_WRITES_ALL && s->pins == PIN_UNKNOWN);
    CHECK(bytes_equal(s->error, BYTES("syntax error at or near \"selec\"")));
    statement_unref(&s);
    CHECK(s == NULL);
    check_told("select 1; bogus", "UNKNOWN writes_all UNKNOWN");
}

TEST(a_zero_byte_or_too_long_a_text_is_not_parsed)
{
    struct statement *s = query_parse(BYTES("select 1\0; drop table x"), SIZE_MAX);
    CHECK(s->kind == STMT_UNKNOWN);
    statement_unref(&s);
    s = query_parse(BYTES("select 1"), 7);
    CHECK(s->kind == STMT_UNKNOWN);
    statement_unref(&s);
    s = query_parse(BYTES("select 1"), 8);
    CHECK(s->kind == STMT_SELECT);
    statement_unref(&s);
}

TEST(a_text_need_not_end_in_a_zero)
{
    struct statement *s = query_parse(bytes_of("select 1 from t; nonsense", 15), SIZE_MAX);
    CHECK(s->kind == STMT_SELECT && s->reads_count == 1);
    statement_unref(&s);
}

TEST(a_statement_lives_until_its_last_reference)
{
    struct statement *a = query_parse(BYTES("select * from t"), SIZE_MAX);
    struct statement *b = statement_ref(a);
    statement_unref(&a);
    CHECK_STR(b->reads[0].name, "t");
    statement_unref(&b);
}

TEST(too_many_with_names_are_not_searched)
{
    struct buf sql = {0};
    buf_put(&sql, "with a as (select 1)", 20);
    for (int i = 0; i < 300; i++) { buf_printf(&sql, ", a%d as (select 1)", i); }
    buf_printf(&sql, " select 1");
    struct statement *s = query_parse(buf_view(&sql), SIZE_MAX);
    CHECK(s->kind == STMT_UNKNOWN && s->pins == PIN_UNKNOWN);
    statement_unref(&s);
    buf_done(&sql);
}

static void *parse_many(void *failed)
{
    for (int i = 0; i < 200; i++) {
        char *good = tell_text(BYTES("select f(a) from t"));
        char *bad = tell_text(BYTES("select from from"));
        if (strcmp(good, "SELECT reads_only fusible reads:t calls:f") != 0 ||
            strcmp(bad, "UNKNOWN writes_all UNKNOWN") != 0) {
            *(int *)failed = 1;
        }
        free(good);
        free(bad);
    }
    return NULL;
}

TEST(threads_parse_at_the_same_time)
{
    pthread_t threads[4];
    int failed[4] = {0};
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, parse_many, &failed[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(failed[i] == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_plain_select_only_reads),
        RUN(relations_are_found_wherever_they_hide),
        RUN(a_with_name_hides_a_table_only_where_it_is_visible),
        RUN(a_statement_that_modifies_names_its_target),
        RUN(a_select_that_writes_or_locks_does_not_only_read),
        RUN(what_depends_on_the_moment_or_the_user_is_flagged),
        RUN(a_cast_to_a_time_is_proven_harmless_or_names_its_column),
        RUN(a_cast_column_that_has_its_name_from_the_text_is_doubtful),
        RUN(functions_are_listed_and_some_keep_the_server),
        RUN(explain_reads_unless_it_runs_what_writes),
        RUN(copy_is_judged_by_its_direction_and_its_query),
        RUN(transaction_control_is_told_apart),
        RUN(statements_about_the_session_say_what_keeps_the_server),
        RUN(what_changes_the_catalog_may_write_anything),
        RUN(names_of_prepared_statements_come_in_order_and_with_their_places),
        RUN(temporary_objects_keep_the_server),
        RUN(several_statements_are_the_union_of_what_they_do),
        RUN(nothing_is_told_apart_from_white_space_and_comments),
        RUN(what_cannot_be_parsed_may_do_anything),
        RUN(a_zero_byte_or_too_long_a_text_is_not_parsed),
        RUN(a_text_need_not_end_in_a_zero),
        RUN(a_statement_lives_until_its_last_reference),
        RUN(too_many_with_names_are_not_searched),
        RUN(threads_parse_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
