/* What is believed of a server's settings, as its answers come in. */
#include "unit.h"

#include "small.h"

static struct server *server;
static const struct varset *none, *one, *two;

static int start(void **state)
{
    (void)state;
    server = server_small(10);
    none = varset_ref(varset_empty());
    one = SET("a.b", "1");
    two = SET("a.b", "2");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    server_free(&server);
    CHECK(server == NULL);
    varset_unref(&none);
    varset_unref(&one);
    varset_unref(&two);
    return 0;
}

/* The answer to a statement: its tag, or NULL for an error; then ReadyForQuery, unless 0. */
static void answer(const char *tag, char status)
{
    if (tag == NULL) {
        server_saw_error(server);
    } else {
        server_saw_tag(server, tag);
    }
    if (status != 0) { server_saw_ready(server, (uint8_t)status); }
}

static void check_belief(const struct varset *have, const struct varset *now, bool sure)
{
    CHECK(server->have == have);
    CHECK(server->now == now);
    CHECK(server->sure == sure);
}

/* ---- a statement of the client's */

TEST(a_setting_is_kept_when_its_statement_succeeds)
{
    server_assume(server, one);
    check_belief(none, one, true);
    answer("SET", 'I');
    check_belief(one, one, true);
}

TEST(a_setting_is_undone_when_its_statement_fails)
{
    server_assume(server, one);
    answer(NULL, 'I');
    check_belief(none, none, true);
}

TEST(a_setting_in_a_transaction_is_kept_by_its_commit)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    check_belief(none, one, true);
    answer("COMMIT", 'I');
    check_belief(one, one, true);
}

TEST(a_setting_in_a_transaction_is_undone_by_its_rollback)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("ROLLBACK", 'I');
    check_belief(none, none, true);
}

TEST(a_commit_of_a_failed_transaction_is_a_rollback)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer(NULL, 'E');
    check_belief(none, one, true);
    answer("ROLLBACK", 'I'); /* what PostgreSQL answers to COMMIT then */
    check_belief(none, none, true);
}

TEST(a_transaction_that_failed_at_its_commit_is_undone)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer(NULL, 'I'); /* a deferred constraint: COMMIT itself fails */
    check_belief(none, none, true);
}

TEST(a_rollback_to_a_savepoint_leaves_the_settings_unknown)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("SAVEPOINT", 'T');
    server_assume(server, two);
    answer("SET", 'T');
    answer("ROLLBACK", 'T');
    CHECK(!server->sure);
    CHECK(!server_is_clean(server));
    answer("ROLLBACK", 'I'); /* the whole of it: what was before is known */
    CHECK(server->now == none && server->have == none);
}

TEST(a_rollback_goes_back_to_what_is_known)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("SAVEPOINT", 'T');
    server_assume(server, two);
    answer("SET", 'T');
    server_goes_back(server, one, true);
    CHECK(server->now == two);
    answer("ROLLBACK", 'T');
    check_belief(none, one, true);
    answer("COMMIT", 'I');
    check_belief(one, one, true);
}

TEST(a_rollback_that_fails_goes_back_to_nothing)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    server_goes_back(server, none, true);
    answer(NULL, 'E');
    answer("ROLLBACK", 'T'); /* another one */
    CHECK(!server->sure && server->now == one);
}

TEST(a_rollback_to_a_savepoint_where_nothing_was_set_costs_nothing)
{
    answer("BEGIN", 'T');
    answer("SAVEPOINT", 'T');
    answer("ROLLBACK", 'T');
    check_belief(none, none, true);
    answer("COMMIT", 'I');
    check_belief(none, none, true);
}

TEST(unknown_settings_that_were_committed_stay_unknown)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("ROLLBACK", 'T');
    answer("COMMIT", 'I');
    CHECK(!server->sure);
    CHECK(!server_is_clean(server));
}

TEST(a_commit_and_chain_keeps_what_was_set_before_it)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("COMMIT", 'T'); /* AND CHAIN */
    check_belief(one, one, true);
    server_assume(server, two);
    answer("SET", 'T');
    answer("ROLLBACK", 'I');
    check_belief(one, one, true);
}

TEST(a_commit_before_an_error_in_one_query_keeps_what_it_committed)
{
    server_assume(server, one);
    answer("BEGIN", 0);
    answer("SET", 0);
    answer("COMMIT", 0);
    answer(NULL, 'I');
    check_belief(one, one, true);
}

TEST(an_error_is_forgotten_once_the_server_is_ready)
{
    answer(NULL, 'I');
    server_assume(server, one);
    answer("SET", 'I');
    check_belief(one, one, true);
}

/* ---- prelude */

