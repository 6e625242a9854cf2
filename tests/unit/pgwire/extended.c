/* The extended protocol's messages: read in place, every length checked, rewritten exactly. */
#include "unit.h"

#include "base/buf.h"
#include "pgwire/extended.h"

/* Every shorter piece of a well-formed body must be refused, and so must one byte more. */
#define CHECK_EXACT(reader, type, body)                                                            \
    do {                                                                                           \
        uint8_t copy[256];                                                                         \
        struct bytes b_ = (body);                                                                  \
        type m_;                                                                                   \
        for (size_t len_ = 0; len_ < b_.len; len_++) {                                             \
            CHECK(reader(bytes_of(b_.ptr, len_), &m_) == E_PROTOCOL);                              \
        }                                                                                          \
        CHECK(reader(b_, &m_) == E_OK);                                                            \
        memcpy(copy, b_.ptr, b_.len);                                                              \
        copy[b_.len] = 0;                                                                          \
        CHECK(reader(bytes_of(copy, b_.len + 1), &m_) == E_PROTOCOL);                              \
    } while (0)

#define PARSE "s1\0SELECT $1\0\0\2\0\0\0\x17\0\0\0\x19"
/* portal p, statement s, formats {1, 0}, parameters "ab", NULL, "", results {1} */
#define BIND                                                                                       \
    "p\0s\0\0\2\0\1\0\0\0\3"                                                                       \
    "\0\0\0\2"                                                                                     \
    "ab\xff\xff\xff\xff\0\0\0\0\0\1\0\1"

TEST(parse_is_read_in_place)
{
    struct parse_msg m;
    CHECK(extended_read_parse(BYTES(PARSE), &m) == E_OK);
    CHECK_STR(m.name, "s1");
    CHECK(bytes_equal(m.text, BYTES("SELECT $1")));
    CHECK(m.types_count == 2 && get_u32(m.types) == 23 && get_u32(m.types + 4) == 25);
    CHECK_EXACT(extended_read_parse, struct parse_msg, BYTES(PARSE));
}

TEST(parse_with_more_types_than_bytes_is_refused)
{
    struct parse_msg m;
    CHECK(extended_read_parse(BYTES("\0x\0\xff\xff\0\0\0\x17"), &m) == E_PROTOCOL);
}

TEST(bind_is_read_in_place)
{
    struct bind_msg m;
    bool null = false;
    CHECK(extended_read_bind(BYTES(BIND), &m) == E_OK);
    CHECK_STR(m.portal, "p");
    CHECK_STR(m.statement, "s");
    CHECK(m.formats_count == 2 && m.params_count == 3 && m.results_count == 1);
    CHECK(get_u16(m.results) == 1);
    CHECK(bytes_equal(extended_bind_param(&m, 0, &null), BYTES("ab")) && !null);
    CHECK(extended_bind_param(&m, 1, &null).len == 0 && null);
    CHECK(extended_bind_param(&m, 2, &null).len == 0 && !null);
    CHECK(extended_bind_param(&m, 3, &null).len == 0 && null);
    CHECK(extended_bind_param(&m, 70000, &null).len == 0 && null);
    CHECK_EXACT(extended_read_bind, struct bind_msg, BYTES(BIND));
}

TEST(a_walk_sees_the_parameters_in_order)
{
    struct bind_msg m;
    struct bind_walk w = {0};
    struct bytes value;
    bool null = false;
    CHECK(extended_read_bind(BYTES(BIND), &m) == E_OK);
    CHECK(extended_bind_next(&m, &w, &value, &null));
    CHECK(bytes_equal(value, BYTES("ab")) && !null);
    CHECK(extended_bind_next(&m, &w, &value, &null));
    CHECK(null);
    CHECK(extended_bind_next(&m, &w, &value, &null));
    CHECK(value.len == 0 && !null);
    CHECK(!extended_bind_next(&m, &w, &value, &null));
    CHECK(w.n == 3);
}

TEST(negative_parameter_lengths_other_than_null_are_refused)
{
    struct bind_msg m;
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\1\xff\xff\xff\xff\0\0"), &m) == E_OK);
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\1\xff\xff\xff\xfe\0\0"), &m) == E_PROTOCOL);
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\1\x80\0\0\0\0\0"), &m) == E_PROTOCOL);
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"), &m) == E_PROTOCOL);
}

TEST(absurd_counts_are_refused)
{
    struct bind_msg m;
    CHECK(extended_read_bind(BYTES("\0\0\xff\xff\0\0\0\0"), &m) == E_PROTOCOL);
    CHECK(extended_read_bind(BYTES("\0\0\0\0\xff\xff\0\0"), &m) == E_PROTOCOL);
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\0\xff\xff"), &m) == E_PROTOCOL);
    /* a length that would reach exactly past the results count */
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\1\0\0\0\2\0\0"), &m) == E_PROTOCOL);
}

