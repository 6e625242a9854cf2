/* Counters: what moves, what stays, and what happens when there are too many. */
#include "unit.h"

#include "cache/versions.h"

TEST(a_bump_moves_its_own_relation_only)
{
    struct versions *v = versions_new();
    const uint32_t rels[] = {16384, 16385};
    uint64_t before[3], after[3];
    versions_read(v, 1, rels, 2, before);
    versions_bump(v, 1, 16385);
    versions_read(v, 1, rels, 2, after);
    CHECK(after[0] == before[0]);
    CHECK(after[1] == before[1]);
    CHECK(after[2] != before[2]);
    versions_free(&v);
}

TEST(databases_do_not_share_counters)
{
    struct versions *v = versions_new();
    const uint32_t rel = 16384;
    uint64_t before[2], after[2];
    versions_read(v, 1, &rel, 1, before);
    versions_bump(v, 2, rel);
    versions_bump(v, 2, 0);
    versions_read(v, 1, &rel, 1, after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    versions_free(&v);
}

TEST(a_bump_of_everything_moves_the_database_counter)
{
    struct versions *v = versions_new();
    uint64_t before, after;
    versions_read(v, 0, NULL, 0, &before); /* database 0, relation 0: the one key that is zero */
    versions_bump(v, 0, 0);
    versions_read(v, 0, NULL, 0, &after);
    CHECK(before != after);
    versions_free(&v);
}

TEST(two_processes_do_not_start_at_the_same_value)
{
    struct versions *a = versions_new(), *b = versions_new();
    uint64_t left, right;
    versions_read(a, 1, NULL, 0, &left);
    versions_read(b, 1, NULL, 0, &right);
    CHECK(left != right);
    versions_free(&a);
    versions_free(&b);
}

TEST(more_relations_than_slots_still_see_every_bump)
{
    struct versions *v = versions_new();
    enum { MANY = 40000 };
    for (uint32_t rel = 1; rel <= MANY; rel++) {
        uint64_t seen[2];
        versions_read(v, 9, &rel, 1, seen);
    }
    for (uint32_t rel = 1; rel <= MANY; rel += 97) {
        uint64_t before[2], after[2];
        versions_read(v, 9, &rel, 1, before);
        versions_bump(v, 9, rel);
        versions_read(v, 9, &rel, 1, after);
        CHECK(before[1] != after[1]);
    }
    versions_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_bump_moves_its_own_relation_only),
        RUN(databases_do_not_share_counters),
        RUN(a_bump_of_everything_moves_the_database_counter),
        RUN(two_processes_do_not_start_at_the_same_value),
        RUN(more_relations_than_slots_still_see_every_bump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
