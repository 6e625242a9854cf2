/* When each relation was last written: never forgotten, at worst too late. */
#include "unit.h"

#include "route/recency.h"

TEST(a_relation_never_written_has_no_time)
{
    struct recency *r = recency_new();
    uint32_t relations[] = {16400};
    CHECK(recency_last(r, relations, 1) == 0);
    CHECK(recency_last(r, NULL, 0) == 0);
    recency_free(&r);
    CHECK(r == NULL);
}

TEST(the_latest_write_to_any_of_the_relations_counts)
{
    struct recency *r = recency_new();
    uint32_t a[] = {16400}, b[] = {16401}, both[] = {16401, 16400}, other[] = {16402};
    recency_note(r, false, a, 1, 100);
    recency_note(r, false, b, 1, 250);
    CHECK(recency_last(r, a, 1) == 100);
    CHECK(recency_last(r, both, 2) == 250);
    CHECK(recency_last(r, other, 1) == 0);
    CHECK(recency_last(r, NULL, 0) == 250);
    recency_free(&r);
}

TEST(a_write_of_unknown_extent_counts_for_every_relation)
{
    struct recency *r = recency_new();
    uint32_t a[] = {16400};
    recency_note(r, true, NULL, 0, 300);
    CHECK(recency_last(r, a, 1) == 300);
    CHECK(recency_last(r, NULL, 0) == 300);
    recency_free(&r);
}

TEST(an_older_note_that_comes_late_does_not_turn_time_back)
{
    struct recency *r = recency_new();
    uint32_t a[] = {16400};
    recency_note(r, false, a, 1, 500);
    recency_note(r, false, a, 1, 400);
    CHECK(recency_last(r, a, 1) == 500);
    recency_note(r, true, a, 1, 450);
    CHECK(recency_last(r, a, 1) == 500);
    recency_free(&r);
}

TEST(every_relation_finds_its_slot)
{
    struct recency *r = recency_new();
    for (uint32_t oid = 1; oid != 0; oid = oid < 0x80000000U ? oid * 2 : 0) {
        recency_note(r, false, &oid, 1, oid);
        CHECK(recency_last(r, &oid, 1) >= (int64_t)oid);
    }
    uint32_t top = UINT32_MAX;
    recency_note(r, false, &top, 1, INT64_MAX);
    CHECK(recency_last(r, &top, 1) == INT64_MAX);
    recency_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_relation_never_written_has_no_time),
        RUN(the_latest_write_to_any_of_the_relations_counts),
        RUN(a_write_of_unknown_extent_counts_for_every_relation),
        RUN(an_older_note_that_comes_late_does_not_turn_time_back),
        RUN(every_relation_finds_its_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
