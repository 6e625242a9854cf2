/* Seals: what was sealed comes back, and nothing that was touched does. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/answer.h"
#include "cache/cache.h"
#include "cache/seal.h"

static const uint64_t stamps[] = {11, 12};
static const uint32_t deps[] = {16384};

static struct seal *with_secret(const char *secret, mode_t mode, enum err expected)
{
    char path[] = "/tmp/pgusher-secret-XXXXXX";
    struct seal *s = NULL;
    struct fault why = {0};
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, secret, strlen(secret)) == (ssize_t)strlen(secret));
    CHECK(fchmod(fd, mode) == 0);
    CHECK(close(fd) == 0);
    CHECK(seal_open(path, &s, &why) == expected);
    CHECK((expected == E_OK) == (why.text[0] == '\0'));
    CHECK(unlink(path) == 0);
    return s;
}

#define SECRET "0123456789abcdef0123456789abcdef"

static struct claim claim(const struct seal *s)
{
    struct claim c = {.redis = true,
                      .database_id = 5,
                      .deps_count = 1,
                      .stamps_count = 2,
                      .deps = deps,
                      .stamps = stamps,
                      .asked_wall_us = 1000000,
                      .ttl_us = 500,
                      .epoch = "0123456789abcde"};
    seal_mac(s, 1, BYTES("key"), c.mac);
    return c;
}

static struct bytes sealed(const struct seal *s, const struct claim *c, struct bytes result,
                           uint8_t *out)
{
    uint8_t head[PLAIN_EXTRA];
    size_t len = plain_write(c, head);
    CHECK(seal_close_over(s, c->mac, bytes_of(head, len), result, out) == E_OK);
    return bytes_of(out, len + result.len + SEAL_OVERHEAD);
}

TEST(what_was_sealed_comes_back)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    uint8_t out[512];
    struct claim c = claim(s);
    struct cache_entry *e = NULL;
    struct bytes box = sealed(s, &c, BYTES("C\0\0\0\015SELECT 0"), out);
    CHECK(answer_entry(s, &c, box, 1000000, &e) == E_OK);
    CHECK(bytes_equal(cache_entry_bytes(e), BYTES("C\0\0\0\015SELECT 0")));
    CHECK(memmem(out, box.len, "SELECT", 6) == NULL);
    cache_entry_unref(&e);
    seal_free(&s);
}

TEST(every_flipped_bit_is_noticed)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    uint8_t out[512];
    struct claim c = claim(s);
    struct cache_entry *e = NULL;
    struct bytes box = sealed(s, &c, BYTES("result"), out);
    for (size_t i = 0; i < box.len * 8; i++) {
        out[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK(answer_entry(s, &c, box, 1000000, &e) == E_PROTOCOL);
        out[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    CHECK(answer_entry(s, &c, box, 1000000, &e) == E_OK);
    cache_entry_unref(&e);
    seal_free(&s);
}

TEST(every_shorter_or_longer_value_is_noticed)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    uint8_t out[512] = {0};
    struct claim c = claim(s);
    struct cache_entry *e = NULL;
    struct bytes box = sealed(s, &c, BYTES("result"), out);
    for (size_t len = 0; len <= box.len + 8; len++) {
        if (len == box.len) { continue; }
        CHECK(answer_entry(s, &c, bytes_of(out, len), 1000000, &e) == E_PROTOCOL);
    }
    seal_free(&s);
}

TEST(a_value_moved_to_another_key_fails)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    uint8_t out[512];
    struct claim c = claim(s), other = claim(s);
    struct cache_entry *e = NULL;
    struct bytes box = sealed(s, &c, BYTES("result"), out);
    seal_mac(s, 1, BYTES("kez"), other.mac);
    CHECK(answer_entry(s, &other, box, 1000000, &e) == E_PROTOCOL);
    seal_mac(s, 2, BYTES("key"), other.mac); /* the same question under other rules */
    CHECK(answer_entry(s, &other, box, 1000000, &e) == E_PROTOCOL);
    seal_free(&s);
}

