/* Each code has a state, and those that clients act upon have the one they expect. */
#include "unit.h"

#include "pgwire/sqlstate.h"

TEST(every_code_has_a_state_of_five_characters)
{
    for (int e = E_OK; e <= E_SERVER; e++) { CHECK(strlen(sqlstate_of((enum err)e)) == 5); }
}

TEST(clients_get_the_states_they_act_upon)
{
    CHECK_STR(sqlstate_of(E_LIMIT), "53300");
    CHECK_STR(sqlstate_of(E_SHUTDOWN), "57P01");
    CHECK_STR(sqlstate_of(E_CANCELED), "57014");
    CHECK_STR(sqlstate_of(E_TIMEOUT), "57014");
    CHECK_STR(sqlstate_of(E_AUTH), "28P01");
    CHECK_STR(sqlstate_of(E_DENIED), "42501");
    CHECK_STR(sqlstate_of(E_LOST), "08006");
    CHECK_STR(sqlstate_of(E_REFUSED), "0A000");
    CHECK_STR(sqlstate_of(E_PROTOCOL), "08P01");
    CHECK_STR(sqlstate_of(E_NOTFOUND), "3D000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(every_code_has_a_state_of_five_characters),
        RUN(clients_get_the_states_they_act_upon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
