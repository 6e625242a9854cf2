/* PgBouncer's words for TLS versions. */
#include "unit.h"

#include <stdio.h>

#include "config/protocols.h"

/* "1.2 1.3" and the like; or why not. */
static const char *read(const char *words)
{
    static char text[32];
    struct protocols v;
    const char *reason = NULL;
    if (protocols_read(words, &v, &reason) != E_OK) { return reason; }
    text[0] = '\0';
    for (unsigned n = 0; n < 4; n++) {
        size_t len = strlen(text);
        if (v.tls1[n]) { (void)snprintf(text + len, sizeof text - len, " 1.%u", n); }
    }
    return text;
}

TEST(they_are_lists)
{
    CHECK_STR(read("secure"), " 1.2 1.3");
    CHECK_STR(read("default"), " 1.2 1.3");
    CHECK_STR(read("all"), " 1.0 1.1 1.2 1.3");
    CHECK_STR(read("legacy"), " 1.0 1.1 1.2 1.3");
    CHECK_STR(read("TLSv1.2"), " 1.2");
    CHECK_STR(read("tlsv1.0:tlsv1.3"), " 1.0 1.3");
    CHECK_STR(read(" tlsv1.1 , tlsv1.2 "), " 1.1 1.2");
}

TEST(one_can_be_taken_away)
{
    CHECK_STR(read("all,!tlsv1.3"), " 1.0 1.1 1.2");
    CHECK_STR(read("!tlsv1.3"), " 1.0 1.1 1.2");
    CHECK_STR(read("secure:!tlsv1.2"), " 1.3");
}

TEST(what_says_nothing_is_refused)
{
    CHECK_STR(read("tlsv1.2, sslv3"),
              "expected secure, all, or a list of tlsv1.0, tlsv1.1, tlsv1.2, tlsv1.3");
    CHECK_STR(read("!all"), "no protocol is left");
    CHECK_STR(read(""), "no protocol is left");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(they_are_lists),
        RUN(one_can_be_taken_away),
        RUN(what_says_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
