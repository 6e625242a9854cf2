/* auth_file: PgBouncer's format, errors with their place, ClientKeys that outlive a reload. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/keyring.h"
#include "auth/userlist.h"
#include "secrets.h"

static struct userlist *parse(const char *text)
{
    struct userlist *list = NULL;
    struct fault why = {0};
    CHECK(userlist_parse(bytes_str(text), "users.txt", &list, &why) == E_OK);
    return list;
}

static void check_refused(struct bytes text, const char *want)
{
    struct userlist *list = NULL;
    struct fault why = {0};
    CHECK(userlist_parse(text, "users.txt", &list, &why) == E_CONFIG);
    CHECK(list == NULL);
    CHECK_STR(why.text, want);
}

TEST(each_kind_of_secret_is_told_apart)
{
    struct userlist *l = parse("\"ann\" \"" PG_SCRAM "\"\n\"mo\" \"" PG_MD5 "\"\n"
                               "\"bob\" \"pw\"\n\"eve\" \"\"\n");
    CHECK(userlist_find(l, "ann")->kind == SECRET_SCRAM);
    CHECK(userlist_find(l, "ann")->scram.iterations == 4096);
    CHECK(userlist_find(l, "mo")->kind == SECRET_MD5);
    CHECK(userlist_find(l, "bob")->kind == SECRET_PLAIN);
    CHECK_STR(userlist_find(l, "bob")->user, "bob");
    CHECK_STR(userlist_find(l, "bob")->text, "pw");
    CHECK(userlist_find(l, "eve")->kind == SECRET_NONE);
    CHECK(userlist_find(l, "nobody") == NULL);
    CHECK(userlist_find(l, "") == NULL);
    userlist_unref(&l);
    CHECK(l == NULL);
}

TEST(the_usual_secret_is_what_most_have)
{
    static const struct {
        const char *lines;
        enum secret_kind usual;
    } cases[] = {
        {"", SECRET_NONE},
        {"\"a\" \"\"\n", SECRET_NONE},
        {"\"a\" \"x\"\n\"b\" \"\"\n\"c\" \"\"\n", SECRET_PLAIN},
        {"\"a\" \"x\"\n\"b\" \"" PG_MD5 "\"\n\"c\" \"" PG_MD5 "\"\n", SECRET_MD5},
        {"\"a\" \"x\"\n\"b\" \"" PG_SCRAM "\"\n\"c\" \"" PG_SCRAM "\"\n", SECRET_SCRAM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct userlist *l = parse(cases[i].lines);
        CHECK(userlist_usual(l) == cases[i].usual);
        userlist_unref(&l);
    }
}

TEST(two_quotes_are_one)
{
    struct userlist *l = parse("\"a\"\"b\" \"\"\"x\"\"\"\n\"c\" \"a;b\"\n");
    CHECK_STR(userlist_find(l, "a\"b")->text, "\"x\"");
    CHECK_STR(userlist_find(l, "c")->text, "a;b");
    userlist_unref(&l);
}

TEST(comments_blank_lines_and_line_ends_of_windows_are_fine)
{
    struct userlist *l = parse("; users\r\n\r\n  \t\n\n  ; more\n\t\"ann\"\t\"pw\"\r\n");
    CHECK_STR(userlist_find(l, "ann")->text, "pw");
    userlist_unref(&l);
}

TEST(what_follows_the_secret_is_not_looked_at)
{
    struct userlist *l = parse("\"ann\" \"pw\" \"\" ; column of old files\n\"bob\" \"pw2\" x\n");
    CHECK_STR(userlist_find(l, "ann")->text, "pw");
    CHECK_STR(userlist_find(l, "bob")->text, "pw2");
    userlist_unref(&l);
}

TEST(the_last_line_of_a_user_holds)
{
    struct userlist *l = parse("\"ann\" \"old\"\n\"bob\" \"b\"\n\"ann\" \"new\"\n");
    CHECK_STR(userlist_find(l, "ann")->text, "new");
    CHECK_STR(userlist_find(l, "bob")->text, "b");
    userlist_unref(&l);
}

TEST(a_broken_line_is_told_with_its_number)
{
    check_refused(BYTES("\"ann\" \"pw\"\n\nbob pw\n"),
                  "users.txt:3: expected \"user\" in double quotes");
    check_refused(BYTES("\"ann\n\" \"pw\"\n"), "users.txt:1: expected \"user\" in double quotes");
    check_refused(BYTES("\"ann\"\n"),
                  "users.txt:1: expected \"secret\" in double quotes behind the user");
    check_refused(BYTES("\"ann\" \"pw"),
                  "users.txt:1: expected \"secret\" in double quotes behind the user");
    check_refused(BYTES("\"ann\" pw"),
                  "users.txt:1: expected \"secret\" in double quotes behind the user");
    /* no space between: that is one text with a quote in it */
    check_refused(BYTES("\"ann\"\"pw\""),
                  "users.txt:1: expected \"secret\" in double quotes behind the user");
    check_refused(BYTES("\"\" \"pw\""), "users.txt:1: empty user name");
    check_refused(BYTES("\n\"a\0n\" \"pw\""), "users.txt:2: a zero byte, expected text");
    check_refused(BYTES("\"a\" \"SCRAM-SHA-256$4096:x\""),
                  "users.txt:1: malformed SCRAM secret, expected "
                  "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey");
}

