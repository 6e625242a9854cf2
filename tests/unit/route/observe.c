/* What probes' answers mean, played through with a clock moved by hand. */
#include "unit.h"

#include "base/log.h"
#include "route/observe.h"

enum { SEGMENT = 16 << 20 };

struct scene {
    struct topology *t;
    struct observer o;
    struct node *a, *b, *c;
};

static struct scene begin(void)
{
    static char names[3][2] = {"a", "b", "c"};
    static struct host_config hosts[] = {{names[0], 1}, {names[1], 2}, {names[2], 3}};
    struct database_config db = {.hosts = hosts, .hosts_count = 3};
    struct scene s = {.t = topology_new(&db)};
    s.a = &s.t->nodes[0];
    s.b = &s.t->nodes[1];
    s.c = &s.t->nodes[2];
    return s;
}

/* Every node has been heard of, and told nothing. */
static void settled(struct scene *s)
{
    observer_init(&s->o, s->t);
    for (size_t i = 0; i < 3; i++) { observer_refused(&s->o, &s->t->nodes[i], "not yet", 0); }
}

static void end(struct scene *s)
{
    observer_done(&s->o);
    topology_free(&s->t);
}

static void primary(struct scene *s, struct node *n, int64_t at, uint64_t lsn, uint32_t timeline)
{
    struct observed a = {.sent_us = at,
                         .lsn = lsn,
                         .flush_lsn = lsn,
                         .timeline = timeline,
                         .system_id = 77,
                         .segment_bytes = SEGMENT};
    observer_answer(&s->o, n, &a, at + 1);
}

static void replica(struct scene *s, struct node *n, int64_t at, uint64_t lsn, uint32_t timeline)
{
    struct observed a = {
        .sent_us = at, .in_recovery = true, .lsn = lsn, .timeline = timeline, .system_id = 77};
    observer_answer(&s->o, n, &a, at + 1);
}

TEST(roles_are_known_with_the_first_primary)
{
    struct scene s = begin();
    settled(&s);
    replica(&s, s.b, 100, 4000, 1);
    CHECK(!atomic_load(&s.t->probed));
    primary(&s, s.a, 100, 5000, 1);
    CHECK(atomic_load(&s.t->probed));
    CHECK(route_primary(s.t) == s.a);
    CHECK(atomic_load(&s.b->role) == NODE_REPLICA && atomic_load(&s.a->caught_up_us) == INT64_MAX);
    end(&s);
}

TEST(an_old_primary_that_answers_first_is_not_followed_before_the_others_were_heard)
{
    struct scene s = begin();
    observer_init(&s.o, s.t);
    CHECK(route_primary(s.t) == NULL);
    primary(&s, s.a, 100, 5000, 1);
    CHECK(route_primary(s.t) == NULL);
    observer_failed(&s.o, s.c, "connection refused", 110);
    CHECK(route_primary(s.t) == NULL);
    primary(&s, s.b, 120, 5100, 2);
    CHECK(atomic_load(&s.t->probed) && route_primary(s.t) == s.b);
    end(&s);
}

TEST(when_every_probe_is_turned_away_the_nodes_are_taken_in_order)
{
    struct scene s = begin();
    settled(&s);
    CHECK(!atomic_load(&s.t->probed) && route_primary(s.t) == s.a);
    end(&s);
}

TEST(a_replica_has_the_moment_of_the_newest_sample_it_replayed)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    primary(&s, s.a, 200, 6000, 1);
    primary(&s, s.a, 300, 7000, 1);
    replica(&s, s.b, 310, 6999, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 200);
    CHECK(atomic_load(&s.b->lag_us) == 311 - 200);
    replica(&s, s.c, 310, 4999, 1);
    CHECK(atomic_load(&s.c->caught_up_us) == 0);
    CHECK(route_replica(s.t, 150, 10000, 320, false) == s.b);
    CHECK(route_replica(s.t, 250, 10000, 320, false) == NULL);
    replica(&s, s.b, 400, 7000, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 300);
    end(&s);
}

TEST(an_idle_primary_leaves_its_replicas_caught_up)
{
    struct scene s = begin();
    settled(&s);
    for (int64_t at = 100; at < 100000; at += 100) {
        primary(&s, s.a, at, 5000, 1);
        replica(&s, s.b, at + 10, 5000, 1);
        CHECK(atomic_load(&s.b->caught_up_us) == at);
    }
    end(&s);
}

