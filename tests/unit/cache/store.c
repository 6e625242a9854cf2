/* The store: its bound is exact, the oldest goes first, and nothing is served out of its time. */
#include "unit.h"

#include <stdio.h>

#include "base/hmap.h"
#include "cache/cache.h"
#include "cache/store.h"

static const uint64_t stamps[] = {7};

static struct claim claim(const char *key, int64_t asked_us)
{
    return (struct claim){.key = bytes_str(key),
                          .hash = hmap_hash(bytes_str(key)),
                          .stamps = stamps,
                          .stamps_count = 1,
                          .asked_us = asked_us,
                          .ttl_us = 1000};
}

static bool put(struct store *s, const struct claim *c, size_t len)
{
    struct cache_entry *e = entry_new(c, len);
    CHECK(e != NULL);
    memset(entry_result(e), 'x', len);
    return store_put(s, e);
}

static enum err look(struct store *s, const struct claim *c, int64_t now_us)
{
    struct cache_entry *e = NULL;
    enum err result = store_find(s, c, now_us, &e);
    CHECK((e != NULL) == (result == E_OK));
    cache_entry_unref(&e);
    return result;
}

TEST(the_bound_is_never_passed_and_the_oldest_goes_first)
{
    struct store *s = store_new(16384, 8192); /* one shard: the order of all is known */
    struct store_stats st;
    char key[16];
    for (int i = 0; i < 500; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        struct claim c = claim(key, 0);
        CHECK(put(s, &c, 100 + (size_t)i % 7));
        store_stats(s, &st);
        CHECK(st.bytes <= 16384 - 64 * sizeof(void *));
        struct claim first = claim("key0", 0);
        (void)look(s, &first, 0); /* in use: stays */
    }
    struct claim first = claim("key0", 0), second = claim("key1", 0), last = claim("key499", 0);
    CHECK(look(s, &first, 0) == E_OK);
    CHECK(look(s, &second, 0) == E_NOTFOUND);
    CHECK(look(s, &last, 0) == E_OK);
    store_stats(s, &st);
    CHECK(st.evictions + st.entries == 500);
    size_t one = entry_cost(0, 1, 6, 106);
    CHECK(st.bytes + one > 16384 - 64 * sizeof(void *)); /* full, not merely below */
    store_free(&s);
}

TEST(a_smaller_limit_holds_at_once)
{
    struct store *s = store_new(1 << 20, 1024);
    struct store_stats st;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof key, "key%d", i);
        struct claim c = claim(key, 0);
        (void)put(s, &c, 200);
    }
    store_limit(s, 65536);
    store_stats(s, &st);
    CHECK(st.bytes <= 65536);
    store_limit(s, 0);
    store_stats(s, &st);
    CHECK(st.bytes == 0 && st.entries == 0);
    store_free(&s);
}

TEST(an_entry_dies_with_its_ttl_and_not_before)
{
    struct store *s = store_new(1 << 20, 1024);
    struct store_stats st;
    struct claim c = claim("k", 5000);
    CHECK(put(s, &c, 10));
    CHECK(look(s, &c, 6000) == E_OK);
    CHECK(look(s, &c, 6001) == E_NOTFOUND);
    store_stats(s, &st);
    CHECK(st.expired == 1 && st.entries == 0);
    store_free(&s);
}

TEST(a_ttl_cut_by_a_reload_holds_for_stored_entries)
{
    struct store *s = store_new(1 << 20, 1024);
    struct claim c = claim("k", 0);
    CHECK(put(s, &c, 10));
    c.ttl_us = 10;
    CHECK(look(s, &c, 11) == E_NOTFOUND);
    store_free(&s);
}

TEST(other_versions_other_deps_and_other_rules_miss)
{
    struct store *s = store_new(1 << 20, 1024);
    static const uint64_t two[] = {7, 8}, moved[] = {9};
    static const uint32_t a = 1, b = 2;
    struct claim c = claim("k", 0);
    CHECK(put(s, &c, 10));
    struct claim other = c;
    other.stamps = moved;
    CHECK(look(s, &other, 0) == E_NOTFOUND);
    other = c;
    other.stamps_count = 0; /* a ttl rule does not take what a strict one stored */
    CHECK(look(s, &other, 0) == E_NOTFOUND);
    other = c;
    other.rules = 1;
    CHECK(look(s, &other, 0) == E_NOTFOUND);
    CHECK(look(s, &c, 0) == E_OK); /* none of them threw it out */
    c.stamps = other.stamps = two;
    c.stamps_count = other.stamps_count = 2;
    c.deps_count = other.deps_count = 1;
    c.deps = &a;
    other.deps = &b;
    other.rules = 0;
    CHECK(put(s, &c, 10));
    CHECK(look(s, &other, 0) == E_NOTFOUND);
    CHECK(look(s, &c, 0) == E_OK);
    store_free(&s);
}

TEST(equal_hashes_do_not_make_equal_keys)
{
    struct store *s = store_new(1 << 20, 1024);
    struct claim a = claim("one", 0), b = claim("two", 0);
    b.hash = a.hash;
    CHECK(put(s, &a, 10));
    CHECK(look(s, &b, 0) == E_NOTFOUND);
    CHECK(put(s, &b, 20));
    CHECK(look(s, &a, 0) == E_OK);
    CHECK(look(s, &b, 0) == E_OK);
    store_free(&s);
}

TEST(a_mark_refuses_until_its_time_and_an_entry_replaces_it)
{
    struct store *s = store_new(1 << 20, 1024);
    struct claim c = claim("k", 0);
    store_mark(s, &c, 300);
    CHECK(store_marked(s, &c, 299));
    CHECK(look(s, &c, 299) == E_REFUSED);
    CHECK(!store_marked(s, &c, 300));
    CHECK(look(s, &c, 300) == E_NOTFOUND);
    store_mark(s, &c, 900);
    CHECK(put(s, &c, 10));
    CHECK(look(s, &c, 301) == E_OK);
    store_free(&s);
}

TEST(what_is_larger_than_a_shard_is_not_kept)
{
    struct store *s = store_new(8192, 2048);
    struct store_stats st;
    struct claim c = claim("k", 0), small = claim("s", 0);
    CHECK(put(s, &small, 10));
    CHECK(!put(s, &c, 9000));
    store_stats(s, &st);
    CHECK(st.entries == 1); /* and pushes nobody out */
    store_free(&s);
}

TEST(an_evicted_entry_lives_while_it_is_held)
{
    struct store *s = store_new(8192, 2048);
    struct claim c = claim("k", 0);
    struct cache_entry *held = NULL;
    CHECK(put(s, &c, 10));
    CHECK(store_find(s, &c, 0, &held) == E_OK);
    store_free(&s);
    CHECK(bytes_equal(cache_entry_bytes(held), BYTES("xxxxxxxxxx")));
    cache_entry_unref(&held);
    CHECK(held == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(the_bound_is_never_passed_and_the_oldest_goes_first),
        RUN(a_smaller_limit_holds_at_once),
        RUN(an_entry_dies_with_its_ttl_and_not_before),
        RUN(a_ttl_cut_by_a_reload_holds_for_stored_entries),
        RUN(other_versions_other_deps_and_other_rules_miss),
        RUN(equal_hashes_do_not_make_equal_keys),
        RUN(a_mark_refuses_until_its_time_and_an_entry_replaces_it),
        RUN(what_is_larger_than_a_shard_is_not_kept),
        RUN(an_evicted_entry_lives_while_it_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
