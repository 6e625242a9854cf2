/* Texts from Redis and redis_url: what is read, what is refused. */
#include "unit.h"

#include "cache/address.h"
#include "cache/answer.h"

TEST(a_version_is_plain_decimal_below_two_to_the_63)
{
    uint64_t v = 1;
    CHECK(answer_version(BYTES("0"), &v) == E_OK && v == 0);
    CHECK(answer_version(BYTES("9223372036854775807"), &v) == E_OK && v == INT64_MAX);
    v = 5;
    CHECK(answer_version(BYTES(""), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("9223372036854775808"), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("18446744073709551617"), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("-1"), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("+1"), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("01"), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("1 "), &v) == E_PROTOCOL);
    CHECK(answer_version(BYTES("1\0"), &v) == E_PROTOCOL);
    CHECK(v == 5);
}

TEST(an_epoch_belongs_to_one_redis)
{
    uint8_t epoch[EPOCH_BYTES] = {0};
    CHECK(answer_epoch_text(BYTES("000102030405060708090a0b0c0d0eff:abcd1234"), "abcd1234",
                            epoch) == E_OK);
    CHECK(epoch[1] == 1 && epoch[15] == 0xff);
    CHECK(answer_epoch_text(BYTES("000102030405060708090a0b0c0d0eff:abcd1235"), "abcd1234",
                            epoch) == E_PROTOCOL);
    CHECK(answer_epoch_text(BYTES("000102030405060708090a0b0c0d0eff:abcd12345"), "abcd1234",
                            epoch) == E_PROTOCOL);
    CHECK(answer_epoch_text(BYTES("000102030405060708090a0b0c0d0eff"), "", epoch) == E_PROTOCOL);
    CHECK(answer_epoch_text(BYTES("000102030405060708090a0b0c0d0eFF:abcd1234"), "abcd1234",
                            epoch) == E_PROTOCOL);
    CHECK(answer_epoch_text(BYTES(""), "abcd1234", epoch) == E_PROTOCOL);
}

TEST(the_run_id_is_taken_from_its_own_line)
{
    char id[RUN_ID_MAX + 1] = "";
    CHECK(answer_run_id(BYTES("# Server\r\nredis_version:7.0.15\r\nrun_id:0123456789abcdef\r\nx:1"),
                        id) == E_OK);
    CHECK_STR(id, "0123456789abcdef");
    CHECK(answer_run_id(BYTES("# Server\r\nredis_version:7\r\n"), id) == E_PROTOCOL);
    CHECK(answer_run_id(BYTES("\nrun_id:0123"), id) == E_PROTOCOL);
    CHECK(answer_run_id(BYTES("\nrun_id:0123456789abcdef"), id) == E_PROTOCOL); /* cut off */
    CHECK(answer_run_id(BYTES("\nrun_id:01234567\0\r\n"), id) == E_PROTOCOL);
    CHECK(answer_run_id(BYTES(""), id) == E_PROTOCOL);
}

TEST(a_plain_form_with_a_lying_count_is_refused)
{
    uint8_t text[PLAIN_FIXED + PLAIN_PER] = {0};
    struct plain p;
    text[7] = text[15] = 1;
    CHECK(plain_read(bytes_of(text, PLAIN_FIXED), &p) == E_OK);
    CHECK(plain_read(bytes_of(text, PLAIN_FIXED - 1), &p) == E_PROTOCOL);
    text[PLAIN_FIXED - 1] = 1;
    CHECK(plain_read(bytes_of(text, sizeof text), &p) == E_OK && p.result.len == 0);
    CHECK(plain_read(bytes_of(text, sizeof text - 1), &p) == E_PROTOCOL);
    text[PLAIN_FIXED - 4] = 0xff;
    CHECK(plain_read(bytes_of(text, sizeof text), &p) == E_PROTOCOL);
}

static struct redis_address *address(const char *url)
{
    struct redis_address *a = NULL;
    CHECK(redis_address_read(url, &a, NULL) == E_OK);
    return a;
}

TEST(an_address_has_its_parts)
{
    struct redis_address *a = address("redis://us%65r:p%40ss%2F@cache.example:7000/3");
    CHECK_STR(a->host, "cache.example");
    CHECK(a->port == 7000 && a->number == 3);
    CHECK_STR(a->user, "user");
    CHECK_STR(a->password, "p@ss/");
    redis_address_free(&a);
    a = address("redis://:secret@[::1]");
    CHECK_STR(a->host, "::1");
    CHECK(a->port == 6379 && a->number == 0 && a->user == NULL);
    CHECK_STR(a->password, "secret");
    redis_address_free(&a);
    a = address("unix:///run/redis/redis.sock?db=2");
    CHECK_STR(a->path, "/run/redis/redis.sock");
    CHECK(a->host == NULL && a->number == 2);
    redis_address_free(&a);
}

TEST(a_broken_address_is_refused_without_its_password)
{
    static const char *const broken[] = {
        "",
        "redis://",
        "rediss://host",
        "redis://host:0",
        "redis://host:70000",
        "redis://host:12x",
        "redis://host/x",
        "redis://:secret@",
        "redis://:secret%zz@host",
        "redis://:secret%00@host",
        "redis://[::1",
        "unix://relative",
        "unix:///a?number=1",
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct redis_address *a = NULL;
        struct fault why = {0};
        CHECK(redis_address_read(broken[i], &a, &why) == E_CONFIG);
        CHECK(a == NULL);
        CHECK(strstr(why.text, "secret") == NULL);
    }
}

TEST(addresses_compare_by_every_part)
{
    struct redis_address *a = address("redis://:p@h:1/1"), *b = address("redis://:p@h:1/1"),
                         *c = address("redis://:q@h:1/1"), *d = address("redis://:p@h:1/2");
    CHECK(redis_address_equal(a, b));
    CHECK(!redis_address_equal(a, c));
    CHECK(!redis_address_equal(a, d));
    CHECK(!redis_address_equal(a, NULL));
    CHECK(redis_address_equal(NULL, NULL));
    redis_address_free(&a);
    redis_address_free(&b);
    redis_address_free(&c);
    redis_address_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_version_is_plain_decimal_below_two_to_the_63),
        RUN(an_epoch_belongs_to_one_redis),
        RUN(the_run_id_is_taken_from_its_own_line),
        RUN(a_plain_form_with_a_lying_count_is_refused),
        RUN(an_address_has_its_parts),
        RUN(a_broken_address_is_refused_without_its_password),
        RUN(addresses_compare_by_every_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
