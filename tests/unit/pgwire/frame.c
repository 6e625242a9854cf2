/* Framing: a header is read as soon as it is there, and no sooner. */
#include "unit.h"

#include "pgwire/frame.h"

TEST(a_header_that_is_split_is_waited_for)
{
    struct frame f = {0};
    CHECK(frame_peek(BYTES(""), &f) == E_AGAIN);
    CHECK(frame_peek(BYTES("Q\0\0\0"), &f) == E_AGAIN);
    CHECK(f.type == 0 && f.size == 0);
}

TEST(a_header_is_enough_to_know_type_and_size)
{
    struct frame f = {0};
    CHECK(frame_peek(BYTES("d\0\1\0\4"), &f) == E_OK);
    CHECK(f.type == 'd' && f.size == 0x10005);
}

TEST(the_shortest_length_is_that_of_the_length_itself)
{
    struct frame f = {0};
    CHECK(frame_peek(BYTES("S\0\0\0\4"), &f) == E_OK);
    CHECK(f.size == 5);
    CHECK(frame_body(BYTES("S\0\0\0\4"), f).len == 0);
    CHECK(frame_peek(BYTES("S\0\0\0\3"), &f) == E_PROTOCOL);
    CHECK(frame_peek(BYTES("S\0\0\0\0"), &f) == E_PROTOCOL);
}

TEST(absurd_and_negative_lengths_are_refused)
{
    struct frame f = {0};
    CHECK(frame_peek(BYTES("Q\x3f\xff\xff\xff"), &f) == E_OK);
    CHECK(frame_peek(BYTES("Q\x40\0\0\0"), &f) == E_PROTOCOL);
    CHECK(frame_peek(BYTES("Q\xff\xff\xff\xff"), &f) == E_PROTOCOL);
}

TEST(a_body_ends_where_its_message_ends)
{
    struct frame f = {0};
    struct bytes in = BYTES("Z\0\0\0\5IQ\0\0\0\5");
    CHECK(frame_peek(in, &f) == E_OK);
    CHECK(bytes_equal(frame_body(in, f), BYTES("I")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_header_that_is_split_is_waited_for),
        RUN(a_header_is_enough_to_know_type_and_size),
        RUN(the_shortest_length_is_that_of_the_length_itself),
        RUN(absurd_and_negative_lengths_are_refused),
        RUN(a_body_ends_where_its_message_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
