/* Backend messages: what a server may send is read, anything else is refused. */
#include "unit.h"

#include "pgwire/response.h"

TEST(authentication_requests_carry_what_their_code_asks_for)
{
    struct auth_msg m;
    CHECK(response_read_auth(BYTES("\0\0\0\0"), &m) == E_OK && m.code == AUTH_REQ_OK);
    CHECK(response_read_auth(BYTES("\0\0\0\3"), &m) == E_OK && m.code == AUTH_REQ_PASSWORD);
    CHECK(response_read_auth(BYTES("\0\0\0\5salt"), &m) == E_OK && m.code == AUTH_REQ_MD5);
    CHECK(bytes_equal(m.data, BYTES("salt")));
    CHECK(response_read_auth(BYTES("\0\0\0\x0bv=1"), &m) == E_OK);
    CHECK(m.code == AUTH_REQ_SASL_CONTINUE && bytes_equal(m.data, BYTES("v=1")));
    CHECK(response_read_auth(BYTES("\0\0\0\x07"), &m) == E_OK && m.code == 7);

    CHECK(response_read_auth(BYTES("\0\0\0"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\0x"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\5sal"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\5salty"), &m) == E_PROTOCOL);
}

TEST(a_notification_has_a_sender_a_channel_and_a_payload)
{
    struct notification_msg m;
    CHECK(response_read_notification(BYTES("\0\0\1\2ch\0pay\0"), &m) == E_OK);
    CHECK(m.pid == 258 && strcmp(m.channel, "ch") == 0 && strcmp(m.payload, "pay") == 0);
    CHECK(response_read_notification(BYTES("\0\0\1\2ch\0\0"), &m) == E_OK);
    CHECK(m.payload[0] == '\0');

    CHECK(response_read_notification(BYTES("\0\0\1\2ch\0pay"), &m) == E_PROTOCOL);
    CHECK(response_read_notification(BYTES("\0\0\1\2ch\0"), &m) == E_PROTOCOL);
    CHECK(response_read_notification(BYTES("\0\0\1\2ch\0pay\0x"), &m) == E_PROTOCOL);
    CHECK(response_read_notification(BYTES("\0\0\1"), &m) == E_PROTOCOL);
}

TEST(a_list_of_mechanisms_is_closed_by_an_empty_name)
{
    struct auth_msg m;
    CHECK(response_read_auth(BYTES("\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"), &m) == E_OK);
    CHECK(response_read_auth(BYTES("\0\0\0\x0a\0"), &m) == E_OK);
    CHECK(response_read_auth(BYTES("\0\0\0\x0a"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\x0aSCRAM-SHA-256\0"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\x0aSCRAM-SHA-256"), &m) == E_PROTOCOL);
    CHECK(response_read_auth(BYTES("\0\0\0\x0aX\0\0Y\0\0"), &m) == E_PROTOCOL);
}

TEST(a_parameter_is_two_texts)
{
    const char *name = NULL, *value = NULL;
    CHECK(response_read_parameter(BYTES("TimeZone\0UTC\0"), &name, &value) == E_OK);
    CHECK_STR(name, "TimeZone");
    CHECK_STR(value, "UTC");
    CHECK(response_read_parameter(BYTES("TimeZone\0UTC"), &name, &value) == E_PROTOCOL);
    CHECK(response_read_parameter(BYTES("TimeZone\0"), &name, &value) == E_PROTOCOL);
    CHECK(response_read_parameter(BYTES("a\0b\0c"), &name, &value) == E_PROTOCOL);
    CHECK_STR(value, "UTC"); /* untouched on failure */
}

TEST(a_cancel_key_has_4_to_256_bytes)
{
    uint32_t pid = 0;
    struct bytes key = {0};
    CHECK(response_read_key(BYTES("\0\0\0\7abcd"), &pid, &key) == E_OK);
    CHECK(pid == 7 && bytes_equal(key, BYTES("abcd")));
    CHECK(response_read_key(BYTES("\0\0\0\7abc"), &pid, &key) == E_PROTOCOL);
    uint8_t body[4 + 257] = {0, 0, 0, 9};
    CHECK(response_read_key(bytes_of(body, 4 + 256), &pid, &key) == E_OK && key.len == 256);
    CHECK(response_read_key(bytes_of(body, 4 + 257), &pid, &key) == E_PROTOCOL);
    CHECK(response_read_key(bytes_of(NULL, 0), &pid, &key) == E_PROTOCOL);
}

TEST(ready_has_one_of_three_states)
{
    uint8_t status = 0;
    CHECK(response_read_ready(BYTES("I"), &status) == E_OK && status == 'I');
    CHECK(response_read_ready(BYTES("T"), &status) == E_OK && status == 'T');
    CHECK(response_read_ready(BYTES("E"), &status) == E_OK && status == 'E');
    CHECK(response_read_ready(BYTES("X"), &status) == E_PROTOCOL);
    CHECK(response_read_ready(BYTES(""), &status) == E_PROTOCOL);
    CHECK(response_read_ready(BYTES("II"), &status) == E_PROTOCOL);
}

TEST(a_command_tag_is_one_text)
{
    const char *tag = NULL;
    CHECK(response_read_complete(BYTES("INSERT 0 1\0"), &tag) == E_OK);
    CHECK_STR(tag, "INSERT 0 1");
    CHECK(response_read_complete(BYTES("INSERT 0 1"), &tag) == E_PROTOCOL);
    CHECK(response_read_complete(BYTES("BEGIN\0\0"), &tag) == E_PROTOCOL);
}

TEST(a_row_is_a_count_and_fields_with_lengths)
{
    struct bytes f[2];
    unsigned count = 9;
    CHECK(response_read_row(BYTES("\0\2\0\0\0\1t\xff\xff\xff\xff"), f, 2, &count) == E_OK);
    CHECK(count == 2 && bytes_equal(f[0], BYTES("t")) && f[1].ptr == NULL);
    CHECK(response_read_row(BYTES("\0\3\0\0\0\0\0\0\0\1x\0\0\0\1y"), f, 2, &count) == E_OK);
    CHECK(count == 3 && f[0].len == 0 && f[0].ptr != NULL && bytes_equal(f[1], BYTES("x")));
    CHECK(response_read_row(BYTES("\0\1\0\0\0\2t"), f, 2, &count) == E_PROTOCOL);
    CHECK(response_read_row(BYTES("\0\1\0\0\0\1tt"), f, 2, &count) == E_PROTOCOL);
    CHECK(response_read_row(BYTES("\0\2\0\0\0\1t"), f, 2, &count) == E_PROTOCOL);
    CHECK(response_read_row(BYTES("\0"), f, 2, &count) == E_PROTOCOL);
}

TEST(an_error_tells_its_fields_and_skips_new_ones)
{
    struct error_msg m;
    CHECK(response_read_error(BYTES("SFEHLER\0VERROR\0C42P01\0Mno t\0?new\0Hlook\0Dwhere\0\0"),
                              &m) == E_OK);
    CHECK_STR(m.severity, "ERROR");
    CHECK_STR(m.sqlstate, "42P01");
    CHECK_STR(m.message, "no t");
    CHECK_STR(m.hint, "look");
    CHECK_STR(m.detail, "where");
}

TEST(an_error_without_fields_has_none)
{
    struct error_msg m;
    CHECK(response_read_error(BYTES("\0"), &m) == E_OK);
    CHECK(m.severity == NULL && m.sqlstate == NULL && m.message == NULL);
    CHECK(response_read_error(BYTES("SFATAL\0\0"), &m) == E_OK);
    CHECK_STR(m.severity, "FATAL");
}

TEST(an_error_that_is_not_closed_is_refused)
{
    struct error_msg m;
    CHECK(response_read_error(BYTES(""), &m) == E_PROTOCOL);
    CHECK(response_read_error(BYTES("SERROR\0"), &m) == E_PROTOCOL);
    CHECK(response_read_error(BYTES("SERROR"), &m) == E_PROTOCOL);
    CHECK(response_read_error(BYTES("SERROR\0\0x"), &m) == E_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(authentication_requests_carry_what_their_code_asks_for),
        RUN(a_notification_has_a_sender_a_channel_and_a_payload),
        RUN(a_list_of_mechanisms_is_closed_by_an_empty_name),
        RUN(a_parameter_is_two_texts),
        RUN(a_cancel_key_has_4_to_256_bytes),
        RUN(ready_has_one_of_three_states),
        RUN(a_command_tag_is_one_text),
        RUN(a_row_is_a_count_and_fields_with_lengths),
        RUN(an_error_tells_its_fields_and_skips_new_ones),
        RUN(an_error_without_fields_has_none),
        RUN(an_error_that_is_not_closed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
