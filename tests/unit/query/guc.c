/* What the names of settings and encodings tell. */
#include "unit.h"

#include "query/guc.h"

TEST(encodings_are_compared_by_their_letters_and_digits)
{
    CHECK(guc_encoding_is_odd("SJIS") && guc_encoding_is_odd("shift-jis_2004"));
    CHECK(guc_encoding_is_odd("WIN932") && guc_encoding_is_odd("windows950"));
    CHECK(guc_encoding_is_odd("big5") && guc_encoding_is_odd("G B K") &&
          guc_encoding_is_odd("UHC"));
    CHECK(!guc_encoding_is_odd("UTF8") && !guc_encoding_is_odd("utf-8"));
    CHECK(!guc_encoding_is_odd("EUC_JP") && !guc_encoding_is_odd("") &&
          !guc_encoding_is_odd("SQL_ASCII"));
    CHECK(!guc_encoding_is_odd("shift-jis_2004_and_more_of_it"));
}

TEST(settings_that_are_lists_of_names_are_told)
{
    CHECK(guc_quotes_its_items("search_path") && !guc_quotes_its_items("datestyle"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(encodings_are_compared_by_their_letters_and_digits),
        RUN(settings_that_are_lists_of_names_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
