/* Composed messages, byte by byte. */
#include "unit.h"

#include "pgwire/compose.h"

static struct buf out;

/* What was composed since the last look. */
static void check_composed(struct bytes want)
{
    CHECK(bytes_equal(buf_view(&out), want));
    buf_done(&out);
}

TEST(a_length_is_filled_in_even_when_the_queue_has_moved)
{
    buf_put(&out, "0123456789", 10);
    buf_consume(&out, 9);
    size_t mark = compose_begin(&out, 'd');
    for (int i = 0; i < 1000; i++) { buf_put_u8(&out, 'x'); }
    compose_end(&out, mark);
    struct bytes v = buf_view(&out);
    CHECK(v.len == 1 + 5 + 1000 && v.ptr[0] == '9' && v.ptr[1] == 'd');
    CHECK(get_u32(v.ptr + 2) == 1004);
    buf_done(&out);
}

TEST(bare_messages)
{
    compose_bare(&out, 'S');
    compose_bare(&out, 'H');
    check_composed(BYTES("S\0\0\0\4H\0\0\0\4"));
}

TEST(login_messages_of_the_backend)
{
    compose_auth(&out, 5, BYTES("salt"));
    compose_parameter(&out, "TimeZone", "UTC");
    compose_key(&out, BYTES("\0\0\0\1\xff\xff\xff\xfe"));
    compose_ready(&out, 'I');
    check_composed(BYTES("R\0\0\0\x0c\0\0\0\5salt"
                         "S\0\0\0\x11TimeZone\0UTC\0"
                         "K\0\0\0\x0c\0\0\0\1\xff\xff\xff\xfe"
                         "Z\0\0\0\5I"));
}

TEST(a_notification)
{
    compose_notification(&out, 258, "ch", "pay");
    check_composed(BYTES("A\0\0\0\x0f\0\0\1\2ch\0pay\0"));
}

TEST(an_error_has_all_its_fields)
{
    compose_error(&out, "FATAL", "28P01", "no", "try");
    check_composed(BYTES("E\0\0\0\x23SFATAL\0VFATAL\0C28P01\0Mno\0Htry\0\0"));
}

TEST(a_fault_without_a_state_takes_the_state_of_its_code)
{
    struct fault why;
    (void)fault_set(&why, E_SHUTDOWN, "bye");
    compose_fault(&out, "ERROR", &why);
    check_composed(BYTES("E\0\0\0\x1fSERROR\0VERROR\0C57P01\0Mbye\0\0"));
    (void)fault_state(&why, E_LIMIT, "53400", "bye");
    compose_fault(&out, "ERROR", &why);
    check_composed(BYTES("E\0\0\0\x1fSERROR\0VERROR\0C53400\0Mbye\0\0"));
}

TEST(a_notice_leaves_out_what_is_missing)
{
    compose_notice(&out, "NOTICE", "00000", "", NULL, NULL);
    check_composed(BYTES("N\0\0\0\x1eSNOTICE\0VNOTICE\0C00000\0M\0\0"));
    compose_notice(&out, "NOTICE", "00000", "m", "d", "h");
    check_composed(BYTES("N\0\0\0\x25SNOTICE\0VNOTICE\0C00000\0Mm\0Dd\0Hh\0\0"));
}

TEST(a_version_is_negotiated_down)
{
    const char *options[] = {"_pq_.a"};
    compose_negotiate(&out, 0x00030000, options, 1);
    check_composed(BYTES("v\0\0\0\x13\0\3\0\0\0\0\0\1_pq_.a\0"));
}

TEST(a_result_of_the_console)
{
    const struct column columns[] = {{"a", COLUMN_TEXT}, {"b", COLUMN_INT4}, {"c", COLUMN_INT8}};
    const char *values[] = {"x", NULL, ""};
    compose_row_description(&out, columns, 3, NULL);
    compose_data_row(&out, values, 3);
    compose_complete(&out, "SHOW");
    check_composed(BYTES("T\0\0\0\x42\0\3"
                         "a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                         "b\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\0"
                         "c\0\0\0\0\0\0\0\0\0\0\x14\0\x8\xff\xff\xff\xff\0\0"
                         "D\0\0\0\x13\0\3\0\0\0\1x\xff\xff\xff\xff\0\0\0\0"
                         "C\0\0\0\x09SHOW\0"));
}

TEST(a_description_tells_formats)
{
    const struct column columns[] = {{"a", COLUMN_TEXT}, {"b", COLUMN_INT4}};
    static const bool binary[] = {false, true};
    compose_row_description(&out, columns, 2, binary);
    check_composed(BYTES("T\0\0\0\x2e\0\2"
                         "a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
                         "b\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\1"));
}

TEST(the_first_packets)
{
    const char *pairs[] = {"user", "ann", "database", "d", NULL};
    compose_startup(&out, 0x00030000, pairs);
    compose_cancel(&out, 258, BYTES("\xaa\xbb\xcc\xdd"));
    check_composed(BYTES("\0\0\0\x1d\0\3\0\0user\0ann\0database\0d\0\0"
                         "\0\0\0\x10\x04\xd2\x16\x2e\0\0\1\2\xaa\xbb\xcc\xdd"));
}

TEST(a_packet_behind_other_bytes_has_its_own_length)
{
    const char *pairs[] = {NULL};
    compose_bare(&out, 'S');
    compose_startup(&out, 0x00030002, pairs);
    check_composed(BYTES("S\0\0\0\4\0\0\0\x9\0\3\0\2\0"));
}

TEST(statements_of_the_frontend)
{
    compose_query(&out, "SELECT 1");
    compose_statement(&out, "SET a=1");
    compose_copy_fail(&out, "no");
    check_composed(BYTES("Q\0\0\0\x0dSELECT 1\0"
                         "P\0\0\0\x0f\0SET a=1\0\0\0"
                         "B\0\0\0\x0c\0\0\0\0\0\0\0\0"
                         "E\0\0\0\x9\0\0\0\0\0"
                         "f\0\0\0\7no\0"));
}

TEST(answers_to_authentication_requests)
{
    compose_password(&out, BYTES("pw"));
    compose_sasl_initial(&out, "SCRAM-SHA-256", BYTES("n,,"));
    compose_sasl_response(&out, BYTES("c=biws"));
    check_composed(BYTES("p\0\0\0\7pw\0"
                         "p\0\0\0\x19SCRAM-SHA-256\0\0\0\0\3n,,"
                         "p\0\0\0\x0a"
                         "c=biws"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_length_is_filled_in_even_when_the_queue_has_moved),
        RUN(bare_messages),
        RUN(login_messages_of_the_backend),
        RUN(a_notification),
        RUN(an_error_has_all_its_fields),
        RUN(a_fault_without_a_state_takes_the_state_of_its_code),
        RUN(a_notice_leaves_out_what_is_missing),
        RUN(a_version_is_negotiated_down),
        RUN(a_result_of_the_console),
        RUN(a_description_tells_formats),
        RUN(the_first_packets),
        RUN(a_packet_behind_other_bytes_has_its_own_length),
        RUN(statements_of_the_frontend),
        RUN(answers_to_authentication_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
