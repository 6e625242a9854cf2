/* Console commands as words. */
#include "unit.h"

#include "admin/command.h"

static struct arena memory;
static struct command c;
static struct fault why;

static enum err parse(const char *text)
{
    return command_parse(bytes_str(text), &memory, &c, &why);
}

static int done(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

TEST(words_are_split_at_blanks_and_keywords_have_no_case)
{
    CHECK(parse("  show\tPools \r\n") == E_OK);
    CHECK(c.count == 2);
    CHECK(command_is(&c, 0, "SHOW") && command_is(&c, 1, "pools") && !command_is(&c, 2, "x"));
    CHECK_STR(command_value(&c, 1), "Pools");
    CHECK(command_value(&c, 2) == NULL);
}

TEST(one_semicolon_may_close_a_command)
{
    CHECK(parse("RELOAD;") == E_OK && c.count == 1);
    CHECK(parse("RELOAD ; \n") == E_OK && c.count == 1);
    CHECK(parse("RELOAD;;") == E_OK && c.count == 1);
    CHECK(parse("RELOAD; RELOAD") == E_SYNTAX);
    CHECK_STR(why.text, "one command at a time");
}

TEST(nothing_at_all_is_a_command_of_no_words)
{
    CHECK(parse("") == E_OK && c.count == 0);
    CHECK(parse(";") == E_OK && c.count == 0);
    CHECK(parse("-- ping") == E_OK && c.count == 0);
    CHECK(parse(" /* a /* b */ ; */ ") == E_OK && c.count == 0);
}

TEST(comments_are_blanks)
{
    CHECK(parse("SHOW/**/POOLS -- now\n;") == E_OK && c.count == 2);
    CHECK(command_is(&c, 1, "POOLS"));
    CHECK(parse("SHOW /* POOLS") == E_SYNTAX);
    CHECK(parse("SHOW /*") == E_SYNTAX);
    CHECK(parse("SHOW POOLS */") == E_OK && c.count == 3);
}

TEST(a_quoted_name_keeps_its_case_and_blanks_and_is_no_keyword)
{
    CHECK(parse("PAUSE \"My \"\"DB\"\"; x\"") == E_OK && c.count == 2);
    CHECK(c.words[1].kind == WORD_NAME);
    CHECK_STR(command_value(&c, 1), "My \"DB\"; x");
    CHECK(parse("\"show\" pools") == E_OK && !command_is(&c, 0, "SHOW"));
    CHECK(parse("PAUSE \"\"") == E_SYNTAX);
    CHECK(parse("PAUSE \"x") == E_SYNTAX);
}

TEST(a_string_is_a_value_with_doubled_quotes_undone)
{
    CHECK(parse("SHOW CACHE WHY 'select ''x'' -- /* '") == E_OK && c.count == 4);
    CHECK(c.words[3].kind == WORD_STRING);
    CHECK_STR(c.words[3].text, "select 'x' -- /* ");
    CHECK(parse("SET a = ''") == E_OK && c.count == 4);
    CHECK_STR(command_value(&c, 3), "");
    CHECK(parse("SET a = 'x''") == E_SYNTAX);
}

TEST(a_string_in_parentheses_is_a_parameter_that_a_driver_has_written_out)
{
    CHECK(parse("PAUSE ('my ''db''')") == E_OK && c.count == 2);
    CHECK_STR(command_name(&c, 1), "my 'db'");
    CHECK(parse("KILL_CLIENT ('17'::int8);") == E_OK && c.count == 2);
    CHECK_STR(command_value(&c, 1), "17");
    CHECK(parse("SET k=('v'::character varying)") == E_OK && c.count == 4);
    CHECK_STR(command_value(&c, 3), "v");
    CHECK(parse("SHOW ('pools')") == E_OK && command_is(&c, 1, "POOLS"));
    CHECK(parse("PAUSE ('$1')") == E_OK && command_parameters(&c) == 0);
    CHECK(parse("PAUSE ('x'::text") == E_SYNTAX);
    CHECK(parse("PAUSE ('x'") == E_SYNTAX);
    CHECK(parse("PAUSE ('x' )") == E_SYNTAX);
    CHECK(parse("PAUSE (x)") == E_SYNTAX);
    CHECK(parse("PAUSE (") == E_SYNTAX);
    CHECK(parse("SELECT version()") == E_OK && command_is(&c, 1, "version()"));
}

TEST(the_sign_of_set_needs_no_blanks_and_is_no_value)
{
    CHECK(parse("set default_pool_size=7;") == E_OK && c.count == 4);
    CHECK(c.words[2].kind == WORD_EQUALS && command_value(&c, 2) == NULL);
    CHECK_STR(command_value(&c, 3), "7");
    CHECK(parse("SET k TO 'v'") == E_OK && command_is(&c, 2, "to"));
    CHECK(parse("SET k='v'") == E_OK && c.count == 4 && c.words[3].kind == WORD_STRING);
}

TEST(names_may_have_dashes_and_dots)
{
    CHECK(parse("PAUSE my-db.eu") == E_OK && c.count == 2);
    CHECK_STR(command_value(&c, 1), "my-db.eu");
}

TEST(too_many_words_and_zero_bytes_are_refused)
{
    CHECK(parse("a b c d e f g h i j k l") == E_OK && c.count == COMMAND_WORDS);
    CHECK(parse("a b c d e f g h i j k l m") == E_SYNTAX);
    CHECK(command_parse(BYTES("SHOW\0POOLS"), &memory, &c, &why) == E_SYNTAX);
    CHECK(command_parse(BYTES("SHOW '\0'"), &memory, &c, &why) == E_SYNTAX);
    CHECK(command_parse(BYTES("\0"), &memory, &c, &why) == E_SYNTAX);
}

TEST(a_failure_leaves_the_result_alone)
{
    CHECK(parse("RELOAD") == E_OK);
    CHECK(parse("SHOW 'x") == E_SYNTAX);
    CHECK(c.count == 1 && command_is(&c, 0, "RELOAD"));
}

TEST(parameters_are_counted_and_take_their_values)
{
    CHECK(parse("SHOW POOLS") == E_OK && command_parameters(&c) == 0);
    CHECK(parse("SET $2 = $1") == E_OK && command_parameters(&c) == 2);
    CHECK(c.words[1].kind == WORD_PARAMETER);
    static const char *const values[] = {"seven", "verbose"};
    struct command bound = command_bind(&c, values);
    CHECK_STR(command_name(&bound, 1), "verbose");
    CHECK_STR(command_value(&bound, 3), "seven");
    CHECK_STR(c.words[1].text, "$2");
}

TEST(a_value_is_never_a_keyword)
{
    CHECK(parse("SHUTDOWN $1") == E_OK);
    static const char *const values[] = {"WAIT_FOR_CLIENTS"};
    struct command bound = command_bind(&c, values);
    CHECK(!command_is(&bound, 1, "WAIT_FOR_CLIENTS"));
    CHECK(parse("SHOW $0") == E_OK && command_parameters(&c) == 0);
    CHECK(parse("SHOW $") == E_OK && command_parameters(&c) == 0);
    CHECK(parse("SHOW $1x") == E_OK && command_parameters(&c) == 0);
    CHECK(parse("SHOW $13") == E_SYNTAX);
    CHECK(parse("SHOW $99999999999") == E_OK && command_parameters(&c) == 0);
}

TEST(a_string_is_a_value_but_no_name)
{
    CHECK(parse("PAUSE 'x'") == E_OK && command_name(&c, 1) == NULL);
    CHECK(parse("PAUSE \"x\"") == E_OK);
    CHECK_STR(command_name(&c, 1), "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(words_are_split_at_blanks_and_keywords_have_no_case),
        RUN(one_semicolon_may_close_a_command),
        RUN(nothing_at_all_is_a_command_of_no_words),
        RUN(comments_are_blanks),
        RUN(a_quoted_name_keeps_its_case_and_blanks_and_is_no_keyword),
        RUN(a_string_is_a_value_with_doubled_quotes_undone),
        RUN(a_string_in_parentheses_is_a_parameter_that_a_driver_has_written_out),
        RUN(the_sign_of_set_needs_no_blanks_and_is_no_value),
        RUN(names_may_have_dashes_and_dots),
        RUN(too_many_words_and_zero_bytes_are_refused),
        RUN(a_failure_leaves_the_result_alone),
        RUN(parameters_are_counted_and_take_their_values),
        RUN(a_value_is_never_a_keyword),
        RUN(a_string_is_a_value_but_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
