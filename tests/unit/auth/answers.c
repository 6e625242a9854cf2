/* What auth_query said: kept for its time, bounded, and forgotten on doubt. */
#include "unit.h"

#include "auth/answers.h"

static void id_of(unsigned n, uint8_t ret[ANSWERS_ID])
{
    memset(ret, 0, ANSWERS_ID);
    ret[0] = (uint8_t)n;
}

static void keep(struct answers *a, unsigned n, const char *text, int64_t now_us, int64_t until_us)
{
    uint8_t id[ANSWERS_ID];
    struct credential *c = NULL;
    id_of(n, id);
    if (text != NULL) { CHECK(credential_new("ann", text, &c) == E_OK); }
    answers_keep(a, id, c, now_us, until_us);
    credential_unref(&c);
}

/* The secret's text, "none" for no such user, "?" when it is not known. */
static const char *find(struct answers *a, unsigned n, int64_t now_us)
{
    static char text[64];
    uint8_t id[ANSWERS_ID];
    struct credential *c = NULL;
    id_of(n, id);
    enum err e = answers_find(a, id, now_us, &c);
    if (e == E_NOTFOUND) { return "none"; }
    if (e == E_AGAIN) { return "?"; }
    CHECK(e == E_OK);
    (void)strncpy(text, credential_secret(c)->text, sizeof text - 1);
    credential_unref(&c);
    return text;
}

TEST(an_answer_is_believed_until_its_time_is_over)
{
    struct answers *a = answers_new(8);
    keep(a, 1, "pw", 100, 200);
    keep(a, 2, NULL, 100, 150);
    CHECK_STR(find(a, 1, 199), "pw");
    CHECK_STR(find(a, 1, 200), "?");
    CHECK_STR(find(a, 1, 100), "?"); /* it is gone */
    CHECK_STR(find(a, 2, 149), "none");
    CHECK_STR(find(a, 2, 150), "?");
    CHECK_STR(find(a, 3, 100), "?");
    answers_free(&a);
    CHECK(a == NULL);
}

TEST(the_newest_answer_holds)
{
    struct answers *a = answers_new(8);
    keep(a, 1, NULL, 100, 200);
    keep(a, 1, "pw", 110, 200);
    CHECK_STR(find(a, 1, 120), "pw");
    keep(a, 1, "other", 130, 130); /* not for keeping, but the old one is no longer true */
    CHECK_STR(find(a, 1, 130), "?");
    answers_free(&a);
}

TEST(a_doubted_secret_is_forgotten_but_not_that_there_is_none)
{
    struct answers *a = answers_new(8);
    uint8_t id[ANSWERS_ID];
    keep(a, 1, "pw", 100, 200);
    keep(a, 2, NULL, 100, 200);
    for (unsigned n = 1; n <= 3; n++) {
        id_of(n, id);
        answers_forget(a, id);
    }
    CHECK_STR(find(a, 1, 100), "?");
    CHECK_STR(find(a, 2, 100), "none");
    answers_free(&a);
}

TEST(all_can_be_forgotten_at_once)
{
    struct answers *a = answers_new(8);
    keep(a, 1, "pw", 100, 200);
    keep(a, 2, NULL, 100, 200);
    answers_clear(a);
    CHECK_STR(find(a, 1, 100), "?");
    CHECK_STR(find(a, 2, 100), "?");
    keep(a, 1, "pw", 100, 200);
    CHECK_STR(find(a, 1, 100), "pw");
    answers_free(&a);
}

TEST(the_oldest_answer_makes_room)
{
    struct answers *a = answers_new(2);
    keep(a, 1, "one", 100, 900);
    keep(a, 2, "two", 101, 900);
    keep(a, 1, "uno", 102, 900);
    keep(a, 3, "three", 103, 900);
    CHECK_STR(find(a, 2, 104), "?");
    CHECK_STR(find(a, 1, 104), "uno");
    CHECK_STR(find(a, 3, 104), "three");
    answers_free(&a);
}

TEST(a_reference_outlives_the_answer)
{
    struct answers *a = answers_new(2);
    uint8_t id[ANSWERS_ID];
    struct credential *c = NULL;
    keep(a, 1, "pw", 100, 200);
    id_of(1, id);
    CHECK(answers_find(a, id, 100, &c) == E_OK);
    answers_free(&a);
    CHECK_STR(credential_secret(c)->text, "pw");
    CHECK_STR(credential_secret(c)->user, "ann");
    credential_unref(&c);
}

TEST(a_password_is_one_whatever_it_looks_like)
{
    struct credential *c = credential_password("ann", BYTES("md5"
                                                            "00112233445566778899aabbccddeeff"));
    CHECK(credential_secret(c)->kind == SECRET_PLAIN);
    credential_unref(&c);
    CHECK(credential_new("ann", "SCRAM-SHA-256$x", &c) == E_SYNTAX && c == NULL);
    CHECK(credential_new("ann", NULL, &c) == E_OK && credential_secret(c)->kind == SECRET_NONE);
    credential_unref(&c);
}

TEST(a_vault_gives_the_newest)
{
    struct vault v;
    struct credential *old = credential_password("ann", BYTES("old"));
    vault_init(&v);
    CHECK(vault_get(&v) == NULL);
    vault_put(&v, old);
    struct credential *held = vault_get(&v);
    vault_put(&v, credential_password("ann", BYTES("new")));
    CHECK_STR(credential_secret(held)->text, "old");
    credential_unref(&held);
    held = vault_get(&v);
    CHECK_STR(credential_secret(held)->text, "new");
    credential_unref(&held);
    vault_done(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(an_answer_is_believed_until_its_time_is_over),
        RUN(the_newest_answer_holds),
        RUN(a_doubted_secret_is_forgotten_but_not_that_there_is_none),
        RUN(all_can_be_forgotten_at_once),
        RUN(the_oldest_answer_makes_room),
        RUN(a_reference_outlives_the_answer),
        RUN(a_password_is_one_whatever_it_looks_like),
        RUN(a_vault_gives_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
