/* The first packet, and the options parameter in it. */
#include "unit.h"

#include "base/buf.h"
#include "pgwire/startup.h"

#define LOGIN "\0\0\0\x22\0\3\0\0user\0ann\0database\0clinic\0\0"

TEST(a_login_packet_is_waited_for_byte_by_byte)
{
    struct bytes whole = BYTES(LOGIN);
    CHECK(whole.len == 0x22);
    struct startup s;
    for (size_t len = 0; len < whole.len; len++) {
        CHECK(startup_read(bytes_of(whole.ptr, len), &s, NULL) == E_AGAIN);
    }
    CHECK(startup_read(whole, &s, NULL) == E_OK);
    CHECK(s.kind == STARTUP_LOGIN && s.size == 0x22 && s.version == 0x00030000);
}

TEST(parameters_are_walked_in_order)
{
    struct startup s;
    CHECK(startup_read(BYTES(LOGIN), &s, NULL) == E_OK);
    size_t at = 0;
    const char *name = NULL, *value = NULL;
    CHECK(startup_next(&s, &at, &name, &value));
    CHECK_STR(name, "user");
    CHECK_STR(value, "ann");
    CHECK(startup_next(&s, &at, &name, &value));
    CHECK_STR(name, "database");
    CHECK_STR(value, "clinic");
    CHECK(!startup_next(&s, &at, &name, &value));
}

TEST(a_value_may_be_empty_and_a_packet_may_have_no_parameters)
{
    struct startup s;
    size_t at = 0;
    const char *name = NULL, *value = NULL;
    CHECK(startup_read(BYTES("\0\0\0\x0c\0\3\0\0a\0\0\0"), &s, NULL) == E_OK);
    CHECK(startup_next(&s, &at, &name, &value));
    CHECK_STR(name, "a");
    CHECK_STR(value, "");
    CHECK(!startup_next(&s, &at, &name, &value));

    at = 0;
    CHECK(startup_read(BYTES("\0\0\0\x09\0\3\0\0\0"), &s, NULL) == E_OK);
    CHECK(!startup_next(&s, &at, &name, &value));
}

TEST(what_follows_the_packet_is_not_part_of_it)
{
    struct startup s;
    CHECK(startup_read(BYTES(LOGIN "p\0\0\0\5x"), &s, NULL) == E_OK);
    CHECK(s.size == 0x22);
}

TEST(parameters_that_are_not_closed_are_refused)
{
    struct startup s;
    struct fault why;
    /* no terminator at all */
    CHECK(startup_read(BYTES("\0\0\0\x08\0\3\0\0"), &s, &why) == E_PROTOCOL);
    /* a name without a value */
    CHECK(startup_read(BYTES("\0\0\0\x0a\0\3\0\0a\0"), &s, &why) == E_PROTOCOL);
    /* a value without its zero, though a zero stands behind the packet */
    CHECK(startup_read(BYTES("\0\0\0\x0b\0\3\0\0a\0b\0"), &s, &why) == E_PROTOCOL);
    /* a pair without the closing empty name */
    CHECK(startup_read(BYTES("\0\0\0\x0c\0\3\0\0a\0b\0"), &s, &why) == E_PROTOCOL);
    /* bytes behind the closing empty name */
    CHECK(startup_read(BYTES("\0\0\0\x0e\0\3\0\0a\0b\0\0z"), &s, &why) == E_PROTOCOL);
    CHECK(strstr(why.text, "invalid startup packet layout") != NULL);
}

TEST(absurd_lengths_are_refused_at_once)
{
    struct startup s;
    struct fault why;
    CHECK(startup_read(BYTES("\0\0\0\x07"), &s, &why) == E_PROTOCOL);
    CHECK(startup_read(BYTES("\0\0\0\0"), &s, &why) == E_PROTOCOL);
    CHECK(startup_read(BYTES("\0\0\x27\x11"), &s, &why) == E_PROTOCOL);
    CHECK(startup_read(BYTES("\xff\xff\xff\xff"), &s, &why) == E_PROTOCOL);
    CHECK(startup_read(BYTES("\0\0\x27\x10"), &s, &why) == E_AGAIN);
    /* HTTP on our port */
    CHECK(startup_read(BYTES("GET / HTTP/1.1\r\n"), &s, &why) == E_PROTOCOL);
}

TEST(every_minor_of_version_3_is_read_for_the_caller_to_negotiate)
{
    struct startup s;
    CHECK(startup_read(BYTES("\0\0\0\x09\0\3\0\2\0"), &s, NULL) == E_OK);
    CHECK(s.version == 0x00030002);
    CHECK(startup_read(BYTES("\0\0\0\x09\0\3\x27\x0f\0"), &s, NULL) == E_OK);
    CHECK(s.version == 0x0003270f);
}

TEST(version_2_is_told_so)
{
    struct startup s;
    struct fault why;
    /* its packet is 296 bytes; the version is enough */
    CHECK(startup_read(BYTES("\0\0\1\x28\0\2\0\0"), &s, &why) == E_PROTOCOL);
    CHECK_STR(why.text, "old V2 protocol not supported");
    CHECK_STR(why.sqlstate, "");
}

