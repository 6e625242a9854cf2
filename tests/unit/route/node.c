/* Who takes a write and who may take a read. */
#include "unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "route/node.h"

static struct topology *three_nodes(bool probed)
{
    static char names[3][4] = {"pg1", "pg2", "pg3"};
    static struct host_config hosts[] = {{names[0], 5432}, {names[1], 5433}, {names[2], 5434}};
    struct database_config db = {.hosts = hosts, .hosts_count = 3};
    struct topology *t = topology_new(&db);
    atomic_store(&t->probed, probed);
    return t;
}

static void is_primary(struct node *n, uint32_t timeline)
{
    atomic_store(&n->timeline, timeline);
    atomic_store(&n->caught_up_us, INT64_MAX);
    atomic_store(&n->role, NODE_PRIMARY);
}

static void is_replica(struct node *n, int64_t caught_up_us)
{
    atomic_store(&n->caught_up_us, caught_up_us);
    atomic_store(&n->role, NODE_REPLICA);
}

TEST(a_topology_holds_the_hosts_in_order)
{
    struct topology *t = three_nodes(false);
    CHECK(t->count == 3);
    CHECK_STR(t->nodes[1].host, "pg2");
    CHECK(t->nodes[2].port == 5434 && t->nodes[2].index == 2);
    CHECK(atomic_load(&t->nodes[0].up));
    CHECK_STR(node_role_name(t->nodes[0].role), "unknown");
    topology_free(&t);
    CHECK(t == NULL);
    topology_free(&t);
}

TEST(without_probes_the_first_node_that_is_not_down_takes_writes)
{
    struct topology *t = three_nodes(false);
    CHECK(route_primary(t) == &t->nodes[0]);
    route_node_failed(&t->nodes[0], clock_now_us());
    CHECK(route_primary(t) == &t->nodes[1]);
    route_node_demoted(&t->nodes[1]);
    CHECK(route_primary(t) == &t->nodes[2]);
    route_node_failed(&t->nodes[2], clock_now_us());
    CHECK(route_primary(t) == NULL);
    topology_free(&t);
}

TEST(without_probes_a_failed_node_is_tried_again_after_a_while)
{
    struct topology *t = three_nodes(false);
    route_node_failed(&t->nodes[0], clock_now_us() - ROUTE_RETRY_US);
    CHECK(route_primary(t) == &t->nodes[0]);
    topology_free(&t);
}

TEST(without_probes_the_only_node_there_is_takes_writes_even_after_a_failure)
{
    static char name[] = "pg1";
    static struct host_config host = {name, 5432};
    struct database_config db = {.hosts = &host, .hosts_count = 1};
    struct topology *t = topology_new(&db);
    route_node_failed(&t->nodes[0], clock_now_us());
    CHECK(route_primary(t) == &t->nodes[0]);
    atomic_store(&t->probed, true);
    CHECK(route_primary(t) == NULL);
    topology_free(&t);
}

TEST(without_probes_no_read_leaves_the_primary)
{
    struct topology *t = three_nodes(false);
    is_replica(&t->nodes[1], 1000);
    CHECK(route_replica(t, 0, INT64_MAX, 1000, false) == NULL);
    topology_free(&t);
}

TEST(a_node_in_recovery_never_takes_writes)
{
    struct topology *t = three_nodes(true);
    for (int i = 0; i < 3; i++) { is_replica(&t->nodes[i], 1000); }
    CHECK(route_primary(t) == NULL);
    topology_free(&t);
}

TEST(of_two_primaries_the_higher_timeline_wins)
{
    struct topology *t = three_nodes(true);
    is_primary(&t->nodes[0], 1);
    is_primary(&t->nodes[2], 2);
    CHECK(route_primary(t) == &t->nodes[2]);
    topology_free(&t);
}

TEST(an_older_timeline_is_not_followed_even_when_the_newer_primary_is_down)
{
    struct topology *t = three_nodes(true);
    is_primary(&t->nodes[0], 1);
    is_primary(&t->nodes[2], 2);
    atomic_store(&t->timeline, 2);
    route_node_failed(&t->nodes[2], 10);
    CHECK(route_primary(t) == NULL);
    topology_free(&t);
}

