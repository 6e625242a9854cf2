/* What the memo keeps, shares and forgets. */
#include "unit.h"

#include <stdlib.h>

#include "base/buf.h"
#include "query/memo.h"

static unsigned judgements_freed;

static void free_judgement(void *judgement)
{
    judgements_freed++;
    free(judgement);
}

static struct memo *small(size_t entries)
{
    judgements_freed = 0;
    return memo_new(entries, 1 << 20, 1 << 16, free_judgement);
}

TEST(a_text_is_parsed_once)
{
    struct memo *m = small(10);
    struct memo_entry *a = memo_find(m, BYTES("set x to 1"));
    CHECK(a->statement->kind == STMT_SET && a->shape == 0);
    CHECK(memo_find(m, BYTES("set x to 1")) == a);
    CHECK(memo_stats(m).parses == 1 && memo_stats(m).text_hits == 1);
    memo_free(&m);
    CHECK(m == NULL);
}

TEST(texts_that_differ_in_literals_share_an_entry)
{
    struct memo *m = small(10);
    struct memo_entry *a = memo_find(m, BYTES("select * from t where id = 1"));
    CHECK(a->shape != 0);
    CHECK(memo_find(m, BYTES("select * from t where id = 2")) == a);
    CHECK(memo_find(m, BYTES("select * from u where id = 2")) != a);
    CHECK(memo_stats(m).parses == 2 && memo_stats(m).shape_hits == 1);
    memo_free(&m);
}

TEST(a_repeated_text_is_found_by_text_even_when_it_has_a_shape)
{
    struct memo *m = small(10);
    for (int i = 0; i < 5; i++) { (void)memo_find(m, BYTES("select * from t where id = $1")); }
    struct memo_stats s = memo_stats(m);
    CHECK(s.parses == 1 && s.shape_hits == 1 && s.text_hits == 3 && s.entries == 2);
    memo_free(&m);
}

TEST(a_stream_of_literals_does_not_fill_the_memo)
{
    struct memo *m = small(100);
    struct buf sql = {0};
    for (int i = 0; i < 5000; i++) {
        buf_clear(&sql);
        buf_printf(&sql, "select %d from t", i);
        (void)memo_find(m, buf_view(&sql));
    }
    CHECK(memo_stats(m).parses == 1 && memo_stats(m).entries == 1);
    buf_done(&sql);
    memo_free(&m);
}

TEST(the_least_recently_used_is_forgotten)
{
    struct memo *m = small(2);
    (void)memo_find(m, BYTES("set a to 1"));
    (void)memo_find(m, BYTES("set b to 1"));
    (void)memo_find(m, BYTES("set a to 1"));
    (void)memo_find(m, BYTES("set c to 1"));
    CHECK(memo_stats(m).entries == 2 && memo_stats(m).evictions == 1);
    (void)memo_find(m, BYTES("set a to 1"));
    CHECK(memo_stats(m).parses == 3);
    (void)memo_find(m, BYTES("set b to 1"));
    CHECK(memo_stats(m).parses == 4);
    memo_free(&m);
}

TEST(bytes_are_bounded)
{
    struct memo *m = memo_new(1000, 20000, 1 << 16, NULL);
    struct buf sql = {0};
    for (int i = 0; i < 100; i++) {
        buf_clear(&sql);
        buf_printf(&sql, "set a to '%01000d'", i);
        (void)memo_find(m, buf_view(&sql));
        CHECK(memo_stats(m).bytes <= 20000);
    }
    CHECK(memo_stats(m).entries >= 5 && memo_stats(m).entries < 20);
    buf_done(&sql);
    memo_free(&m);
}

TEST(an_entry_that_does_not_fit_is_still_answered)
{
    struct memo *m = memo_new(10, 10, 1 << 16, NULL);
    struct memo_entry *e = memo_find(m, BYTES("select * from t"));
    CHECK(e->statement->kind == STMT_SELECT && e->statement->reads_count == 1);
    CHECK(memo_stats(m).entries == 0 && memo_stats(m).bytes == 0);
    memo_free(&m);
}

TEST(a_held_entry_outlives_the_memo)
{
    struct memo *m = small(1);
    struct memo_entry *held = memo_hold(memo_find(m, BYTES("select * from t")));
    held->judgement = calloc(1, 8);
    (void)memo_find(m, BYTES("select * from u"));
    (void)memo_find(m, BYTES("select * from v"));
    memo_free(&m);
    CHECK(judgements_freed == 0);
    CHECK_STR(held->statement->reads[0].name, "t");
    memo_drop(&held);
    CHECK(held == NULL && judgements_freed == 1);
    memo_drop(&held);
}

TEST(a_forgotten_entry_frees_its_judgement)
{
    struct memo *m = small(1);
    memo_find(m, BYTES("set a to 1"))->judgement = calloc(1, 8);
    (void)memo_find(m, BYTES("set b to 1"));
    CHECK(judgements_freed == 1);
    memo_free(&m);
    CHECK(judgements_freed == 1);
}

TEST(too_long_a_text_is_unknown_and_not_kept)
{
    struct memo *m = memo_new(10, 1 << 20, 10, NULL);
    struct memo_entry *e = memo_find(m, BYTES("select 1, 2"));
    CHECK(e->statement->kind == STMT_UNKNOWN);
    CHECK(memo_find(m, BYTES("select 123456")) == e);
    CHECK(memo_stats(m).entries == 0 && memo_stats(m).parses == 0);
    memo_free(&m);
}

TEST(an_empty_text_is_kept_like_others)
{
    struct memo *m = small(10);
    CHECK(memo_find(m, (struct bytes){0})->statement->kind == STMT_EMPTY);
    CHECK(memo_find(m, (struct bytes){0})->statement->kind == STMT_EMPTY);
    CHECK(memo_stats(m).parses == 1);
    memo_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_text_is_parsed_once),
        RUN(texts_that_differ_in_literals_share_an_entry),
        RUN(a_repeated_text_is_found_by_text_even_when_it_has_a_shape),
        RUN(a_stream_of_literals_does_not_fill_the_memo),
        RUN(the_least_recently_used_is_forgotten),
        RUN(bytes_are_bounded),
        RUN(an_entry_that_does_not_fit_is_still_answered),
        RUN(a_held_entry_outlives_the_memo),
        RUN(a_forgotten_entry_frees_its_judgement),
        RUN(too_long_a_text_is_unknown_and_not_kept),
        RUN(an_empty_text_is_kept_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