static void check_prelude(const char *const *texts)
{
    struct buf want = {0};
    size_t count = 0;
    for (; texts[count] != NULL; count++) {
        buf_put_u8(&want, 'P'); /* Parse "" */
        buf_put_u32(&want, (uint32_t)(4 + 1 + strlen(texts[count]) + 1 + 2));
        buf_put_u8(&want, 0);
        buf_put_str(&want, texts[count]);
        buf_put_u16(&want, 0);
        buf_put_bytes(&want, BYTES("B\0\0\0\x0c\0\0\0\0\0\0\0\0")); /* Bind "" to "" */
        buf_put_bytes(&want, BYTES("E\0\0\0\x09\0\0\0\0\0"));       /* Execute "", all rows */
    }
    CHECK(bytes_equal(buf_view(&server->stream.out), buf_view(&want)));
    CHECK(server->expects.count == 3 * count);
    for (uint32_t i = 0; i < server->expects.count; i++) {
        static const uint8_t kinds[] = {EXPECT_PARSE, EXPECT_BIND, EXPECT_EXECUTE};
        const struct expect *e = expects_at(&server->expects, i);
        CHECK(e->kind == kinds[i % 3] && e->owner == OWNER_NOBODY);
    }
    buf_done(&want);
    expects_clear(&server->expects);
    buf_clear(&server->stream.out);
}
#define CHECK_PRELUDE(...) check_prelude((const char *const[]){__VA_ARGS__, NULL})

TEST(a_server_that_has_the_settings_gets_none)
{
    CHECK(server_prelude(server, none) == 0);
    CHECK(buf_len(&server->stream.out) == 0 && server->expects.count == 0);
}

TEST(each_setting_is_a_message_of_its_own_with_no_sync_behind)
{
    const struct varset *want = SET("a.b", "1", "c", "it's");
    CHECK(server_prelude(server, want) == 2);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '1'", "SET \"c\" TO 'it''s'");
    check_belief(none, want, true);
    answer("SET", 0);
    answer("SET", 0);
    answer("SELECT 1", 'I');
    check_belief(want, want, true);
    CHECK(server_prelude(server, want) == 0);
    varset_unref(&want);
}

TEST(settings_go_back_when_the_request_behind_them_fails)
{
    CHECK(server_prelude(server, one) == 1);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '1'");
    answer("SET", 0);
    answer(NULL, 'I'); /* one implicit transaction */
    check_belief(none, none, true);
    CHECK(server_prelude(server, one) == 1);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '1'");
}

TEST(what_another_client_had_set_is_reset)
{
    server_assume(server, one);
    answer("SET", 'I');
    CHECK(server_prelude(server, none) == 1);
    CHECK_PRELUDE("RESET \"a\".\"b\"");
}

TEST(unknown_settings_are_all_set_again)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("ROLLBACK", 'T');
    CHECK(!server->sure && server->now == one);
    CHECK(server_prelude(server, one) == 1);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '1'");
    CHECK(server->sure);
}

TEST(a_custom_setting_is_known_to_a_server_for_good)
{
    CHECK(varset_get(server->customs, "a.b") == NULL);
    CHECK(server_prelude(server, one) == 1);
    CHECK(server_prelude(server, none) == 1);
    CHECK(varset_get(server->customs, "A.b") != NULL);
}

TEST(settings_that_go_back_to_unknown_ones_stay_unknown)
{
    answer("BEGIN", 'T');
    server_assume(server, one);
    answer("SET", 'T');
    answer("SAVEPOINT", 'T');
    server_assume(server, two);
    answer("SET", 'T');
    answer("ROLLBACK", 'T');
    answer("COMMIT", 'I'); /* it is at one, which is not known here */
    CHECK(server_prelude(server, two) == 1);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '2'");
    answer("SET", 0);
    answer(NULL, 'I'); /* the request fails: it is at one again */
    CHECK(!server->sure);
    CHECK(server_prelude(server, two) == 1);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '2'");
    answer("SET", 0);
    answer("SELECT 1", 'I');
    check_belief(two, two, true);
}

TEST(a_prelude_takes_the_unnamed_statement_s_place)
{
    server->unnamed = prepared_intern(BYTES("select 1"), NULL, 0, reading_any());
    CHECK(server_prelude(server, one) == 1);
    CHECK(server->unnamed == NULL);
    CHECK_PRELUDE("SET \"a\".\"b\" TO '1'");
    server->unnamed = prepared_intern(BYTES("select 1"), NULL, 0, reading_any());
    server_prelude_text(server, "BEGIN");
    CHECK(server->unnamed == NULL);
    CHECK_PRELUDE("BEGIN");
}

/* ---- order and parameters */