TEST(an_insert_position_behind_a_page_header_is_reached_at_the_page_boundary)
{
    CHECK(observe_record_end(8192 * 5 + 24, SEGMENT) == 8192 * 5);
    CHECK(observe_record_end((uint64_t)SEGMENT * 3 + 40, SEGMENT) == (uint64_t)SEGMENT * 3);
    CHECK(observe_record_end(8192 * 5 + 40, SEGMENT) == 8192 * 5 + 40);
    CHECK(observe_record_end((uint64_t)SEGMENT * 3 + 40, 0) == (uint64_t)SEGMENT * 3 + 40);
    CHECK(observe_record_end(8192 * 5 + 32, SEGMENT) == 8192 * 5 + 32);
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 8192 * 5 + 24, 1);
    replica(&s, s.b, 110, 8192 * 5, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 100);
    end(&s);
}

TEST(a_promotion_moves_the_writes_and_the_old_primary_is_not_followed_when_it_returns)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    replica(&s, s.b, 110, 5000, 1);
    observer_failed(&s.o, s.a, "connection refused", 200);
    CHECK(route_primary(s.t) == NULL);
    primary(&s, s.b, 300, 5100, 2);
    CHECK(route_primary(s.t) == s.b);
    primary(&s, s.a, 400, 9000, 1);
    CHECK(route_primary(s.t) == s.b);
    CHECK(!atomic_load(&s.a->up) && atomic_load(&s.a->role) == NODE_UNKNOWN);
    observer_failed(&s.o, s.b, "connection refused", 500);
    primary(&s, s.a, 600, 9100, 1);
    CHECK(route_primary(s.t) == NULL);
    route_node_worked(s.a); /* a worker's connection to it still works */
    CHECK(route_primary(s.t) == NULL);
    end(&s);
}

TEST(a_replica_of_the_old_timeline_serves_nothing_after_a_promotion)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    replica(&s, s.c, 110, 5000, 1);
    CHECK(route_replica(s.t, 0, 10000, 120, false) == s.c);
    primary(&s, s.b, 300, 5100, 2);
    CHECK(observer_wants_timeline(&s.o, s.c));
    replica(&s, s.c, 310, 9999, 0); /* its position is beyond the fork: another history */
    CHECK(atomic_load(&s.c->caught_up_us) == 0);
    CHECK(route_replica(s.t, 0, 10000, 320, false) == NULL);
    replica(&s, s.c, 410, 5100, 2);
    CHECK(!observer_wants_timeline(&s.o, s.c));
    CHECK(atomic_load(&s.c->caught_up_us) == 300);
    end(&s);
}

TEST(a_replica_stays_on_its_timeline_while_it_has_nobody_to_receive_from)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.b, 300, 5100, 2);
    replica(&s, s.c, 310, 5100, 2);
    observer_failed(&s.o, s.b, "gone", 400);
    replica(&s, s.c, 410, 5100, 1); /* of its last restartpoint */
    CHECK(atomic_load(&s.c->timeline) == 2 && atomic_load(&s.c->caught_up_us) == 300);
    observer_failed(&s.o, s.c, "gone", 500);
    replica(&s, s.c, 610, 5100, 1); /* may be another machine by now */
    CHECK(atomic_load(&s.c->timeline) == 1 && atomic_load(&s.c->caught_up_us) == 0);
    end(&s);
}

TEST(samples_of_the_old_primary_prove_nothing_about_the_new_one)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 9000, 1);
    primary(&s, s.b, 300, 5100, 2);
    replica(&s, s.c, 310, 5050, 2);
    CHECK(atomic_load(&s.c->caught_up_us) == 0);
    end(&s);
}

TEST(a_node_of_another_cluster_is_rejected)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    struct observed other = {.sent_us = 110, .lsn = 6000, .timeline = 9, .system_id = 78};
    observer_answer(&s.o, s.b, &other, 111);
    CHECK(route_primary(s.t) == s.a);
    CHECK(!atomic_load(&s.b->up) && atomic_load(&s.t->timeline) == 1);
    struct observed silent = {.sent_us = 210, .in_recovery = true, .lsn = 6000, .timeline = 1};
    observer_answer(&s.o, s.b, &silent, 211); /* it does not say it again each time */
    CHECK(!atomic_load(&s.b->up) && atomic_load(&s.b->role) == NODE_UNKNOWN);
    end(&s);
}

