/* Hostile nesting is refused before it can overflow a stack; ordinary long texts are not. */
#include "unit.h"

#include <pthread.h>

#include "query/told.h"

enum { TEXT_BYTES = 64 * 1024, STACK_BYTES = 16 * 1024 * 1024 };

static struct buf sql;
static struct statement *parsed;

static void *parse_here(void *unused)
{
    (void)unused;
    parsed = query_parse(buf_view(&sql), TEXT_BYTES);
    return NULL;
}

/* prefix, unit as often as 64 kB allow or `most` says, middle, end as often; on a worker's stack.
 */
static enum stmt_kind kind_of(const char *prefix, const char *unit, const char *middle,
                              const char *end, size_t most)
{
    size_t fixed = strlen(prefix) + strlen(middle), each = strlen(unit) + strlen(end);
    size_t count = (TEXT_BYTES - fixed) / each;
    if (count > most) { count = most; }
    buf_clear(&sql);
    buf_printf(&sql, "%s", prefix);
    for (size_t i = 0; i < count; i++) { buf_printf(&sql, "%s", unit); }
    buf_printf(&sql, "%s", middle);
    for (size_t i = 0; i < count; i++) { buf_printf(&sql, "%s", end); }

    pthread_attr_t attr;
    pthread_t thread;
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    CHECK(pthread_create(&thread, &attr, parse_here, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)pthread_attr_destroy(&attr);
    enum stmt_kind kind = parsed->kind;
    statement_unref(&parsed);
    return kind;
}

static const struct nest {
    const char *prefix, *unit, *middle, *end;
} nests[] = {
    {"select ", "not ", "true", ""},
    {"select ", "- ", "a", ""},
    {"select ", "@", "a", ""},
    {"select ", "+ @ ", "a", ""},
    {"select 1", "+1", "", ""},
    {"select a", " is null", "", ""},
    {"select a", "::int", "", ""},
    {"select a", " collate c", "", ""},
    {"select a", " at time zone 'utc'", "", ""},
    {"select ", "array[", "1", "]"},
    {"select ", "(", "1", ")"},
    {"", "(", "select 1", ")"},
    {"select ", "f(", "1", ")"},
    {"select ", "f(1,", "1", ")"},
    {"select ", "row(1,", "1", ")"},
    {"", "select(", "select 1", ")"},
    {"", "values((", "select 1", "))"},
    {"select ", "exists(select ", "1", ")"},
    {"select ", "case when ", "a", " then 1 end"},
    {"select ", "case when a.end and - - - ", "a", " then 1 end"},
    {"select ", "case a when b then c else ", "a", " end"},
    {"select ", "case when b and c then f(1, 2) else - - - ", "a", " end"},
    {"select a", " between 1 and not a", "", ""},
    {"select a", " between 1 and not not not not a", "", ""},
    {"select 1", " union select 1", "", ""},
    {"select 1, 2", " union select 1, 2", "", ""},
    {"", "(select 1, 2 union ", "select 1, 2", ")"},
    {"select 1 from t", " join t on a and b", "", ""},
    {"select 1 from ", "t join ", "t", " on a and b"},
    {"select 1 from ", "(", "t cross join t", " cross join t)"},
    {"select ", "(((((", "1", "+1)+1)+1)+1)+1)"},
    {"select ", "(", "1", "+1+1+1+1+1+1+1+1+1+1+1+1+1)"},
    {"select ", "f(1,2,3,", "1", ")+1+1+1+1+1+1+1+1"},
    {"select * from ", "(select 1, 2 from ", "t", ") x"},
    {"", "with x as (", "select 1", ") select 1"},
    {"", "explain ", "select 1", ""},
    {"select a", "[1", "", "]"},
    {"select 1 where a in (", "select 1 where a in (", "1", ")"},
    {"select ", "cast(", "1", " as int)"},
    {"select ", "\"not\" + not ", "a", ""},
    {"select ", "$1||$1 not like ", "a", ""},
    {"select ", "(select 1 order by a and ", "1", ", 2)"},
    {"select ", "case when a and ", "1", " then 1 end"},
};

TEST(no_nesting_in_64_kilobytes_overflows_a_stack)
{
    for (size_t i = 0; i < sizeof nests / sizeof nests[0]; i++) {
        const struct nest *n = &nests[i];
        /* Near the limit, where the parser is let in, and as deep as the text can be. */
        for (size_t most = 50; most < TEXT_BYTES; most *= 2) {
            (void)kind_of(n->prefix, n->unit, n->middle, n->end, most);
        }
        (void)kind_of(n->prefix, n->unit, n->middle, n->end, TEXT_BYTES);
    }
}

TEST(what_is_too_deep_is_not_known)
{
    CHECK(kind_of("select 1", "+1", "", "", 5000) == STMT_UNKNOWN);
    CHECK(kind_of("select ", "case when a.end then ", "1", " end", 1000) == STMT_UNKNOWN);
    CHECK(kind_of("select ", "(", "1", "+1+1+1+1+1+1+1+1)", 500) == STMT_UNKNOWN);
}

TEST(long_but_flat_texts_are_parsed)
{
    CHECK(kind_of("insert into t values (0, 'x')", ", (1, 'a''b')", "", "", 5000) == STMT_MODIFY);
    CHECK(kind_of("select * from t where a in (0", ", 1", "", "", 20000) == STMT_UNKNOWN);
    CHECK(kind_of("select * from t where a in (0", ", 1", ")", "", 20000) == STMT_SELECT);
    CHECK(kind_of("select * from t where a = 1", " or a = 1 and b > 2", "", "", 3000) ==
          STMT_SELECT);
    CHECK(kind_of("select 1", "; select 1", "", "", 5000) == STMT_MULTI);
    CHECK(kind_of("select '", "((((( not not ", "'", "", 4000) == STMT_SELECT);
    CHECK(kind_of("select 1 /*", "((((( not not ", "*/", "", 4000) == STMT_SELECT);
}

TEST(ordinary_depth_is_parsed)
{
    CHECK(kind_of("select ", "(", "1", ")", 300) == STMT_SELECT);
    CHECK(kind_of("select ", "f(", "1", ")", 200) == STMT_SELECT);
    CHECK(kind_of("select a", " || a", "", "", 700) == STMT_SELECT);
    CHECK(kind_of("select 1", " union all select a, b from t where c = 1", "", "", 80) ==
          STMT_SELECT);
}

static int forget(void **state)
{
    (void)state;
    buf_done(&sql);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(no_nesting_in_64_kilobytes_overflows_a_stack),
        RUN(what_is_too_deep_is_not_known),
        RUN(long_but_flat_texts_are_parsed),
        RUN(ordinary_depth_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
