/* The hash table under growth, removal and walking. */
#include "unit.h"

#include <stdio.h>

#include "base/hmap.h"
#include "base/siphash.h"

struct item {
    struct hlink link;
    char name[16];
};

TEST(every_inserted_key_is_found_until_removed)
{
    static struct item items[500];
    struct hmap m = {0};
    for (int i = 0; i < 500; i++) {
        (void)snprintf(items[i].name, sizeof items[i].name, "key%d", i);
        hmap_insert(&m, &items[i].link, bytes_str(items[i].name));
    }
    for (int i = 0; i < 500; i += 2) { hmap_remove(&m, &items[i].link); }
    for (int i = 0; i < 500; i++) {
        struct hlink *found = hmap_find(&m, bytes_str(items[i].name));
        CHECK(found == (i % 2 == 0 ? NULL : &items[i].link));
    }
    CHECK(m.count == 250);
    hmap_done(&m);
}

TEST(a_walk_visits_each_once_and_may_remove)
{
    static struct item items[100];
    struct hmap m = {0};
    for (int i = 0; i < 100; i++) {
        (void)snprintf(items[i].name, sizeof items[i].name, "%d", i);
        hmap_insert(&m, &items[i].link, bytes_str(items[i].name));
    }
    int seen = 0;
    hmap_each (link, &m) {
        hmap_remove(&m, link);
        seen++;
    }
    CHECK(seen == 100);
    CHECK(m.count == 0);
    hmap_done(&m);
}

TEST(siphash_matches_its_published_vector)
{
    /* "SipHash: a fast short-input PRF", appendix A: key 00..0f, input 00..0e. */
    struct sipkey key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    uint8_t in[15];
    for (int i = 0; i < 15; i++) { in[i] = (uint8_t)i; }
    CHECK(siphash(key, bytes_of(in, 15)) == 0xa129ca6149be45e5ULL);
}

TEST(siphash_with_fewer_rounds_matches_what_others_compute)
{
    /* SipHash-1-3 of nothing, with the same key: the vector that other implementations test. */
    struct sipkey key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    CHECK(siphash_fast(key, bytes_of("", 0)) == 0xabac0158050fc4dcULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_inserted_key_is_found_until_removed),
        RUN(a_walk_visits_each_once_and_may_remove),
        RUN(siphash_matches_its_published_vector),
        RUN(siphash_with_fewer_rounds_matches_what_others_compute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