TEST(of_two_primaries_of_one_timeline_the_first_is_kept)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.b, 100, 5000, 2);
    primary(&s, s.a, 110, 5000, 2);
    CHECK(route_primary(s.t) == s.b && !atomic_load(&s.a->up));
    observer_failed(&s.o, s.b, "gone", 200);
    primary(&s, s.a, 210, 5000, 2);
    CHECK(route_primary(s.t) == s.a);
    end(&s);
}

TEST(an_answer_older_than_a_workers_failure_does_not_bring_the_node_back)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    route_node_failed(s.a, 250);
    primary(&s, s.a, 240, 5000, 1);
    CHECK(route_primary(s.t) == NULL);
    primary(&s, s.a, 300, 5000, 1);
    CHECK(route_primary(s.t) == s.a);
    end(&s);
}

TEST(a_refused_probe_leaves_what_is_known)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    observer_refused(&s.o, s.a, "too many connections", 200);
    CHECK(route_primary(s.t) == s.a);
    CHECK_STR(s.a->last_error, "too many connections");
    end(&s);
}

TEST(a_replica_that_restarts_further_behind_loses_its_moment)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 100, 5000, 1);
    primary(&s, s.a, 200, 6000, 1);
    replica(&s, s.b, 210, 6000, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 200);
    observer_lost(&s.o, s.b);
    CHECK(atomic_load(&s.b->caught_up_us) == 0);
    replica(&s, s.b, 310, 5500, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 100);
    end(&s);
}

TEST(a_lagging_replica_keeps_the_moment_that_left_the_ring)
{
    struct scene s = begin();
    settled(&s);
    primary(&s, s.a, 1, 1000, 1);
    replica(&s, s.b, 2, 1000, 1);
    for (int i = 0; i < OBSERVE_SAMPLES; i++) { primary(&s, s.a, 10 + i, 2000 + (uint64_t)i, 1); }
    replica(&s, s.b, 5000, 1999, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 1);
    replica(&s, s.b, 5001, 2000, 1);
    CHECK(atomic_load(&s.b->caught_up_us) == 10);
    end(&s);
}

TEST(records_that_nobody_flushes_are_flushed_for_the_replicas_sake)
{
    struct scene s = begin();
    settled(&s);
    int64_t at = 10000000;
    struct observed a = {.lsn = 5200, .flush_lsn = 5000, .timeline = 1, .system_id = 77};
    for (int i = 0; i < 5; i++, at += 100000) {
        a.sent_us = at;
        observer_answer(&s.o, s.a, &a, at);
        CHECK(!observer_wants_flush(&s.o, at));
    }
    a.sent_us = at;
    observer_answer(&s.o, s.a, &a, at);
    CHECK(observer_wants_flush(&s.o, at));
    CHECK(!observer_wants_flush(&s.o, at + 100000)); /* once a second is enough */
    a.flush_lsn = 5300;
    a.sent_us = at + 2000000;
    observer_answer(&s.o, s.a, &a, a.sent_us);
    CHECK(!observer_wants_flush(&s.o, a.sent_us));
    end(&s);
}

int main(void)
{
    if (log_open(&(struct log_options){.path = "/dev/null", .most = LOG_LEVEL_LOG}) != E_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        RUN(roles_are_known_with_the_first_primary),
        RUN(an_old_primary_that_answers_first_is_not_followed_before_the_others_were_heard),
        RUN(when_every_probe_is_turned_away_the_nodes_are_taken_in_order),
        RUN(a_replica_has_the_moment_of_the_newest_sample_it_replayed),
        RUN(an_idle_primary_leaves_its_replicas_caught_up),
        RUN(an_insert_position_behind_a_page_header_is_reached_at_the_page_boundary),
        RUN(a_promotion_moves_the_writes_and_the_old_primary_is_not_followed_when_it_returns),
        RUN(a_replica_of_the_old_timeline_serves_nothing_after_a_promotion),
        RUN(a_replica_stays_on_its_timeline_while_it_has_nobody_to_receive_from),
        RUN(samples_of_the_old_primary_prove_nothing_about_the_new_one),
        RUN(a_node_of_another_cluster_is_rejected),
        RUN(of_two_primaries_of_one_timeline_the_first_is_kept),
        RUN(an_answer_older_than_a_workers_failure_does_not_bring_the_node_back),
        RUN(a_refused_probe_leaves_what_is_known),
        RUN(a_replica_that_restarts_further_behind_loses_its_moment),
        RUN(a_lagging_replica_keeps_the_moment_that_left_the_ring),
        RUN(records_that_nobody_flushes_are_flushed_for_the_replicas_sake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
