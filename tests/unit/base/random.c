/* Bytes for keys: never the same ones twice. */
#include "unit.h"

#include "base/random.h"

TEST(every_byte_is_filled)
{
    uint8_t seen[1000] = {0}, bytes[1000];
    for (int i = 0; i < 20; i++) {
        random_fill(bytes, sizeof bytes);
        for (size_t k = 0; k < sizeof bytes; k++) { seen[k] |= bytes[k]; }
    }
    CHECK(memchr(seen, 0, sizeof seen) == NULL);
}

TEST(a_pool_gives_nothing_twice)
{
    struct random_pool pool = {0};
    uint8_t keys[100][36];
    for (size_t i = 0; i < 100; i++) {
        random_take(&pool, keys[i], sizeof keys[i]);
        for (size_t k = 0; k < i; k++) { CHECK(memcmp(keys[k], keys[i], 36) != 0); }
    }
}

TEST(what_a_pool_gave_is_wiped)
{
    static const uint8_t none[8];
    struct random_pool pool = {0};
    uint8_t key[8];
    random_take(&pool, key, sizeof key);
    CHECK(memcmp(pool.bytes + pool.left, none, sizeof none) == 0 &&
          memcmp(key, none, sizeof none) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_byte_is_filled),
        RUN(a_pool_gives_nothing_twice),
        RUN(what_a_pool_gave_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
