/* Waits after failed logins: how they grow, end, and whom they concern. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "auth/penalty.h"

static struct sockaddr_in v4(uint32_t number)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(number)};
}

static int64_t note4(struct penalties *p, uint32_t number, int64_t now_us)
{
    struct sockaddr_in a = v4(number);
    return penalty_note(p, (const struct sockaddr *)&a, now_us);
}

static int64_t note6(struct penalties *p, const char *text, int64_t now_us)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    CHECK(inet_pton(AF_INET6, text, &a.sin6_addr) == 1);
    return penalty_note(p, (const struct sockaddr *)&a, now_us);
}

TEST(each_failure_doubles_the_wait_up_to_a_limit)
{
    struct penalties *p = penalties_new(8);
    CHECK(note4(p, 1, 100) == PENALTY_BASE_US);
    CHECK(note4(p, 1, 100) == 2 * PENALTY_BASE_US);
    CHECK(note4(p, 1, 200) == 4 * PENALTY_BASE_US);
    for (int i = 0; i < 1000; i++) { (void)note4(p, 1, 300); }
    CHECK(note4(p, 1, 300) == PENALTY_MOST_US);
    penalties_free(&p);
    CHECK(p == NULL);
}

TEST(other_addresses_are_not_concerned)
{
    struct penalties *p = penalties_new(8);
    (void)note4(p, 1, 100);
    CHECK(note4(p, 2, 100) == PENALTY_BASE_US);
    CHECK(note4(p, 0x01000001, 100) == PENALTY_BASE_US);
    CHECK(note4(p, 1, 100) == 2 * PENALTY_BASE_US);
    penalties_free(&p);
}

TEST(an_ipv6_network_is_one_address)
{
    struct penalties *p = penalties_new(8);
    CHECK(note6(p, "2001:db8::1", 100) == PENALTY_BASE_US);
    CHECK(note6(p, "2001:db8::ffff:1", 100) == 2 * PENALTY_BASE_US);
    CHECK(note6(p, "2001:db8:0:1::1", 100) == PENALTY_BASE_US);
    penalties_free(&p);
}

TEST(after_a_while_without_failures_all_is_forgotten)
{
    struct penalties *p = penalties_new(8);
    (void)note4(p, 1, 100);
    (void)note4(p, 1, 100);
    CHECK(note4(p, 1, 100 + PENALTY_MEMORY_US) == 4 * PENALTY_BASE_US);
    CHECK(note4(p, 1, 101 + 2 * (int64_t)PENALTY_MEMORY_US) == PENALTY_BASE_US);
    penalties_free(&p);
}

TEST(the_address_that_failed_longest_ago_makes_room)
{
    struct penalties *p = penalties_new(3);
    (void)note4(p, 1, 100);
    (void)note4(p, 2, 101);
    (void)note4(p, 3, 102);
    CHECK(note4(p, 1, 103) == 2 * PENALTY_BASE_US);
    CHECK(note4(p, 4, 104) == PENALTY_BASE_US); /* 2 goes */
    CHECK(note4(p, 3, 105) == 2 * PENALTY_BASE_US);
    CHECK(note4(p, 1, 106) == 4 * PENALTY_BASE_US);
    CHECK(note4(p, 2, 107) == PENALTY_BASE_US); /* 4 goes */
    penalties_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(each_failure_doubles_the_wait_up_to_a_limit),
        RUN(other_addresses_are_not_concerned),
        RUN(an_ipv6_network_is_one_address),
        RUN(after_a_while_without_failures_all_is_forgotten),
        RUN(the_address_that_failed_longest_ago_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
