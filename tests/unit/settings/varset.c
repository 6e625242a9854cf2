/* Sets of settings: interned, sorted, edited. */
#include "unit.h"

#include <pthread.h>

#include "sets.h"

TEST(equal_sets_are_one_object_however_they_were_made)
{
    const struct varset *a = SET("b", "2", "A", "1");
    const struct varset *b = SET("a", "0", "B", "2", "a", "1");
    CHECK(a == b);
    const struct varset *c = SET("a", "1", "b", "3");
    CHECK(a != c);
    varset_unref(&a);
    CHECK(a == NULL);
    CHECK_STR(varset_get(b, "a"), "1");
    varset_unref(&b);
    varset_unref(&c);
}

TEST(names_are_folded_sorted_and_found_in_any_case)
{
    const struct varset *v = SET("TimeZone", "UTC", "app.User", "7", "DateStyle", "ISO");
    CHECK(varset_count(v) == 3);
    CHECK_STR(varset_at(v, 0)->name, "app.user");
    CHECK_STR(varset_at(v, 1)->name, "datestyle");
    CHECK_STR(varset_at(v, 2)->name, "timezone");
    CHECK_STR(varset_get(v, "TIMEZONE"), "UTC");
    CHECK(varset_get(v, "timezon") == NULL);
    CHECK(varset_get(v, "timezones") == NULL);
    CHECK(varset_get(v, "") == NULL);
    varset_unref(&v);
}

TEST(a_name_and_a_value_cannot_be_taken_for_another_pair)
{
    const struct varset *a = SET("a", "bc"), *b = SET("ab", "c"), *c = SET("a", "");
    CHECK(a != b && b != c && a != c);
    varset_unref(&a);
    varset_unref(&b);
    varset_unref(&c);
}

TEST(an_edit_changes_only_what_it_says)
{
    const struct varset *v = SET("a", "1", "b", "2", "c", "3");
    struct varset_edit e;
    varset_edit_begin(&e, v);
    varset_edit_set(&e, "B", "20");
    varset_edit_remove(&e, "A");
    varset_edit_remove(&e, "nothing");
    varset_edit_set(&e, "d", "4");
    varset_edit_set(&e, "d", varset_edit_get(&e, "b"));
    CHECK_STR(varset_edit_get(&e, "b"), "20");
    CHECK(varset_edit_get(&e, "a") == NULL);
    const struct varset *w = varset_edit_end(&e);
    CHECK(varset_count(w) == 3 && varset_count(v) == 3);
    CHECK_STR(varset_get(w, "d"), "20");
    CHECK_STR(varset_get(w, "c"), "3");
    CHECK_STR(varset_get(v, "b"), "2");
    varset_unref(&v);
    varset_unref(&w);
}

TEST(an_edit_that_changes_nothing_gives_the_set_itself)
{
    const struct varset *v = SET("a", "1");
    struct varset_edit e;
    varset_edit_begin(&e, v);
    varset_edit_set(&e, "A", "1");
    varset_edit_remove(&e, "z");
    CHECK(e.items == NULL);
    const struct varset *w = varset_edit_end(&e);
    CHECK(v == w);
    varset_edit_begin(&e, v);
    varset_unref(&v); /* the edit holds its own reference */
    varset_edit_set(&e, "a", "2");
    varset_edit_set(&e, "a", "1");
    v = varset_edit_end(&e);
    CHECK(v == w);
    varset_unref(&v);
    varset_unref(&w);
}

TEST(a_set_without_items_is_the_empty_set)
{
    const struct varset *v = SET("a", "1");
    struct varset_edit e;
    varset_edit_begin(&e, v);
    varset_edit_set(&e, "a", NULL);
    const struct varset *w = varset_edit_end(&e);
    CHECK(w == varset_empty() && varset_count(w) == 0);
    varset_unref(&w);
    varset_edit_begin(&e, v);
    varset_edit_set(&e, "b", "2");
    varset_edit_drop(&e);
    varset_edit_drop(&e);
    varset_unref(&v);
    const struct varset *nothing = varset_ref(varset_empty());
    varset_unref(&nothing);
}

/* Makes and drops the same few sets over and over, so that last references go while others look. */
static void *churn(void *arg)
{
    static const char *const values[] = {"1", "2", "3"};
    for (size_t i = 0; i < 3000; i++) {
        const struct varset *a = SET("x", values[i % 3]), *b = SET("x", values[i % 3]);
        if (a != b || strcmp(varset_get(a, "x"), values[i % 3]) != 0) { *(bool *)arg = true; }
        varset_unref(&a);
        varset_unref(&b);
    }
    return NULL;
}

TEST(threads_share_sets)
{
    pthread_t threads[4];
    bool failed[4] = {false};
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, churn, &failed[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(!failed[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(equal_sets_are_one_object_however_they_were_made),
        RUN(names_are_folded_sorted_and_found_in_any_case),
        RUN(a_name_and_a_value_cannot_be_taken_for_another_pair),
        RUN(an_edit_changes_only_what_it_says),
        RUN(an_edit_that_changes_nothing_gives_the_set_itself),
        RUN(a_set_without_items_is_the_empty_set),
        RUN(threads_share_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