TEST(the_most_parameters_a_count_can_tell_are_read)
{
    struct buf body = {0};
    buf_put(&body, "\0\0\0\0\xff\xff", 6);
    for (int i = 0; i < 65535; i++) { buf_put_u32(&body, UINT32_MAX); }
    buf_put_u16(&body, 0);
    struct bind_msg m;
    CHECK(extended_read_bind(buf_view(&body), &m) == E_OK);
    CHECK(m.params_count == 65535);
    struct bind_walk w = {0};
    struct bytes value;
    bool null = false;
    while (extended_bind_next(&m, &w, &value, &null)) { CHECK(null); }
    CHECK(w.n == 65535);
    buf_done(&body);
}

TEST(formats_none_one_and_many)
{
    struct bind_msg m;
    CHECK(extended_read_bind(BYTES("\0\0\0\0\0\0\0\0"), &m) == E_OK);
    CHECK(extended_bind_format(&m, 0) == 0 && extended_bind_format(&m, 9) == 0);
    CHECK(extended_read_bind(BYTES("\0\0\0\1\0\1\0\0\0\0"), &m) == E_OK);
    CHECK(extended_bind_format(&m, 0) == 1 && extended_bind_format(&m, 9) == 1);
    CHECK(extended_read_bind(BYTES(BIND), &m) == E_OK);
    CHECK(extended_bind_format(&m, 0) == 1 && extended_bind_format(&m, 1) == 0);
    CHECK(extended_bind_format(&m, 2) == 0 && extended_bind_format(&m, UINT32_MAX) == 0);
}

TEST(describe_and_close_name_a_statement_or_a_portal)
{
    struct target_msg m;
    CHECK(extended_read_target(BYTES("Sabc\0"), &m) == E_OK);
    CHECK(m.kind == 'S');
    CHECK_STR(m.name, "abc");
    CHECK(extended_read_target(BYTES("P\0"), &m) == E_OK);
    CHECK(m.kind == 'P');
    CHECK_STR(m.name, "");
    CHECK(extended_read_target(BYTES("X\0"), &m) == E_PROTOCOL);
    CHECK_EXACT(extended_read_target, struct target_msg, BYTES("Sabc\0"));
}

TEST(execute_names_a_portal_and_a_limit)
{
    struct execute_msg m;
    CHECK(extended_read_execute(BYTES("c1\0\0\0\1\0"), &m) == E_OK);
    CHECK_STR(m.portal, "c1");
    CHECK(m.max_rows == 256);
    CHECK_EXACT(extended_read_execute, struct execute_msg, BYTES("c1\0\0\0\1\0"));
}

TEST(a_query_ends_at_its_only_zero)
{
    struct bytes text;
    CHECK(extended_read_query(BYTES("SELECT 1\0"), &text) == E_OK);
    CHECK(bytes_equal(text, BYTES("SELECT 1")));
    CHECK(extended_read_query(BYTES("\0"), &text) == E_OK);
    CHECK(text.len == 0);
    CHECK(extended_read_query(BYTES("SELECT 1"), &text) == E_PROTOCOL);
    CHECK(extended_read_query(BYTES("SELECT 1\0; DROP TABLE t\0"), &text) == E_PROTOCOL);
    CHECK(extended_read_query(bytes_of(NULL, 0), &text) == E_PROTOCOL);
}

TEST(a_message_is_written_again_under_another_name)
{
    struct buf out = {0};
    struct parse_msg p;
    CHECK(extended_read_parse(BYTES(PARSE), &p) == E_OK);
    extended_put_parse(&out, "pgu_1", p.text, p.types, p.types_count);
    CHECK(bytes_equal(buf_view(&out), BYTES("P\0\0\0\x1e"
                                            "pgu_1\0SELECT $1\0\0\2\0\0\0\x17\0\0\0\x19")));
    buf_clear(&out);

    struct bind_msg b;
    CHECK(extended_read_bind(BYTES(BIND), &b) == E_OK);
    extended_put_bind(&out, b.portal, "st", b.rest);
    CHECK(bytes_equal(buf_view(&out), BYTES("B\0\0\0\x23p\0st\0\0\2\0\1\0\0\0\3\0\0\0\2"
                                            "ab\xff\xff\xff\xff\0\0\0\0\0\1\0\1")));
    buf_clear(&out);

    extended_put_target(&out, 'D', 'S', "st");
    CHECK(bytes_equal(buf_view(&out), BYTES("D\0\0\0\x08Sst\0")));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(parse_is_read_in_place),
        RUN(parse_with_more_types_than_bytes_is_refused),
        RUN(bind_is_read_in_place),
        RUN(a_walk_sees_the_parameters_in_order),
        RUN(negative_parameter_lengths_other_than_null_are_refused),
        RUN(absurd_counts_are_refused),
        RUN(the_most_parameters_a_count_can_tell_are_read),
        RUN(formats_none_one_and_many),
        RUN(describe_and_close_name_a_statement_or_a_portal),
        RUN(execute_names_a_portal_and_a_limit),
        RUN(a_query_ends_at_its_only_zero),
        RUN(a_message_is_written_again_under_another_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
