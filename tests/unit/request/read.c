/* From a client's bytes to what it asks for in one go. */
#include "unit.h"

#include "base/mem.h"
#include "pgwire/frame.h"
#include "request/request.h"

#define PARSE_S1   "P\0\0\0\x12s1\0select 1\0\0\0"
#define PARSE_NONE "P\0\0\0\x10\0select 1\0\0\0"
#define BIND_S1    "B\0\0\0\x0e\0s1\0\0\0\0\0\0\0"
#define BIND_NONE  "B\0\0\0\x0c\0\0\0\0\0\0\0\0"
#define BIND_P1    "B\0\0\0\x0ep1\0\0\0\0\0\0\0\0"
#define DESCRIBE_P "D\0\0\0\x06P\0"
#define DESCRIBE_S "D\0\0\0\x06S\0"
#define CLOSE_S1   "C\0\0\0\x08Ss1\0"
#define EXECUTE    "E\0\0\0\x09\0\0\0\0\0"
#define EXECUTE_P1 "E\0\0\0\x0bp1\0\0\0\0\0"
#define FLUSH      "H\0\0\0\4"
#define SYNC       "S\0\0\0\4"
#define QUERY      "Q\0\0\0\x0dselect 1\0"

static struct fault why;

static struct unit read_whole(struct bytes in)
{
    struct unit u;
    CHECK(unit_read(in, &u, &why) == E_OK);
    return u;
}

/* Any shorter input is waited for, with no opinion on it. */
static void check_waits_for_all_of(struct bytes in)
{
    struct unit u;
    for (size_t len = 0; len < in.len; len++) {
        /* A copy, so that the sanitizer sees a look past the end. */
        uint8_t *copy = mem_try(len + 1);
        memcpy(copy, in.ptr, len);
        copy = mem_grow(copy, len == 0 ? 1 : len, 1);
        CHECK(unit_read(bytes_of(copy, len), &u, &why) == E_AGAIN);
        mem_free(&copy);
    }
}

static void check_refused(struct bytes in, enum err e, const char *text)
{
    struct unit u;
    why = (struct fault){0};
    CHECK(unit_read(in, &u, &why) == e);
    CHECK(why.code == e);
    CHECK(strstr(why.text, text) != NULL);
}

/* A message header, then zeros: `here` bytes in all. The caller frees it. */
static uint8_t *start_of(uint8_t type, uint32_t size, size_t here)
{
    uint8_t *bytes = mem_zeroed(here);
    bytes[0] = type;
    put_u32(bytes + 1, size - 1);
    return bytes;
}

/* ---- single messages ------------------------------------------------------------------------- */

TEST(a_query_is_one_unit)
{
    struct unit u = read_whole(BYTES(QUERY QUERY));
    CHECK(u.kind == UNIT_QUERY && u.size == sizeof QUERY - 1);
    CHECK(u.raw.len == u.size);
    CHECK(bytes_equal(u.text, BYTES("select 1")));
}

TEST(a_query_is_waited_for_whole)
{
    check_waits_for_all_of(BYTES(QUERY));
}

TEST(a_query_without_its_zero_or_with_one_inside_is_malformed)
{
    check_refused(BYTES("Q\0\0\0\x0cselect 1"), E_PROTOCOL, "type Q");
    check_refused(BYTES("Q\0\0\0\4"), E_PROTOCOL, "type Q");
    check_refused(BYTES("Q\0\0\0\x0eselect\0001\0\0"), E_PROTOCOL, "type Q");
}

TEST(an_empty_query_is_a_query)
{
    struct unit u = read_whole(BYTES("Q\0\0\0\5\0"));
    CHECK(u.kind == UNIT_QUERY && u.text.len == 0 && u.size == 6);
}

TEST(a_function_call_is_one_unit)
{
    struct unit u = read_whole(BYTES("F\0\0\0\x0e\0\0\0\1\0\0\0\0\0\0" SYNC));
    CHECK(u.kind == UNIT_FUNCTION && u.size == 15 && u.text.len == 0);
    check_waits_for_all_of(BYTES("F\0\0\0\x0e\0\0\0\1\0\0\0\0\0\0"));
}

TEST(other_types_are_refused_by_number)
{
    check_refused(BYTES("Z\0\0\0\5I"), E_PROTOCOL, "message type 90");
    check_refused(BYTES("\0\0\0\0\4"), E_PROTOCOL, "message type 0");
    check_refused(BYTES("d\0\0\0\4"), E_PROTOCOL, "message type 100");
}

TEST(a_length_that_cannot_be_is_refused_as_soon_as_it_is_seen)
{
    check_refused(BYTES("Q\0\0\0\3"), E_PROTOCOL, "length");
    check_refused(BYTES("Q\xff\xff\xff\xff"), E_PROTOCOL, "length");
    check_refused(BYTES("P\x7f\xff\xff\xff"), E_PROTOCOL, "length");
    check_refused(BYTES(PARSE_S1 "B\0\0\0\0"), E_PROTOCOL, "length");
}

