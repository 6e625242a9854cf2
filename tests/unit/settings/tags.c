/* Tags in comments: found where an application writes them, and nowhere else. */
#include "unit.h"

#include <stdio.h>

#include "settings/tags.h"

/* The value, or "-" without one. Static text. */
static const char *tag(const char *text, const char *name)
{
    static char value[256];
    struct tags t;
    struct buf out = {0};
    tags_find(bytes_str(text), &t);
    bool found = tags_get(&t, bytes_str(name), &out);
    (void)snprintf(value, sizeof value, "%s", found ? buf_text(&out) : "-");
    CHECK(found || buf_len(&out) == 0);
    buf_done(&out);
    return value;
}

TEST(a_comment_behind_or_before_the_statement_has_tags)
{
    CHECK_STR(tag("SELECT 1 /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT 1 /*a='x',id='7',z='y'*/;  ", "id"), "7");
    CHECK_STR(tag("/*id='7'*/ SELECT 1", "id"), "7");
    CHECK_STR(tag("  /* id = '7' , b = 'c' */ SELECT 1", "b"), "c");
    CHECK_STR(tag("SELECT 1; -- x\n/*id='7'*/", "id"), "7");
    CHECK_STR(tag("/*+ HashJoin(a b) */ SELECT 1 /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT 1 /*id='7'*/", "i"), "-");
    CHECK_STR(tag("SELECT 1 /*id=''*/", "id"), "");
    CHECK_STR(tag("", "id"), "-");
}

TEST(keys_and_values_are_percent_decoded_and_backslashes_escape)
{
    CHECK_STR(tag("SELECT 1 /*a%20b='x%27y%2Fz'*/", "a b"), "x'y/z");
    CHECK_STR(tag("SELECT 1 /*id='it\\'s'*/", "id"), "it's");
    CHECK_STR(tag("SELECT 1 /*id='100%'*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='%zz'*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='a%00b'*/", "id"), "-");
}

TEST(what_stands_in_the_middle_or_in_a_string_is_no_tag)
{
    CHECK_STR(tag("SELECT /*id='7'*/ 1", "id"), "-");
    CHECK_STR(tag("SELECT '/*id=''7''*/'", "id"), "-");
    CHECK_STR(tag("SELECT \"/*id='7'*/\"", "id"), "-");
    CHECK_STR(tag("SELECT $$/*id='7'*/$$", "id"), "-");
    CHECK_STR(tag("SELECT $x$ $$ /*id='7'*/$x$", "id"), "-");
    CHECK_STR(tag("SELECT 1 -- /*id='7'*/", "id"), "-");
    CHECK_STR(tag("SELECT E'\\' /*id=''7''*/'", "id"), "-");
    CHECK_STR(tag("SELECT 1 /* /*id='7'*/ */", "id"), "-");
    CHECK_STR(tag("SELECT '/* ' /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT 1$$ /*id='7'*/ '$$ /*id='8'*/", "id"), "8");
    CHECK_STR(tag("SELECT 'C:\\\\x\\\\' /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT E'\\\\' /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT $1, a$b$c /*id='7'*/ , $2 /*id='8'*/", "id"), "8");
}

TEST(doubt_means_no_tag)
{
    CHECK_STR(tag("SELECT 'open /*id='7'*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='7'", "id"), "-");
    CHECK_STR(tag("/*id='7'*/ SELECT 'a\\' /*x*/ '", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='7'*/ /*id='8'*/", "id"), "-");
    CHECK_STR(tag("/*id='7'*/ SELECT 1 /*id='8'*/", "id"), "-");
    CHECK_STR(tag("/*id='7'*/ SELECT 1 /*id='7'*/", "id"), "7");
    CHECK_STR(tag("SELECT 1 /*id='7',id='8'*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='7' x*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*id='7',*/", "id"), "-");
    CHECK_STR(tag("SELECT 1 /*='7'*/", "id"), "-");
}

TEST(too_many_comments_are_not_searched)
{
    char text[512] = "SELECT 1 /*id='7'*/";
    for (int i = 0; i < 15; i++) { strcat(text, "/**/"); }
    CHECK_STR(tag(text, "id"), "7");
    strcat(text, "/**/");
    CHECK_STR(tag(text, "id"), "-");
    strcat(text, ", 2 /*id='9'*/");
    CHECK_STR(tag(text, "id"), "9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_comment_behind_or_before_the_statement_has_tags),
        RUN(keys_and_values_are_percent_decoded_and_backslashes_escape),
        RUN(what_stands_in_the_middle_or_in_a_string_is_no_tag),
        RUN(doubt_means_no_tag),
        RUN(too_many_comments_are_not_searched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
