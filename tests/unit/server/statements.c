/* Which statements a server has under its own names, and what it is sent to get them. */
#include "unit.h"

#include "pgwire/frame.h"
#include "small.h"

static struct server *server;
static const struct prepared *a, *b, *c;

static int start(void **state)
{
    (void)state;
    static const uint8_t int4[] = {0, 0, 0, 23};
    server = server_small(2);
    a = prepared_intern(BYTES("select a"), NULL, 0, reading_any());
    b = prepared_intern(BYTES("select $1"), int4, 1, reading_any());
    c = prepared_intern(BYTES("select c"), NULL, 0, reading_any());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_free(&server);
    prepared_unref(&a);
    prepared_unref(&b);
    prepared_unref(&c);
    return 0;
}

static void put_parse(struct buf *to, const struct prepared *p)
{
    char name[PREPARED_NAME];
    prepared_name(p, name);
    size_t types = (size_t)p->types_count * 4;
    buf_put_u8(to, 'P');
    buf_put_u32(to, (uint32_t)(4 + strlen(name) + 1 + p->text.len + 1 + 2 + types));
    buf_put_str(to, name);
    buf_put_bytes(to, p->text);
    buf_put_u8(to, 0);
    buf_put_u16(to, p->types_count);
    buf_put(to, p->types, types);
}

static void put_close(struct buf *to, const struct prepared *p)
{
    char name[PREPARED_NAME];
    prepared_name(p, name);
    buf_put_u8(to, 'C');
    buf_put_u32(to, (uint32_t)(4 + 1 + strlen(name) + 1));
    buf_put_u8(to, 'S');
    buf_put_str(to, name);
}

/* What was sent since the last look; NULL for nothing of that kind. */
static void check_sent(const struct prepared *closed, const struct prepared *parsed)
{
    struct buf want = {0};
    if (closed != NULL) { put_close(&want, closed); }
    if (parsed != NULL) { put_parse(&want, parsed); }
    CHECK(bytes_equal(buf_view(&server->stream.out), buf_view(&want)));
    buf_done(&want);
    buf_clear(&server->stream.out);
}

static void check_owed(enum expect_kind kind, enum expect_owner owner, const struct prepared *p,
                       const char *name)
{
    struct expect e = expects_pop(&server->expects);
    CHECK(e.kind == kind && e.owner == owner && e.prepared == p);
    if (name == NULL) {
        CHECK(e.name == NULL);
    } else {
        CHECK_STR(e.name, name);
    }
    expect_done(&e);
}

/* The server skipped a Parse of it. */
static void skip_parse(const struct prepared *p)
{
    const struct expect e = {.kind = EXPECT_PARSE, .owner = OWNER_NOBODY, .prepared = p};
    server_skipped(server, &e);
}

TEST(a_statement_that_is_needed_is_parsed_once_and_its_answer_swallowed)
{
    CHECK(!server_has(server, b));
    server_need(server, b);
    CHECK(server_has(server, b));
    check_sent(NULL, b);
    check_owed(EXPECT_PARSE, OWNER_NOBODY, b, NULL);
    server_need(server, b);
    check_sent(NULL, NULL);
    CHECK(server->expects.count == 0);
}

TEST(the_client_s_own_parse_is_answered_to_the_client)
{
    server_parse(server, a, "mine");
    CHECK(server_has(server, a));
    check_sent(NULL, a);
    check_owed(EXPECT_PARSE, OWNER_CLIENT, a, "mine");
}

TEST(the_statement_longest_unused_is_closed_for_a_new_one)
{
    server_need(server, a);
    server_need(server, b);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_need(server, a); /* a is used again: b is the oldest now */
    server_need(server, c);
    check_sent(b, c);
    check_owed(EXPECT_CLOSE, OWNER_NOBODY, b, NULL);
    check_owed(EXPECT_PARSE, OWNER_NOBODY, c, NULL);
    CHECK(server_has(server, a) && !server_has(server, b) && server_has(server, c));
    CHECK(server->statements_count == 2);
}

TEST(a_closed_statement_is_parsed_anew)
{
    server_need(server, a);
    server_need(server, b);
    server_need(server, c);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_need(server, a);
    check_sent(b, a);
}

TEST(the_client_s_parse_closes_the_oldest_too)
{
    server_need(server, a);
    server_need(server, b);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_parse(server, c, "mine");
    check_sent(a, c);
    check_owed(EXPECT_CLOSE, OWNER_NOBODY, a, NULL);
    check_owed(EXPECT_PARSE, OWNER_CLIENT, c, "mine");
}

TEST(a_skipped_parse_is_sent_again_when_it_is_needed)
{
    server_need(server, a);
    server_need(server, b);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    skip_parse(b);
    CHECK(server_has(server, a) && !server_has(server, b));
    CHECK(server->statements_count == 1);
    server_need(server, b);
    check_sent(NULL, b);
}