TEST(no_file_is_an_empty_list)
{
    struct userlist *l = NULL;
    CHECK(userlist_load(NULL, &l, NULL) == E_OK);
    CHECK(userlist_find(l, "ann") == NULL);
    userlist_unref(&l);
    CHECK(userlist_load("", &l, NULL) == E_OK);
    userlist_unref(&l);
}

TEST(a_file_is_read_whole)
{
    char path[] = "/tmp/pgusher-userlist-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    CHECK(f != NULL);
    for (int i = 0; i < 3000; i++) { (void)fprintf(f, "\"user%d\" \"password%d\"\n", i, i); }
    (void)fclose(f);
    struct userlist *l = NULL;
    struct fault why;
    CHECK(userlist_load(path, &l, &why) == E_OK);
    CHECK_STR(userlist_find(l, "user0")->text, "password0");
    CHECK_STR(userlist_find(l, "user2999")->text, "password2999");
    struct userlist *second = userlist_ref(l);
    userlist_unref(&l);
    CHECK_STR(userlist_find(second, "user7")->text, "password7");
    userlist_unref(&second);
    (void)unlink(path);
    CHECK(userlist_load(path, &l, &why) == E_IO);
    CHECK(strstr(why.text, path) != NULL && strstr(why.text, "No such file") != NULL);
    CHECK(userlist_load("/tmp", &l, &why) == E_IO);
}

TEST(a_client_key_outlives_a_reload_but_not_a_new_secret)
{
    const char *file = "\"ann\" \"" PG_SCRAM "\"\n\"bob\" \"pw\"\n";
    uint8_t key[SCRAM_KEY] = "thirty-two bytes that fit a key", got[SCRAM_KEY];
    struct userlist *l = parse(file);
    const struct user_secret *ann = userlist_find(l, "ann"), *bob = userlist_find(l, "bob");
    CHECK(!userlist_client_key(ann, got));
    userlist_keep_client_key(ann, key);
    userlist_keep_client_key(bob, key);
    CHECK(userlist_client_key(ann, got) && memcmp(got, key, SCRAM_KEY) == 0);
    CHECK(!userlist_client_key(bob, got));
    userlist_unref(&l);

    l = parse(file);
    CHECK(userlist_client_key(userlist_find(l, "ann"), got));
    userlist_unref(&l);
    l = parse("\"ann\" \"" PG_SCRAM_UMLAUT "\"\n");
    CHECK(!userlist_client_key(userlist_find(l, "ann"), got));
    userlist_unref(&l);
    keyring_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(each_kind_of_secret_is_told_apart),
        RUN(the_usual_secret_is_what_most_have),
        RUN(two_quotes_are_one),
        RUN(comments_blank_lines_and_line_ends_of_windows_are_fine),
        RUN(what_follows_the_secret_is_not_looked_at),
        RUN(the_last_line_of_a_user_holds),
        RUN(a_broken_line_is_told_with_its_number),
        RUN(no_file_is_an_empty_list),
        RUN(a_file_is_read_whole),
        RUN(a_client_key_outlives_a_reload_but_not_a_new_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
