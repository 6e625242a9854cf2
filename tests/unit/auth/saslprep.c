/* Which bytes of a password are hashed. RFC 4013, section 3, and what PostgreSQL does beyond it. */
#include "unit.h"

#include "auth/saslprep.h"
#include "base/mem.h"

static void check(const char *password, const char *want)
{
    char *got = saslprep(bytes_str(password));
    if (want == NULL) {
        CHECK(got == NULL);
    } else {
        CHECK(got != NULL);
        CHECK_STR(got, want);
    }
    mem_free(&got);
}

TEST(characters_that_mean_the_same_become_the_same)
{
    check("I\u00ADX", "IX"); /* a soft hyphen is nothing */
    check("\u00AA", "a");    /* compatibility */
    check("\u2168", "IX");
    check("a\u00A0b", "a b");                 /* spaces */
    check("e\u0301t\u00E9", "\u00E9t\u00E9"); /* composed */
    check("\uFF50\uFF57", "pw");              /* full width */
    check("na\u00EFve", "na\u00EFve");
}

TEST(what_the_profile_leaves_alone_or_forbids_stays_as_it_is)
{
    check("user", NULL);
    check("USER", NULL);
    check("\x07", NULL);
    check("", NULL);
    check("\u0627\x31", NULL); /* right-to-left, ending otherwise */
    check("\u00E9\x07", NULL); /* a control character */
    check("\u00AD", NULL);     /* nothing is left */
    check("a\u0221", NULL);    /* unassigned in Unicode 3.2 */
}

TEST(what_is_no_utf8_stays_as_it_is)
{
    check("caf\xE9", NULL);
    check("\xC3", NULL);
    check("\xED\xA0\x80", NULL);
    check("\xC0\x80", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(characters_that_mean_the_same_become_the_same),
        RUN(what_the_profile_leaves_alone_or_forbids_stays_as_it_is),
        RUN(what_is_no_utf8_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
