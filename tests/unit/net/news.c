/* Who waits for what others change: told once, on its own loop, and nothing is missed. */
#include "unit.h"

#include "net/news.h"

static struct loop loop, other;
static struct news news;
static struct news_wait one, two;
static unsigned told_one, told_two;

static void on_one(struct news_wait *w)
{
    CHECK(w == &one && w->news == NULL);
    told_one++;
}

static void on_two(struct news_wait *w)
{
    CHECK(w == &two);
    told_two++;
}

static int start(void **state)
{
    (void)state;
    loop_init(&loop);
    loop_init(&other);
    news_init(&news);
    one = (struct news_wait){.told = on_one};
    two = (struct news_wait){.told = on_two};
    told_one = told_two = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    news_leave(&one);
    news_leave(&two);
    loop_done(&loop);
    loop_done(&other);
    news_done(&news);
    return 0;
}

TEST(each_is_told_once_on_its_loop)
{
    CHECK(news_join(&news, &one, &loop) && news_join(&news, &two, &other));
    news_tell(&news);
    CHECK(told_one == 0 && told_two == 0);
    loop_turn(&loop, true);
    CHECK(told_one == 1 && told_two == 0);
    loop_turn(&other, true);
    CHECK(told_two == 1);
    news_tell(&news);
    loop_turn(&loop, false);
    CHECK(told_one == 1);
}

TEST(who_has_joined_knows)
{
    CHECK(news_join(&news, &one, &loop));
    CHECK(!news_join(&news, &one, &loop));
    news_tell(&news);
    CHECK(!news_join(&news, &one, &loop)); /* told, but has not heard yet */
    loop_turn(&loop, true);
    CHECK(news_join(&news, &one, &loop));
}

TEST(who_leaves_is_not_told)
{
    CHECK(news_join(&news, &one, &loop) && news_join(&news, &two, &loop));
    news_leave(&one);
    CHECK(atomic_load(&news.count) == 1);
    news_tell(&news);
    news_leave(&two); /* its letter is in the mailbox */
    loop_turn(&loop, false);
    CHECK(told_one == 0 && told_two == 0 && atomic_load(&news.count) == 0);
}

TEST(nobody_waits_and_nothing_happens)
{
    news_tell(&news);
    news_leave(&one);
    loop_turn(&loop, false);
    CHECK(told_one == 0);
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(each_is_told_once_on_its_loop),
        EACH(who_has_joined_knows),
        EACH(who_leaves_is_not_told),
        EACH(nobody_waits_and_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