static const struct prepared *read_under(const struct varset *settings, uint64_t odd)
{
    struct reading how = {.settings = varset_reading(settings), .odd = odd};
    return prepared_intern(BYTES("select a"), NULL, 0, how);
}

TEST(what_is_read_under_other_settings_is_another_statement)
{
    const struct varset *german = SET("DateStyle", "German", "work_mem", "8MB");
    const struct varset *alike = SET("DateStyle", "German");
    const struct prepared *g = read_under(german, 0), *same = read_under(alike, 0);
    const struct prepared *odd = read_under(german, 7);
    CHECK(g != a && g == same && odd != g);
    server_need(server, a);
    CHECK(server_has(server, a) && !server_has(server, g));
    prepared_unref(&g);
    prepared_unref(&same);
    prepared_unref(&odd);
    varset_unref(&german);
    varset_unref(&alike);
}

TEST(a_transaction_that_reads_in_its_own_way_is_told_apart)
{
    CHECK(server_reading(server).odd == 0);
    server_reads_oddly(server);
    const struct reading odd = server_reading(server);
    CHECK(odd.odd != 0);
    server_saw_ready(server, 'T');
    CHECK(reading_equal(server_reading(server), odd));
    server_saw_ready(server, 'I');
    CHECK(server_reading(server).odd == 0);
}

static void check_kinds(const char *kinds)
{
    struct bytes sent = buf_view(&server->stream.out);
    while (sent.len > 0) {
        CHECK(*kinds != '\0' && sent.ptr[0] == (uint8_t)*kinds);
        kinds++;
        sent = bytes_skip(sent, 1 + get_u32(sent.ptr + 1));
    }
    CHECK(*kinds == '\0');
    buf_clear(&server->stream.out);
}

TEST(a_statement_is_parsed_under_the_settings_it_was_read_under)
{
    const struct varset *german = SET("DateStyle", "German");
    const struct prepared *g = read_under(german, 0);
    server_need(server, g);
    check_kinds("PBECC" /* SET */ "P"
                "PBECC" /* RESET */);
    CHECK(server->now == varset_empty() && server->expects.count == 11);
    CHECK(server_has(server, g));
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_need(server, g);
    check_kinds("");
    skip_parse(g);
    server_assume(server, german);
    server_need(server, g);
    check_kinds("P");
    prepared_unref(&g);
    varset_unref(&german);
}

TEST(a_failed_transaction_is_not_given_settings_for_a_parse)
{
    const struct varset *german = SET("DateStyle", "German");
    const struct prepared *g = read_under(german, 0);
    server->status = 'E';
    server_need(server, g);
    check_kinds("P");
    prepared_unref(&g);
    varset_unref(&german);
}

TEST(a_void_plan_is_made_anew_on_every_server)
{
    server_need(server, a);
    server_need(server, b);
    server_plan_failed(server, a->id);
    CHECK(!server_has(server, a) && server_has(server, b));
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_need(server, a);
    check_sent(a, a);
    CHECK(server_has(server, a) && server->statements_count == 2);
    prepared_outdated(a, prepared_turn(a) - 1); /* another server had one as old */
    CHECK(server_has(server, a));
}

TEST(the_fate_of_a_statement_that_is_gone_already_is_of_no_interest)
{
    skip_parse(a);
    server_need(server, a);
    expects_clear(&server->expects);
    server_forget_statements(server);
    skip_parse(a);
    CHECK(server->statements_count == 0);
}

TEST(discard_all_forgets_the_unnamed_statement_as_well)
{
    server_need(server, a);
    server_need(server, b);
    server->unnamed = prepared_ref(c);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_forget_statements(server);
    CHECK(!server_has(server, a) && !server_has(server, b) && server->unnamed == NULL);
    CHECK(server->statements_count == 0);
    server_need(server, a);
    check_sent(NULL, a);
}

TEST(discard_all_keeps_what_is_parsed_behind_it)
{
    server_need(server, a);
    expects_clear(&server->expects);
    server_need(server, b); /* its answer is still to come: it was sent after */
    server_forget_statements(server);
    CHECK(!server_has(server, a) && server_has(server, b));
}

TEST(many_statements_never_exceed_the_limit)
{
    for (unsigned i = 0; i < 300; i++) {
        struct buf text = {0};
        buf_printf(&text, "select %u", i % 70);
        const struct prepared *p = prepared_intern(buf_view(&text), NULL, 0, reading_any());
        server_need(server, p);
        CHECK(server_has(server, p));
        CHECK(server->statements_count <= 2);
        prepared_unref(&p);
        buf_done(&text);
    }
}

TEST(a_statement_lives_on_a_server_when_every_client_has_forgotten_it)
{
    const struct prepared *p = prepared_intern(BYTES("select d"), NULL, 0, reading_any());
    server_need(server, p);
    expects_clear(&server->expects);
    const struct prepared *held = p;
    prepared_unref(&p);
    p = prepared_intern(BYTES("select d"), NULL, 0,
                        reading_any()); /* the next client finds the same one */
    CHECK(p == held && server_has(server, p));
    prepared_unref(&p);
}

