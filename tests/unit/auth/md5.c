/* MD5 login, against a secret that PostgreSQL made. */
#include "unit.h"

#include "auth/md5.h"
#include "secrets.h"

TEST(a_secret_is_postgresqls)
{
    char secret[MD5_SECRET + 1];
    CHECK(md5_secret("mo", BYTES("pencil"), secret, NULL) == E_OK);
    CHECK_STR(secret, PG_MD5);
}

TEST(an_answer_depends_on_the_salt)
{
    /* md5sum of "2127b9beadeed19cc4442f108b69b060" and the four salt bytes */
    char answer[MD5_SECRET + 1];
    CHECK(md5_answer(PG_MD5, (const uint8_t *)"\1\2\3\4", answer, NULL) == E_OK);
    CHECK_STR(answer, "md5eff762912aa34d312fb3cf91a37e1bd8");
    CHECK(md5_answer(PG_MD5, (const uint8_t *)"\1\2\3\5", answer, NULL) == E_OK);
    CHECK_STR(answer, "md5b91e73c24c971bc65db0058d428a3b8d");
}

TEST(only_md5_and_32_lower_case_digits_are_a_secret)
{
    CHECK(md5_is_secret(PG_MD5));
    CHECK(!md5_is_secret("md5"));
    CHECK(!md5_is_secret("md52127b9beadeed19cc4442f108b69b06"));
    CHECK(!md5_is_secret("md52127b9beadeed19cc4442f108b69b0600"));
    CHECK(!md5_is_secret("md52127B9BEADEED19CC4442F108B69B060"));
    CHECK(!md5_is_secret("MD52127b9beadeed19cc4442f108b69b060"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_secret_is_postgresqls),
        RUN(an_answer_depends_on_the_salt),
        RUN(only_md5_and_32_lower_case_digits_are_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