/* ---- batches --------------------------------------------------------------------------------- */

TEST(a_batch_ends_at_its_sync)
{
    struct bytes batch = BYTES(PARSE_S1 BIND_S1 DESCRIBE_P EXECUTE SYNC);
    struct unit u = read_whole(BYTES(PARSE_S1 BIND_S1 DESCRIBE_P EXECUTE SYNC QUERY));
    CHECK(u.kind == UNIT_BATCH && u.sync && !u.cut);
    CHECK(u.size == batch.len && u.raw.len == batch.len);
    CHECK(u.has_parse && u.has_bind && u.described && u.executes == 1);
    CHECK_STR(u.parse.name, "s1");
    CHECK(bytes_equal(u.parse.text, BYTES("select 1")));
    CHECK_STR(u.bind.statement, "s1");
    check_waits_for_all_of(batch);
}

TEST(a_batch_ends_at_its_flush)
{
    struct unit u = read_whole(BYTES(PARSE_S1 FLUSH SYNC));
    CHECK(u.kind == UNIT_BATCH && !u.sync && !u.cut && !u.plain);
    CHECK(u.size == sizeof PARSE_S1 - 1 + sizeof FLUSH - 1);
    u = read_whole(BYTES(FLUSH));
    CHECK(u.kind == UNIT_BATCH && u.size == 5 && !u.sync);
    u = read_whole(BYTES(SYNC));
    CHECK(u.kind == UNIT_BATCH && u.size == 5 && u.sync && !u.plain);
}

TEST(a_batch_that_something_else_follows_is_cut_there)
{
    struct unit u = read_whole(BYTES(PARSE_S1 BIND_S1 QUERY));
    CHECK(u.kind == UNIT_BATCH && u.cut && !u.sync);
    CHECK(u.size == sizeof PARSE_S1 - 1 + sizeof BIND_S1 - 1);
    /* Its first five bytes are enough to know. */
    u = read_whole(BYTES(PARSE_S1 "X\0\0\0\4"));
    CHECK(u.cut && u.size == sizeof PARSE_S1 - 1);
    struct unit none;
    CHECK(unit_read(BYTES(PARSE_S1 "X\0\0\0"), &none, &why) == E_AGAIN);
}

TEST(the_first_of_several_parses_and_binds_is_told)
{
    struct unit u = read_whole(
        BYTES(PARSE_S1 "P\0\0\0\x12s2\0select 2\0\0\0" BIND_P1 BIND_S1 EXECUTE EXECUTE SYNC));
    CHECK_STR(u.parse.name, "s1");
    CHECK_STR(u.bind.portal, "p1");
    CHECK(u.executes == 2 && !u.plain);
}

TEST(a_malformed_message_is_named_even_when_the_batch_goes_on)
{
    check_refused(BYTES("P\0\0\0\x0fs1\0select 1" SYNC), E_PROTOCOL, "type P");
    check_refused(BYTES(PARSE_S1 "B\0\0\0\x0d\0s1\0\0\0\0\0\0" SYNC), E_PROTOCOL, "type B");
    check_refused(BYTES(PARSE_S1 "D\0\0\0\x06X\0" SYNC), E_PROTOCOL, "type D");
    check_refused(BYTES("C\0\0\0\5S" SYNC), E_PROTOCOL, "type C");
    check_refused(BYTES("E\0\0\0\x08\0\0\0\0" SYNC), E_PROTOCOL, "type E");
}

/* ---- the plain form ---------------------------------------------------------------------------
 */

static bool is_plain(struct bytes in)
{
    struct unit u = read_whole(in);
    CHECK(u.kind == UNIT_BATCH && u.size == in.len);
    return u.plain;
}

TEST(one_statement_asked_for_whole_is_plain)
{
    CHECK(is_plain(BYTES(PARSE_S1 BIND_S1 DESCRIBE_P EXECUTE SYNC)));
    CHECK(is_plain(BYTES(PARSE_NONE BIND_NONE DESCRIBE_P EXECUTE SYNC)));
    CHECK(is_plain(BYTES(PARSE_NONE BIND_NONE EXECUTE SYNC)));
    CHECK(is_plain(BYTES(BIND_S1 DESCRIBE_P EXECUTE SYNC)));
    CHECK(is_plain(BYTES(BIND_S1 EXECUTE SYNC)));
    CHECK(is_plain(BYTES(BIND_P1 EXECUTE_P1 SYNC)));
}

TEST(whether_a_plain_batch_is_described_is_told)
{
    CHECK(read_whole(BYTES(BIND_S1 DESCRIBE_P EXECUTE SYNC)).described);
    CHECK(!read_whole(BYTES(BIND_S1 EXECUTE SYNC)).described);
}

