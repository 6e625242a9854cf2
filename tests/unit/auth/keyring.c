/* The keyring: keeps under an id, replaces, drops the oldest, forgets. */
#include "unit.h"

#include "auth/keyring.h"

static void id_of(unsigned n, uint8_t ret[KEYRING_ID])
{
    const struct bytes part = bytes_of(&n, sizeof n);
    keyring_id("test", &part, 1, ret);
}

static void keep(unsigned n, uint8_t first)
{
    uint8_t id[KEYRING_ID], data[KEYRING_DATA] = {first};
    id_of(n, id);
    keyring_keep(id, data);
}

/* The first byte of what is kept, or -1. */
static int find(unsigned n)
{
    uint8_t id[KEYRING_ID], data[KEYRING_DATA];
    id_of(n, id);
    return keyring_find(id, data) ? data[0] : -1;
}

TEST(what_is_kept_is_found_and_nothing_else)
{
    CHECK(find(1) == -1);
    keep(1, 7);
    CHECK(find(1) == 7 && find(2) == -1);
    keep(1, 8);
    CHECK(find(1) == 8);
    keyring_forget();
    CHECK(find(1) == -1);
}

TEST(the_oldest_goes_when_there_are_too_many)
{
    for (unsigned i = 0; i < KEYRING_MOST; i++) { keep(i, 1); }
    CHECK(find(0) == 1);
    keep(0, 2); /* young again */
    keep(KEYRING_MOST, 1);
    CHECK(find(0) == 2 && find(1) == -1 && find(2) == 1 && find(KEYRING_MOST) == 1);
    keyring_forget();
}

TEST(ids_depend_on_purpose_and_on_where_parts_end)
{
    uint8_t a[KEYRING_ID], b[KEYRING_ID];
    const struct bytes ab_c[] = {BYTES("ab"), BYTES("c")}, a_bc[] = {BYTES("a"), BYTES("bc")};
    keyring_id("p", ab_c, 2, a);
    keyring_id("p", ab_c, 2, b);
    CHECK(memcmp(a, b, sizeof a) == 0);
    keyring_id("p", a_bc, 2, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    keyring_id("q", ab_c, 2, b);
    CHECK(memcmp(a, b, sizeof a) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_kept_is_found_and_nothing_else),
        RUN(the_oldest_goes_when_there_are_too_many),
        RUN(ids_depend_on_purpose_and_on_where_parts_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
