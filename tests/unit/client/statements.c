/* The names a client gave to its statements. */
#include "unit.h"

#include <stdio.h>

#include "client/client.h"

static struct client client;
static const struct prepared *a, *b;

static int start(void **state)
{
    (void)state;
    client = (struct client){0};
    a = prepared_intern(BYTES("select a"), NULL, 0, reading_any());
    b = prepared_intern(BYTES("select b"), NULL, 0, reading_any());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    client_forget_statements(&client);
    hmap_done(&client.statements);
    prepared_unref(&a);
    prepared_unref(&b);
    return 0;
}

TEST(a_name_never_given_is_unknown)
{
    CHECK(client_statement(&client, "s1") == NULL);
    CHECK(client_statement(&client, "") == NULL);
    client_name_statement(&client, "s1", NULL); /* freeing it is harmless */
    client_name_statement(&client, "", NULL);
}

TEST(a_name_stands_for_its_statement_until_it_is_freed)
{
    char name[] = "s1";
    client_name_statement(&client, name, a);
    memset(name, 'x', 2); /* the client has its own copy */
    CHECK(client_statement(&client, "s1") == a);
    CHECK(client_statement(&client, "s") == NULL && client_statement(&client, "s11") == NULL);
    client_name_statement(&client, "s1", NULL);
    CHECK(client_statement(&client, "s1") == NULL);
}

TEST(a_name_given_again_stands_for_the_new_statement)
{
    client_name_statement(&client, "s1", a);
    client_name_statement(&client, "s1", b);
    CHECK(client_statement(&client, "s1") == b);
    client_name_statement(&client, "s1", b);
    CHECK(client_statement(&client, "s1") == b);
    CHECK(client.statements.count == 1);
}

TEST(the_unnamed_statement_is_apart_from_all_names)
{
    client_name_statement(&client, "", a);
    client_name_statement(&client, "s1", b);
    CHECK(client_statement(&client, "") == a);
    client_name_statement(&client, "", b);
    client_name_statement(&client, "", b);
    CHECK(client_statement(&client, "") == b);
    client_name_statement(&client, "", NULL);
    CHECK(client_statement(&client, "") == NULL && client_statement(&client, "s1") == b);
}

TEST(the_client_keeps_its_statements_alive)
{
    const struct prepared *p = prepared_intern(BYTES("select p"), NULL, 0, reading_any());
    client_name_statement(&client, "s1", p);
    client_name_statement(&client, "", p);
    const struct prepared *held = p;
    prepared_unref(&p);
    CHECK(bytes_equal(client_statement(&client, "s1")->text, BYTES("select p")));
    client_name_statement(&client, "s1", NULL);
    CHECK(client_statement(&client, "") == held);
    CHECK(bytes_equal(held->text, BYTES("select p")));
}

TEST(two_names_may_stand_for_one_statement)
{
    client_name_statement(&client, "s1", a);
    client_name_statement(&client, "s2", a);
    client_name_statement(&client, "s1", NULL);
    CHECK(client_statement(&client, "s2") == a);
}

TEST(forgetting_frees_every_name)
{
    char name[16];
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof name, "s%u", i);
        client_name_statement(&client, name, i % 2 == 0 ? a : b);
    }
    client_name_statement(&client, "", a);
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof name, "s%u", i);
        CHECK(client_statement(&client, name) == (i % 2 == 0 ? a : b));
    }
    client_forget_statements(&client);
    CHECK(client.statements.count == 0 && client_statement(&client, "") == NULL);
    CHECK(client_statement(&client, "s7") == NULL);
    client_name_statement(&client, "s7", a); /* and they may be given anew */
    CHECK(client_statement(&client, "s7") == a);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_name_never_given_is_unknown),
        EACH(a_name_stands_for_its_statement_until_it_is_freed),
        EACH(a_name_given_again_stands_for_the_new_statement),
        EACH(the_unnamed_statement_is_apart_from_all_names),
        EACH(the_client_keeps_its_statements_alive),
        EACH(two_names_may_stand_for_one_statement),
        EACH(forgetting_frees_every_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
