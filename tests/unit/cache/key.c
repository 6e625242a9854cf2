/* Equal bytes only for equal questions: tricks that move bytes from one field to the next. */
#include "unit.h"

#include "cache/cache.h"

static const struct cache_key_parts plain = {
    .database = "a",
    .role = "bc",
    .session_user = "bc",
    .settings = {(const uint8_t *)"x", 1},
    .protocol = 'Q',
    .text = {(const uint8_t *)"select 1", 8},
};

static bool equal(const struct cache_key_parts *a, const struct cache_key_parts *b)
{
    struct buf left = {0}, right = {0};
    cache_key(a, &left);
    cache_key(b, &right);
    bool same = bytes_equal(buf_view(&left), buf_view(&right));
    buf_done(&left);
    buf_done(&right);
    return same;
}

TEST(the_same_parts_give_the_same_bytes)
{
    struct cache_key_parts other = plain;
    CHECK(equal(&plain, &other));
}

TEST(bytes_cannot_move_from_one_field_to_the_next)
{
    struct cache_key_parts other = plain;
    other.database = "ab";
    other.role = "c";
    CHECK(!equal(&plain, &other));
    other = plain;
    other.role = "b";
    other.session_user = "cbc";
    CHECK(!equal(&plain, &other));
    other = plain;
    other.settings = BYTES("");
    other.text = BYTES("xselect 1");
    CHECK(!equal(&plain, &other));
}

TEST(a_field_that_spells_out_lengths_is_still_one_field)
{
    struct cache_key_parts a = plain, b = plain;
    a.text = BYTES("q\0\0\0\0");
    a.bind = BYTES("");
    b.text = BYTES("q");
    b.bind = BYTES("\0\0\0\0");
    CHECK(!equal(&a, &b));
    a.text = BYTES("q\0\0\0\4abcd");
    b.text = BYTES("q");
    b.bind = BYTES("abcd");
    CHECK(!equal(&a, &b));
}

TEST(every_field_counts)
{
    static const uint8_t int4[] = {0, 0, 0, 23}, int8[] = {0, 0, 0, 20};
    struct cache_key_parts b;
#define DIFFERS(change)                                                                            \
    b = plain;                                                                                     \
    change;                                                                                        \
    CHECK(!equal(&plain, &b))
    DIFFERS(b.redis = true);
    DIFFERS(b.database = "A");
    DIFFERS(b.node_id = bytes_str("7:1"));
    DIFFERS(b.role = "other");
    DIFFERS(b.session_user = "other");
    DIFFERS(b.settings = BYTES("y"));
    DIFFERS(b.protocol = 'E');
    DIFFERS(b.described = true);
    DIFFERS(b.text = BYTES("select 1\0"));
    DIFFERS(b.types = int4; b.types_count = 1);
    DIFFERS(b.bind = BYTES("\0\0"));
#undef DIFFERS
    struct cache_key_parts a = plain;
    a.types = int4;
    b.types = int8;
    a.types_count = b.types_count = 1;
    CHECK(!equal(&a, &b));
}

TEST(types_and_values_do_not_mix)
{
    static const uint8_t type[] = {0, 0, 0, 23};
    struct cache_key_parts a = plain, b = plain;
    a.types = type;
    a.types_count = 1;
    b.bind = bytes_of(type, 4);
    CHECK(!equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(the_same_parts_give_the_same_bytes),
        RUN(bytes_cannot_move_from_one_field_to_the_next),
        RUN(a_field_that_spells_out_lengths_is_still_one_field),
        RUN(every_field_counts),
        RUN(types_and_values_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
