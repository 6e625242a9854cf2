/* What a server owes, in order; and who holds which reference. */
#include "unit.h"

#include "server/expect.h"

static struct expects owed;
static const struct prepared *text;

static int start(void **state)
{
    (void)state;
    text = prepared_intern(BYTES("select 1"), NULL, 0, reading_any());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    expects_done(&owed);
    owed = (struct expects){0};
    prepared_unref(&text);
    return 0;
}

static void push(enum expect_kind kind)
{
    expects_push(&owed, kind, OWNER_CLIENT, NULL);
}

static void check_pop(enum expect_kind kind)
{
    struct expect e = expects_pop(&owed);
    CHECK(e.kind == kind);
    expect_done(&e);
}

TEST(nothing_owed_has_no_head)
{
    CHECK(expects_head(&owed) == NULL);
    CHECK(expects_at(&owed, 0) == NULL);
    expects_clear(&owed);
    expects_drop_syncs_after_head(&owed);
    CHECK(owed.count == 0);
}

TEST(what_was_asked_first_is_owed_first)
{
    push(EXPECT_PARSE);
    push(EXPECT_BIND);
    expects_push(&owed, EXPECT_SYNC, OWNER_NOBODY, NULL);
    CHECK(expects_head(&owed)->kind == EXPECT_PARSE);
    CHECK(expects_head(&owed)->owner == OWNER_CLIENT);
    CHECK(expects_at(&owed, 2)->kind == EXPECT_SYNC && expects_at(&owed, 2)->owner == OWNER_NOBODY);
    CHECK(expects_at(&owed, 3) == NULL);
    check_pop(EXPECT_PARSE);
    check_pop(EXPECT_BIND);
    check_pop(EXPECT_SYNC);
    CHECK(expects_head(&owed) == NULL);
}

TEST(the_order_survives_growth_wherever_the_ring_began)
{
    for (unsigned shift = 0; shift < 16; shift++) {
        for (unsigned i = 0; i < shift; i++) { push(EXPECT_QUERY); }
        for (unsigned i = 0; i < shift; i++) { check_pop(EXPECT_QUERY); }
        for (unsigned i = 0; i < 100; i++) { push((enum expect_kind)(i % EXPECT_FAKE)); }
        for (unsigned i = 0; i < 100; i++) { check_pop((enum expect_kind)(i % EXPECT_FAKE)); }
        expects_done(&owed);
        owed = (struct expects){0};
    }
}

TEST(many_rounds_through_the_ring_keep_order_and_room)
{
    unsigned in = 0, out = 0;
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < 1 + round % 7; i++) {
            push((enum expect_kind)(in++ % EXPECT_FAKE));
        }
        while (owed.count > 5) { check_pop((enum expect_kind)(out++ % EXPECT_FAKE)); }
    }
    CHECK(owed.room == 16);
    while (owed.count > 0) { check_pop((enum expect_kind)(out++ % EXPECT_FAKE)); }
    CHECK(in == out);
}

TEST(an_entry_keeps_its_statement_and_its_own_copy_of_the_name)
{
    char name[] = "s1";
    expects_push_named(&owed, EXPECT_PARSE, text, name);
    expects_push_fake(&owed, '1', text, name);
    expects_push_named(&owed, EXPECT_CLOSE, NULL, name);
    const struct prepared *kept = text;
    prepared_unref(&text); /* the entries are all that holds it now */
    memset(name, 'x', 2);
    struct expect e = expects_pop(&owed);
    CHECK(e.kind == EXPECT_PARSE && e.owner == OWNER_CLIENT && e.prepared == kept);
    CHECK(bytes_equal(e.prepared->text, BYTES("select 1")));
    CHECK_STR(e.name, "s1");
    expect_done(&e);
    CHECK(e.prepared == NULL && e.name == NULL);
    e = expects_pop(&owed);
    CHECK(e.kind == EXPECT_FAKE && e.fake == '1' && e.prepared == kept);
    CHECK_STR(e.name, "s1");
    expect_done(&e);
    e = expects_pop(&owed);
    CHECK(e.kind == EXPECT_CLOSE && e.prepared == NULL);
    expect_done(&e);
}