TEST(an_unknown_major_version_is_not_supported)
{
    struct startup s;
    struct fault why;
    CHECK(startup_read(BYTES("\0\0\0\x09\0\4\0\1\0"), &s, &why) == E_PROTOCOL);
    CHECK_STR(why.text, "unsupported frontend protocol 4.1");
    CHECK_STR(why.sqlstate, "0A000");
    /* 1234.5678 is cancel; its unused neighbour is nothing */
    CHECK(startup_read(BYTES("\0\0\0\x08\x04\xd2\x16\x32"), &s, &why) == E_PROTOCOL);
    CHECK_STR(why.text, "unsupported frontend protocol 1234.5682");
}

TEST(encryption_requests_are_known)
{
    struct startup s;
    CHECK(startup_read(BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), &s, NULL) == E_OK);
    CHECK(s.kind == STARTUP_SSL && s.size == 8);
    CHECK(startup_read(BYTES("\0\0\0\x08\x04\xd2\x16\x30"), &s, NULL) == E_OK);
    CHECK(s.kind == STARTUP_GSSENC && s.size == 8);
    CHECK(startup_read(BYTES("\0\0\0\x09\x04\xd2\x16\x2f\0"), &s, NULL) == E_PROTOCOL);
}

TEST(a_cancel_request_carries_a_key_of_4_to_256_bytes)
{
    struct startup s;
    CHECK(startup_read(BYTES("\0\0\0\x10\x04\xd2\x16\x2e\0\0\1\2\xaa\xbb\xcc\xdd"), &s, NULL) ==
          E_OK);
    CHECK(s.kind == STARTUP_CANCEL && s.cancel_pid == 0x102);
    CHECK(bytes_equal(s.cancel_key, BYTES("\xaa\xbb\xcc\xdd")));

    uint8_t packet[269] = "\0\0\1\x0c\x04\xd2\x16\x2e\0\0\1\2";
    CHECK(startup_read(bytes_of(packet, sizeof packet), &s, NULL) == E_OK);
    CHECK(s.cancel_key.len == 256);
    packet[3] = 0x0d;
    CHECK(startup_read(bytes_of(packet, sizeof packet), &s, NULL) == E_PROTOCOL);
    packet[2] = 0;
    packet[3] = 0x0f;
    CHECK(startup_read(bytes_of(packet, sizeof packet), &s, NULL) == E_PROTOCOL);
    packet[3] = 0x08;
    CHECK(startup_read(bytes_of(packet, sizeof packet), &s, NULL) == E_PROTOCOL);
}

/* ---- options */

struct option {
    const char *name, *value;
};

/* The options shall be exactly these, and then end as told. */
static void check_options(const char *options, const struct option *want, unsigned count,
                          enum err end)
{
    struct buf text = {0};
    size_t at = 0;
    const char *name = NULL, *value = NULL;
    for (unsigned i = 0; i < count; i++) {
        CHECK(startup_option(options, &at, &text, &name, &value) == E_OK);
        CHECK_STR(name, want[i].name);
        CHECK_STR(value, want[i].value);
    }
    CHECK(startup_option(options, &at, &text, &name, &value) == end);
    buf_done(&text);
}

TEST(options_are_read_in_all_three_spellings)
{
    const struct option want[] = {{"a", "1"}, {"b.c", "2"}, {"search_path", "x"}, {"d", ""}};
    check_options("-c a=1 -cb.c=2  --search-path=x\t-c\n d=", want, 4, E_EOF);
}

TEST(a_backslash_keeps_a_space_and_itself)
{
    const struct option want[] = {{"application_name", "my app\\ x=y"}, {"n", "v"}};
    check_options("-c application_name=my\\ app\\\\\\ x=y -c n=v\\", want, 2, E_EOF);
}

TEST(dashes_in_a_value_stay)
{
    const struct option want[] = {{"time_zone", "a-b"}};
    check_options("--time-zone=a-b", want, 1, E_EOF);
}

TEST(no_options_end_at_once)
{
    check_options("", NULL, 0, E_EOF);
    check_options(" \t ", NULL, 0, E_EOF);
}

TEST(other_words_are_a_syntax_error)
{
    check_options("-B 100", NULL, 0, E_SYNTAX);
    check_options("work_mem=1", NULL, 0, E_SYNTAX);
    check_options("-c", NULL, 0, E_SYNTAX);
    check_options("-c work_mem", NULL, 0, E_SYNTAX);
    check_options("-c =1", NULL, 0, E_SYNTAX);
    check_options("--", NULL, 0, E_SYNTAX);
    check_options("-", NULL, 0, E_SYNTAX);
    check_options("\\", NULL, 0, E_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_login_packet_is_waited_for_byte_by_byte),
        RUN(parameters_are_walked_in_order),
        RUN(a_value_may_be_empty_and_a_packet_may_have_no_parameters),
        RUN(what_follows_the_packet_is_not_part_of_it),
        RUN(parameters_that_are_not_closed_are_refused),
        RUN(absurd_lengths_are_refused_at_once),
        RUN(every_minor_of_version_3_is_read_for_the_caller_to_negotiate),
        RUN(version_2_is_told_so),
        RUN(an_unknown_major_version_is_not_supported),
        RUN(encryption_requests_are_known),
        RUN(a_cancel_request_carries_a_key_of_4_to_256_bytes),
        RUN(options_are_read_in_all_three_spellings),
        RUN(a_backslash_keeps_a_space_and_itself),
        RUN(dashes_in_a_value_stay),
        RUN(no_options_end_at_once),
        RUN(other_words_are_a_syntax_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