TEST(a_server_is_clean_only_with_nothing_owed_open_or_left_over)
{
    CHECK(server_is_clean(server));
    expects_push(&server->expects, EXPECT_SYNC, OWNER_CLIENT, NULL);
    CHECK(!server_is_clean(server));
    expects_clear(&server->expects);
    answer("BEGIN", 'T');
    CHECK(!server_is_clean(server));
    answer(NULL, 'E');
    CHECK(!server_is_clean(server));
    answer("ROLLBACK", 'I');
    CHECK(server_is_clean(server));
    server->copy_in = true;
    CHECK(!server_is_clean(server));
    server->copy_in = false;
    server->torn = true;
    CHECK(!server_is_clean(server));
    server->torn = false;
    buf_put_u8(&server->stream.in, 'Z'); /* it said something that nobody looked at */
    CHECK(!server_is_clean(server));
    buf_clear(&server->stream.in);
    buf_put_u8(&server->stream.out, 'Q');
    CHECK(!server_is_clean(server));
    buf_clear(&server->stream.out);
    server->stream.state = E_EOF;
    CHECK(!server_is_clean(server));
}

TEST(the_last_report_of_a_parameter_counts)
{
    CHECK(server_param(server, "TimeZone") == NULL);
    CHECK(server_keep_param(server, BYTES("TimeZone\0UTC\0")));
    CHECK(server_keep_param(server, BYTES("DateStyle\0ISO\0")));
    CHECK(server_keep_param(server, BYTES("TimeZone\0Europe/Berlin\0")));
    CHECK_STR(server_param(server, "TimeZone"), "Europe/Berlin");
    CHECK_STR(server_param(server, "DateStyle"), "ISO");
    CHECK(server->params_count == 2);
}

TEST(a_malformed_report_is_refused_and_changes_nothing)
{
    CHECK(server_keep_param(server, BYTES("TimeZone\0UTC\0")));
    CHECK(!server_keep_param(server, BYTES("TimeZone\0UTC")));
    CHECK(!server_keep_param(server, BYTES("TimeZone")));
    CHECK(!server_keep_param(server, BYTES("")));
    CHECK_STR(server_param(server, "TimeZone"), "UTC");
    CHECK(server->params_count == 1);
}

TEST(a_server_cannot_report_parameters_without_end)
{
    struct buf body = {0};
    unsigned kept = 0;
    for (unsigned i = 0; i < 100000; i++) {
        buf_clear(&body);
        buf_printf(&body, "p%u%cx%c", i, 0, 0);
        if (!server_keep_param(server, buf_view(&body))) { break; }
        kept++;
    }
    CHECK(kept >= 100 && kept < 1000);
    CHECK(server_keep_param(server, BYTES("p1\0new\0"))); /* a known one goes on */
    CHECK_STR(server_param(server, "p1"), "new");
    buf_done(&body);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_setting_is_kept_when_its_statement_succeeds),
        EACH(a_setting_is_undone_when_its_statement_fails),
        EACH(a_setting_in_a_transaction_is_kept_by_its_commit),
        EACH(a_setting_in_a_transaction_is_undone_by_its_rollback),
        EACH(a_commit_of_a_failed_transaction_is_a_rollback),
        EACH(a_transaction_that_failed_at_its_commit_is_undone),
        EACH(a_rollback_to_a_savepoint_leaves_the_settings_unknown),
        EACH(a_rollback_goes_back_to_what_is_known),
        EACH(a_rollback_that_fails_goes_back_to_nothing),
        EACH(a_rollback_to_a_savepoint_where_nothing_was_set_costs_nothing),
        EACH(unknown_settings_that_were_committed_stay_unknown),
        EACH(a_commit_and_chain_keeps_what_was_set_before_it),
        EACH(a_commit_before_an_error_in_one_query_keeps_what_it_committed),
        EACH(an_error_is_forgotten_once_the_server_is_ready),
        EACH(a_server_that_has_the_settings_gets_none),
        EACH(each_setting_is_a_message_of_its_own_with_no_sync_behind),
        EACH(settings_go_back_when_the_request_behind_them_fails),
        EACH(what_another_client_had_set_is_reset),
        EACH(unknown_settings_are_all_set_again),
        EACH(a_custom_setting_is_known_to_a_server_for_good),
        EACH(settings_that_go_back_to_unknown_ones_stay_unknown),
        EACH(a_prelude_takes_the_unnamed_statement_s_place),
        EACH(a_server_is_clean_only_with_nothing_owed_open_or_left_over),
        EACH(the_last_report_of_a_parameter_counts),
        EACH(a_malformed_report_is_refused_and_changes_nothing),
        EACH(a_server_cannot_report_parameters_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