TEST(clearing_lets_go_of_everything)
{
    /* The leak checker fails this one if a reference or a name is forgotten. */
    for (unsigned i = 0; i < 40; i++) { expects_push_named(&owed, EXPECT_PARSE, text, "name"); }
    expects_clear(&owed);
    CHECK(owed.count == 0);
    push(EXPECT_QUERY);
    check_pop(EXPECT_QUERY);
}

TEST(copy_in_swallows_the_syncs_behind_it_and_nothing_else)
{
    for (unsigned i = 0; i < 12; i++) { push(EXPECT_QUERY); } /* so that the ring wraps */
    for (unsigned i = 0; i < 12; i++) { check_pop(EXPECT_QUERY); }
    push(EXPECT_EXECUTE); /* the COPY */
    push(EXPECT_SYNC);
    expects_push_named(&owed, EXPECT_PARSE, text, "s1");
    push(EXPECT_BIND);
    push(EXPECT_SYNC);
    push(EXPECT_SYNC);
    push(EXPECT_QUERY);
    expects_drop_syncs_after_head(&owed);
    CHECK(owed.count == 4);
    check_pop(EXPECT_EXECUTE);
    CHECK_STR(expects_head(&owed)->name, "s1");
    check_pop(EXPECT_PARSE);
    check_pop(EXPECT_BIND);
    check_pop(EXPECT_QUERY);
}

TEST(a_sync_at_the_head_is_owed_still)
{
    push(EXPECT_SYNC);
    push(EXPECT_SYNC);
    expects_drop_syncs_after_head(&owed);
    CHECK(owed.count == 1);
    check_pop(EXPECT_SYNC);
}

TEST(equal_texts_and_types_are_one_statement)
{
    static const uint8_t int4[] = {0, 0, 0, 23}, text_type[] = {0, 0, 0, 25};
    const struct prepared *same = prepared_intern(BYTES("select 1"), NULL, 0, reading_any());
    const struct prepared *typed = prepared_intern(BYTES("select 1"), int4, 1, reading_any());
    const struct prepared *other = prepared_intern(BYTES("select 1"), text_type, 1, reading_any());
    const struct prepared *longer = prepared_intern(BYTES("select 12"), NULL, 0, reading_any());
    CHECK(same == text);
    CHECK(typed != text && typed != other && longer != text);
    CHECK(typed->types_count == 1 && memcmp(typed->types, int4, 4) == 0);
    char a[PREPARED_NAME], b[PREPARED_NAME];
    prepared_name(typed, a);
    prepared_name(other, b);
    CHECK(strncmp(a, PREPARED_PREFIX, strlen(PREPARED_PREFIX)) == 0);
    assert_string_not_equal(a, b);
    prepared_unref(&same);
    prepared_unref(&typed);
    prepared_unref(&other);
    prepared_unref(&longer);
    CHECK(same == NULL);
    prepared_unref(&same); /* harmless */
}

TEST(a_name_is_never_used_for_another_text)
{
    char before[PREPARED_NAME], after[PREPARED_NAME];
    const struct prepared *p = prepared_intern(BYTES("select 2"), NULL, 0, reading_any());
    prepared_name(p, before);
    prepared_unref(&p); /* a server may have it still */
    p = prepared_intern(BYTES("select 3"), NULL, 0, reading_any());
    prepared_name(p, after);
    prepared_unref(&p);
    assert_string_not_equal(before, after);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(nothing_owed_has_no_head),
        EACH(what_was_asked_first_is_owed_first),
        EACH(the_order_survives_growth_wherever_the_ring_began),
        EACH(many_rounds_through_the_ring_keep_order_and_room),
        EACH(an_entry_keeps_its_statement_and_its_own_copy_of_the_name),
        EACH(clearing_lets_go_of_everything),
        EACH(copy_in_swallows_the_syncs_behind_it_and_nothing_else),
        EACH(a_sync_at_the_head_is_owed_still),
        EACH(equal_texts_and_types_are_one_statement),
        EACH(a_name_is_never_used_for_another_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