static const struct prepared *named(const char *sql)
{
    return prepared_intern_sql(bytes_str(sql), reading_any());
}

/* The kinds of messages sent since the last look. */

TEST(a_name_stands_for_the_statement_of_who_was_here_last)
{
    const struct prepared *one = named("prepare x as select 1"),
                          *two = named("prepare x as select 2");
    CHECK(server_has_name(server, "x", NULL));
    server_need_name(server, "x", one);
    check_kinds("PBEC"); /* the portal is closed */
    CHECK(server_has_name(server, "x", one) && !server_has_name(server, "x", two));
    server_need_name(server, "x", one);
    check_kinds("");
    server_need_name(server, "x", a); /* by protocol */
    check_kinds("CP");
    server_need_name(server, "x", NULL);
    check_kinds("C");
    server_need_name(server, "x", NULL);
    check_kinds("");
    prepared_unref(&one);
    prepared_unref(&two);
}

TEST(a_name_whose_fate_is_unknown_is_closed_before_it_is_used)
{
    const struct prepared *one = named("prepare x as select 1");
    server_assume_name(server, "x", one);
    CHECK(server_has_name(server, "x", one));
    struct expects x = {0};
    expects_push(&x, EXPECT_EXECUTE, OWNER_CLIENT, NULL);
    expects_add_naming(&x, NAMING_DEALLOCATE, "x", NULL);
    expects_add_naming(&x, NAMING_DEALLOCATE, "nosuch", NULL);
    server_assume_name(server, "x", NULL);
    struct expect e = expects_pop(&x);
    server_skipped(server, &e);
    CHECK(!server_has_name(server, "x", one) && !server_has_name(server, "x", NULL));
    CHECK(!server_has_name(server, "nosuch", NULL));
    server_need_name(server, "x", one);
    check_kinds("CPBEC");
    server_need_name(server, "nosuch", NULL);
    check_kinds("C");
    CHECK(server_has_name(server, "x", one) && server->statements_count == 1);
    expect_done(&e);
    expects_done(&x);
    prepared_unref(&one);
}

TEST(what_discard_all_may_have_dropped_is_closed_before_it_is_parsed_again)
{
    const struct prepared *one = named("prepare x as select 1");
    server_need(server, a);
    server_need_name(server, "x", one);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
    server_doubt_statements(server);
    CHECK(!server_has(server, a) && !server_has_name(server, "x", one));
    server_need(server, a);
    check_kinds("CP");
    server_need_name(server, "x", one);
    check_kinds("CPBEC");
    server_forget_statements(server); /* it was done before those were made */
    CHECK(server_has(server, a) && server_has_name(server, "x", one));
    prepared_unref(&one);
}

TEST(names_count_among_the_statements_that_are_kept)
{
    const struct prepared *one = named("prepare x as select 1");
    server_need_name(server, "x", one);
    server_need(server, a);
    server_need(server, b); /* closes x, which is the oldest */
    CHECK(server->statements_count == 2 && server_has_name(server, "x", NULL));
    server_need_name(server, "x", one); /* a text may need many at a time */
    CHECK(server->statements_count == 3);
    server_trim_statements(server);
    CHECK(server->statements_count == 2 && server_has_name(server, "x", one));
    prepared_unref(&one);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_statement_that_is_needed_is_parsed_once_and_its_answer_swallowed),
        EACH(the_client_s_own_parse_is_answered_to_the_client),
        EACH(the_statement_longest_unused_is_closed_for_a_new_one),
        EACH(a_closed_statement_is_parsed_anew),
        EACH(the_client_s_parse_closes_the_oldest_too),
        EACH(a_skipped_parse_is_sent_again_when_it_is_needed),
        EACH(what_is_read_under_other_settings_is_another_statement),
        EACH(a_transaction_that_reads_in_its_own_way_is_told_apart),
        EACH(a_statement_is_parsed_under_the_settings_it_was_read_under),
        EACH(a_failed_transaction_is_not_given_settings_for_a_parse),
        EACH(a_void_plan_is_made_anew_on_every_server),
        EACH(the_fate_of_a_statement_that_is_gone_already_is_of_no_interest),
        EACH(discard_all_forgets_the_unnamed_statement_as_well),
        EACH(discard_all_keeps_what_is_parsed_behind_it),
        EACH(many_statements_never_exceed_the_limit),
        EACH(a_statement_lives_on_a_server_when_every_client_has_forgotten_it),
        EACH(a_name_stands_for_the_statement_of_who_was_here_last),
        EACH(a_name_whose_fate_is_unknown_is_closed_before_it_is_used),
        EACH(what_discard_all_may_have_dropped_is_closed_before_it_is_parsed_again),
        EACH(names_count_among_the_statements_that_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