TEST(anything_more_less_or_in_another_order_is_not_plain)
{
    CHECK(!is_plain(BYTES(PARSE_S1 SYNC)));
    CHECK(!is_plain(BYTES(PARSE_S1 BIND_S1 SYNC)));
    CHECK(!is_plain(BYTES(PARSE_S1 BIND_S1 DESCRIBE_P SYNC)));
    CHECK(!is_plain(BYTES(EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(DESCRIBE_P EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 PARSE_S1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(PARSE_S1 PARSE_S1 BIND_S1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(PARSE_S1 BIND_S1 BIND_S1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 EXECUTE EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 DESCRIBE_P DESCRIBE_P EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 EXECUTE DESCRIBE_P SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 EXECUTE CLOSE_S1 SYNC)));
    CHECK(!is_plain(BYTES(CLOSE_S1 PARSE_S1 BIND_S1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(PARSE_S1 BIND_S1 EXECUTE FLUSH)));
}

TEST(another_statement_or_portal_than_the_one_at_hand_is_not_plain)
{
    CHECK(!is_plain(BYTES(PARSE_S1 BIND_NONE EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(PARSE_NONE BIND_S1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_P1 EXECUTE SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 EXECUTE_P1 SYNC)));
    CHECK(!is_plain(BYTES(BIND_P1 DESCRIBE_P EXECUTE_P1 SYNC)));
    CHECK(!is_plain(BYTES(BIND_S1 DESCRIBE_S EXECUTE SYNC)));
}

TEST(a_part_of_the_rows_is_not_plain)
{
    CHECK(!is_plain(BYTES(BIND_S1 "E\0\0\0\x09\0\0\0\0\1" SYNC)));
}

/* ---- what is too long to wait for -------------------------------------------------------------
 */

TEST(a_query_up_to_the_most_is_waited_for_and_a_longer_one_passed_on)
{
    struct unit u;
    uint8_t *bytes = start_of('Q', UNIT_MOST, 5);
    CHECK(unit_read(bytes_of(bytes, 5), &u, &why) == E_AGAIN);
    put_u32(bytes + 1, UNIT_MOST);
    CHECK(unit_read(bytes_of(bytes, 5), &u, &why) == E_OK);
    CHECK(u.kind == UNIT_STREAM && u.type == 'Q' && u.size == UNIT_MOST + 1);
    CHECK(u.raw.ptr == bytes && u.raw.len == 5 && u.skip == 0);
    bytes[0] = 'F';
    CHECK(unit_read(bytes_of(bytes, 5), &u, &why) == E_OK);
    CHECK(u.kind == UNIT_STREAM && u.type == 'F');
    mem_free(&bytes);
}

/* A Bind of a megabyte, `here` bytes of it there. */
static uint8_t *long_bind(size_t here, const char *portal, const char *statement)
{
    uint8_t *bytes = start_of('B', 1000000, here);
    size_t at = FRAME_HEADER;
    memset(bytes + at, 'v', here - at);
    for (const char *p = portal;; p++) {
        bytes[at++] = (uint8_t)*p;
        if (*p == '\0') { break; }
    }
    for (const char *p = statement;; p++) {
        bytes[at++] = (uint8_t)*p;
        if (*p == '\0') { break; }
    }
    return bytes;
}

TEST(a_long_bind_is_passed_on_once_its_names_are_there)
{
    struct unit u;
    uint8_t *bytes = long_bind(UNIT_PREFIX, "p1", "s1");
    CHECK(unit_read(bytes_of(bytes, UNIT_PREFIX - 1), &u, &why) == E_AGAIN);
    CHECK(unit_read(bytes_of(bytes, UNIT_PREFIX), &u, &why) == E_OK);
    CHECK(u.kind == UNIT_STREAM && u.type == 'B' && u.size == 1000000);
    CHECK_STR(u.portal, "p1");
    CHECK_STR(u.statement, "s1");
    CHECK(u.skip == 5 + 3 + 3 && u.raw.len == UNIT_PREFIX);
    mem_free(&bytes);
}

TEST(a_long_bind_whose_names_do_not_end_is_refused)
{
    uint8_t *bytes = long_bind(UNIT_PREFIX, "p1", "s1");
    bytes[5 + 3 + 2] = 'v'; /* the statement's zero */
    check_refused(bytes_of(bytes, UNIT_PREFIX), E_PROTOCOL, "type B");
    bytes[5 + 2] = 'v'; /* and the portal's */
    check_refused(bytes_of(bytes, UNIT_PREFIX), E_PROTOCOL, "type B");
    /* A zero on the very last byte looked at closes the portal only. */
    bytes[UNIT_PREFIX - 1] = 0;
    check_refused(bytes_of(bytes, UNIT_PREFIX), E_PROTOCOL, "type B");
    bytes[UNIT_PREFIX - 2] = 0; /* now both end */
    struct unit u = read_whole(bytes_of(bytes, UNIT_PREFIX));
    CHECK(u.skip == UNIT_PREFIX && u.statement[0] == '\0');
    mem_free(&bytes);
}

TEST(what_stands_before_a_long_bind_is_sent_first)
{
    struct buf in = {0};
    buf_put_bytes(&in, BYTES(PARSE_S1));
    buf_put_bytes(&in, BYTES("B\0\x10\0\0"));
    struct unit u = read_whole(buf_view(&in));
    CHECK(u.kind == UNIT_BATCH && u.cut && u.size == sizeof PARSE_S1 - 1);
    buf_done(&in);
}

TEST(a_long_parse_is_waited_for_up_to_a_limit)
{
    struct unit u;
    uint8_t *bytes = start_of('P', UNIT_PARSE_MOST, 6);
    CHECK(unit_read(bytes_of(bytes, 6), &u, &why) == E_AGAIN);
    put_u32(bytes + 1, UNIT_PARSE_MOST);
    check_refused(bytes_of(bytes, 6), E_LIMIT, "too long");
    CHECK_STR(why.sqlstate, "54000");
    mem_free(&bytes);
}

TEST(a_long_parse_that_is_there_is_read)
{
    enum { LONG = UNIT_MOST + 1000 };
    uint8_t *bytes = start_of('P', LONG, LONG + 5);
    memset(bytes + FRAME_HEADER + 1, 'x', LONG - FRAME_HEADER - 4);
    bytes[LONG] = 'S';
    put_u32(bytes + LONG + 1, 4);
    struct unit u;
    CHECK(unit_read(bytes_of(bytes, LONG - 1), &u, &why) == E_AGAIN);
    u = read_whole(bytes_of(bytes, LONG + 5));
    CHECK(u.kind == UNIT_BATCH && u.has_parse && u.size >= LONG);
    CHECK(u.parse.text.len == LONG - FRAME_HEADER - 4);
    mem_free(&bytes);
}

TEST(other_long_messages_are_refused_unread)
{
    static const char types[] = "DECHS";
    for (const char *t = types; *t != '\0'; t++) {
        uint8_t *bytes = start_of((uint8_t)*t, UNIT_MOST + 1, 5);
        check_refused(bytes_of(bytes, 5), E_PROTOCOL, "bytes");
        mem_free(&bytes);
    }
}

TEST(a_batch_that_does_not_end_is_cut_when_enough_has_gathered)
{
    struct buf in = {0};
    struct unit u;
    while (buf_len(&in) <= UNIT_MOST) {
        CHECK(unit_read(buf_view(&in), &u, &why) == E_AGAIN);
        for (unsigned i = 0; i < 1000; i++) { buf_put_bytes(&in, BYTES(BIND_S1 EXECUTE)); }
    }
    CHECK(unit_read(buf_view(&in), &u, &why) == E_OK);
    CHECK(u.kind == UNIT_BATCH && u.cut && u.size > UNIT_MOST && u.size < UNIT_MOST + 100);
    CHECK(u.raw.len == u.size);
    buf_done(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_query_is_one_unit),
        RUN(a_query_is_waited_for_whole),
        RUN(a_query_without_its_zero_or_with_one_inside_is_malformed),
        RUN(an_empty_query_is_a_query),
        RUN(a_function_call_is_one_unit),
        RUN(other_types_are_refused_by_number),
        RUN(a_length_that_cannot_be_is_refused_as_soon_as_it_is_seen),
        RUN(a_batch_ends_at_its_sync),
        RUN(a_batch_ends_at_its_flush),
        RUN(a_batch_that_something_else_follows_is_cut_there),
        RUN(the_first_of_several_parses_and_binds_is_told),
        RUN(a_malformed_message_is_named_even_when_the_batch_goes_on),
        RUN(one_statement_asked_for_whole_is_plain),
        RUN(whether_a_plain_batch_is_described_is_told),
        RUN(anything_more_less_or_in_another_order_is_not_plain),
        RUN(another_statement_or_portal_than_the_one_at_hand_is_not_plain),
        RUN(a_part_of_the_rows_is_not_plain),
        RUN(a_query_up_to_the_most_is_waited_for_and_a_longer_one_passed_on),
        RUN(a_long_bind_is_passed_on_once_its_names_are_there),
        RUN(a_long_bind_whose_names_do_not_end_is_refused),
        RUN(what_stands_before_a_long_bind_is_sent_first),
        RUN(a_long_parse_is_waited_for_up_to_a_limit),
        RUN(a_long_parse_that_is_there_is_read),
        RUN(other_long_messages_are_refused_unread),
        RUN(a_batch_that_does_not_end_is_cut_when_enough_has_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
