/* The byte queue: what goes in comes out, and memory is given back. */
#include "unit.h"

#include "base/buf.h"

TEST(bytes_come_out_in_the_order_they_went_in)
{
    struct buf b = {0};
    for (int i = 0; i < 1000; i++) {
        buf_put_u32(&b, (uint32_t)i);
        if (i % 3 == 2) {
            CHECK(get_u32(buf_view(&b).ptr) == (uint32_t)(i / 3));
            buf_consume(&b, 4);
        }
    }
    CHECK(buf_len(&b) == (1000 - 333) * 4);
    CHECK(get_u32(buf_view(&b).ptr) == 333);
    buf_done(&b);
}

TEST(an_empty_queue_gives_its_memory_back)
{
    struct buf b = {0};
    buf_put_str(&b, "x");
    buf_release(&b);
    CHECK(b.data != NULL);
    buf_consume(&b, 2);
    buf_release(&b);
    CHECK(b.data == NULL && b.cap == 0);
}

TEST(an_absurd_size_is_refused_and_nothing_changes)
{
    struct buf b = {0};
    buf_put_str(&b, "kept");
    CHECK(buf_try_reserve(&b, SIZE_MAX) == E_NOMEM);
    CHECK_STR(buf_text(&b), "kept");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(bytes_come_out_in_the_order_they_went_in),
        RUN(an_empty_queue_gives_its_memory_back),
        RUN(an_absurd_size_is_refused_and_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
