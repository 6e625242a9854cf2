/* Base64: RFC 4648's vectors, and everything that is not base64 refused. */
#include "unit.h"

#include "auth/base64.h"

static void check_both_ways(struct bytes raw, const char *text)
{
    struct buf out = {0};
    uint8_t back[16];
    size_t len = 99;
    base64_put(&out, raw);
    CHECK_STR(buf_text(&out), text);
    CHECK(base64_read(bytes_str(text), back, sizeof back, &len) == E_OK);
    CHECK(bytes_equal(bytes_of(back, len), raw));
    buf_done(&out);
}

TEST(the_vectors_of_rfc_4648)
{
    check_both_ways(BYTES(""), "");
    check_both_ways(BYTES("f"), "Zg==");
    check_both_ways(BYTES("fo"), "Zm8=");
    check_both_ways(BYTES("foo"), "Zm9v");
    check_both_ways(BYTES("foob"), "Zm9vYg==");
    check_both_ways(BYTES("fooba"), "Zm9vYmE=");
    check_both_ways(BYTES("foobar"), "Zm9vYmFy");
    check_both_ways(BYTES("\xfb\xff\xfe\0"), "+//+AA==");
}

TEST(anything_else_is_refused)
{
    const char *bad[] = {"Z",     "Zg",   "Zg=",       "Zg===",    "=",        "====", "Z===",
                         "Zm9v=", "Zm 9", "Zm9v\nZ==", "Zg==Zg==", "Zm8=Zm8=", "Z-9v", "Zm=v"};
    uint8_t back[16];
    size_t len = 99;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(base64_read(bytes_str(bad[i]), back, sizeof back, &len) == E_SYNTAX);
    }
    CHECK(len == 99);
}

TEST(bits_behind_the_end_are_refused)
{
    uint8_t back[16];
    size_t len = 99;
    CHECK(base64_read(BYTES("Zh=="), back, sizeof back, &len) == E_SYNTAX);
    CHECK(base64_read(BYTES("Zm9="), back, sizeof back, &len) == E_SYNTAX);
}

TEST(more_than_there_is_room_for_is_a_limit)
{
    uint8_t back[3];
    size_t len = 99;
    CHECK(base64_read(BYTES("Zm9v"), back, sizeof back, &len) == E_OK && len == 3);
    CHECK(base64_read(BYTES("Zm9vYg=="), back, sizeof back, &len) == E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(the_vectors_of_rfc_4648),
        RUN(anything_else_is_refused),
        RUN(bits_behind_the_end_are_refused),
        RUN(more_than_there_is_room_for_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