TEST(a_read_goes_to_a_replica_that_replayed_past_the_write)
{
    struct topology *t = three_nodes(true);
    is_primary(&t->nodes[0], 1);
    is_replica(&t->nodes[1], 1000);
    is_replica(&t->nodes[2], 2000);
    for (int i = 0; i < 4; i++) {
        CHECK(route_replica(t, 1500, 10000, 2100, false) == &t->nodes[2]);
    }
    CHECK(route_replica(t, 2000, 10000, 2100, false) ==
          NULL); /* the same microsecond is no proof */
    CHECK(route_replica(t, 1999, 10000, 2100, false) == &t->nodes[2]);
    topology_free(&t);
}

TEST(replicas_take_turns_also_when_one_between_them_is_down)
{
    struct topology *t = three_nodes(true);
    for (int i = 0; i < 3; i++) { is_replica(&t->nodes[i], 1000); }
    route_node_failed(&t->nodes[1], 1000);
    int got[3] = {0};
    for (int i = 0; i < 100; i++) { got[route_replica(t, 0, 10000, 1000, false)->index]++; }
    CHECK(got[0] == 50 && got[1] == 0 && got[2] == 50);
    route_node_worked(&t->nodes[1]);
    for (int i = 0; i < 300; i++) { got[route_replica(t, 0, 10000, 1000, false)->index]++; }
    CHECK(got[1] == 100);
    topology_free(&t);
}

TEST(the_primary_takes_its_turn_where_it_may)
{
    struct topology *t = three_nodes(true);
    is_primary(&t->nodes[0], 1);
    is_replica(&t->nodes[1], 1000);
    is_replica(&t->nodes[2], 1000);
    int got[3] = {0};
    for (int i = 0; i < 90; i++) {
        const struct node *n = route_replica(t, 0, 10000, 1000, true);
        got[n == NULL ? 0 : n->index]++;
    }
    CHECK(got[0] == 30 && got[1] == 30 && got[2] == 30);
    topology_free(&t);
}

TEST(a_replica_that_lags_or_was_not_probed_for_long_is_left_out)
{
    struct topology *t = three_nodes(true);
    is_replica(&t->nodes[1], 1000);
    CHECK(route_replica(t, 0, 500, 1500, false) == &t->nodes[1]);
    CHECK(route_replica(t, 0, 500, 1501, false) == NULL);
    topology_free(&t);
}

TEST(a_replica_of_unknown_position_serves_nothing)
{
    struct topology *t = three_nodes(true);
    is_replica(&t->nodes[1], 0);
    CHECK(route_replica(t, 0, INT64_MAX, 5, false) == NULL);
    topology_free(&t);
}

TEST(a_demoted_primary_takes_neither_writes_nor_reads)
{
    struct topology *t = three_nodes(true);
    is_primary(&t->nodes[0], 3);
    route_node_demoted(&t->nodes[0]);
    CHECK(route_primary(t) == NULL);
    CHECK(route_replica(t, 0, INT64_MAX, 5, false) == NULL);
    topology_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_topology_holds_the_hosts_in_order),
        RUN(without_probes_the_first_node_that_is_not_down_takes_writes),
        RUN(without_probes_a_failed_node_is_tried_again_after_a_while),
        RUN(without_probes_the_only_node_there_is_takes_writes_even_after_a_failure),
        RUN(without_probes_no_read_leaves_the_primary),
        RUN(a_node_in_recovery_never_takes_writes),
        RUN(of_two_primaries_the_higher_timeline_wins),
        RUN(an_older_timeline_is_not_followed_even_when_the_newer_primary_is_down),
        RUN(a_read_goes_to_a_replica_that_replayed_past_the_write),
        RUN(replicas_take_turns_also_when_one_between_them_is_down),
        RUN(the_primary_takes_its_turn_where_it_may),
        RUN(a_replica_that_lags_or_was_not_probed_for_long_is_left_out),
        RUN(a_replica_of_unknown_position_serves_nothing),
        RUN(a_demoted_primary_takes_neither_writes_nor_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