TEST(another_secret_cannot_open_nor_find)
{
    struct seal *a = with_secret(SECRET, 0600, E_OK);
    struct seal *b = with_secret(SECRET "!", 0600, E_OK);
    uint8_t out[512];
    struct claim c = claim(a), d = claim(b);
    struct cache_entry *e = NULL;
    struct bytes box = sealed(a, &c, BYTES("result"), out);
    CHECK(answer_entry(b, &c, box, 1000000, &e) == E_PROTOCOL);
    CHECK(memcmp(c.mac, d.mac, MAC_BYTES) != 0);
    CHECK(strcmp(seal_tag(a), seal_tag(b)) != 0);
    seal_free(&a);
    seal_free(&b);
}

TEST(other_versions_epochs_databases_and_ages_are_stale)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    static const uint64_t moved[] = {11, 13};
    static const uint32_t other_rel[] = {16385};
    uint8_t out[512];
    struct claim c = claim(s), d;
    struct cache_entry *e = NULL;
    struct bytes box = sealed(s, &c, BYTES("result"), out);
#define STALE(change, at)                                                                          \
    d = c;                                                                                         \
    change;                                                                                        \
    CHECK(answer_entry(s, &d, box, (at), &e) == E_TIMEOUT)
    STALE(d.stamps = moved, 1000000);
    STALE(d.deps = other_rel, 1000000);
    STALE(d.epoch[15] ^= 1, 1000000);
    STALE(d.database_id = 6, 1000000);
    STALE(d.stamps_count = 0; d.deps_count = 0, 1000000);
    STALE(d.ttl_us = 100, 1000101);
    STALE((void)0, 1000501);
    STALE(d.ttl_us = 100000, 1000501);
    STALE((void)0, 1000000 - FUTURE_US - 1);
#undef STALE
    CHECK(answer_entry(s, &c, box, 1000500, &e) == E_OK);
    cache_entry_unref(&e);
    CHECK(answer_entry(s, &c, box, 1000000 - FUTURE_US, &e) == E_OK);
    cache_entry_unref(&e);
    seal_free(&s);
}

TEST(the_same_result_never_looks_the_same_twice)
{
    struct seal *s = with_secret(SECRET, 0600, E_OK);
    uint8_t a[512], b[512];
    struct claim c = claim(s);
    struct bytes left = sealed(s, &c, BYTES("result"), a),
                 right = sealed(s, &c, BYTES("result"), b);
    CHECK(left.len == right.len && !bytes_equal(left, right));
    seal_free(&s);
}

TEST(a_weak_or_open_secret_file_is_refused)
{
    CHECK(with_secret("too short", 0600, E_CONFIG) == NULL);
    CHECK(with_secret(SECRET, 0644, E_CONFIG) == NULL);
    CHECK(with_secret(SECRET, 0602, E_CONFIG) == NULL);
    struct seal *s = NULL;
    struct fault why = {0};
    CHECK(seal_open("/nonexistent/secret", &s, &why) == E_IO);
    CHECK(seal_open("/dev", &s, &why) == E_CONFIG);
}

TEST(without_a_file_each_process_has_its_own_secret)
{
    struct seal *a = NULL, *b = NULL;
    CHECK(seal_open("", &a, NULL) == E_OK);
    CHECK(seal_open("", &b, NULL) == E_OK);
    CHECK(strcmp(seal_tag(a), seal_tag(b)) != 0);
    seal_free(&a);
    seal_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_was_sealed_comes_back),
        RUN(every_flipped_bit_is_noticed),
        RUN(every_shorter_or_longer_value_is_noticed),
        RUN(a_value_moved_to_another_key_fails),
        RUN(another_secret_cannot_open_nor_find),
        RUN(other_versions_epochs_databases_and_ages_are_stale),
        RUN(the_same_result_never_looks_the_same_twice),
        RUN(a_weak_or_open_secret_file_is_refused),
        RUN(without_a_file_each_process_has_its_own_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
