/*
 * One connection per node, kept open, one query per round on each. A node is down when it refuses a
 * connection, hangs up on a new one or lets a probe time out; a lost connection alone is only a
 * reason to connect again at once. Control thread.
 */
#include "route/health.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/side.h"
#include "route/observe.h"

enum {
    FACTS_EVERY = 20,           /* rounds between questions for what seldom changes */
    REFUSED_AGAIN_US = 5000000, /* a wrong password is not tried ten times a second */
    MIN_PERIOD_MS = 10,
};

/* Every round. The sub-select keeps its row: both branches see one answer to the first question. */
#define ROUND_SQL                                                                                  \
    "SELECT r, (CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)"   \
    " - '0/0'::pg_lsn,"                                                                            \
    " (CASE WHEN r THEN NULL ELSE pg_current_wal_flush_lsn() END) - '0/0'::pg_lsn,"                \
    " CASE WHEN r THEN NULL ELSE pg_walfile_name(pg_current_wal_flush_lsn()) END"
#define ROUND_FROM " FROM (SELECT pg_is_in_recovery() AS r OFFSET 0) AS s"

/*
 * What seldom changes. A replica's timeline is on disk from its last restartpoint on; its WAL
 * receiver knows it at once, but shows it to members of pg_monitor only.
 */
#define FACTS_SQL                                                                                  \
    ", (SELECT system_identifier FROM pg_control_system()),"                                       \
    " (SELECT greatest(c.timeline_id, m.min_recovery_end_timeline,"                                \
    " (SELECT max(received_tli) FROM pg_stat_wal_receiver))"                                       \
    " FROM pg_control_checkpoint() AS c, pg_control_recovery() AS m),"                             \
    " pg_size_bytes(current_setting('wal_segment_size'))"

enum column {
    COL_RECOVERY,
    COL_LSN,
    COL_FLUSH,
    COL_WALFILE,
    COL_SYSTEM,
    COL_TIMELINE,
    COL_SEGMENT
};

/* A commit record without anything before it: walwriter flushes it soon, and all that came before.
 */
static const char flush_sql[] = "SELECT txid_current()";

struct probe {
    struct health *health;
    struct node *node;
    struct side *side; /* NULL: not connected, not connecting */
    int64_t again_us;  /* not before: connect */
    int64_t sent_us;
    unsigned rounds; /* since the facts were asked for */
    bool facts_denied;
    bool asks_facts; /* the query under way does */
    bool fresh;      /* nothing was answered on this connection yet */
};

struct health {
    struct loop *loop;
    uv_timer_t timer;
    struct observer observer;
    struct probe *probes;
    char *dbname, *user, *password, *tls;
    int64_t timeout_us, period_us;
    size_t closing; /* handles and sides still on the loop */
    void (*closed)(void *arg);
    void *closed_arg;
};

static void connect_probe(struct probe *p);

/* ---- one answer */

static bool read_number(const PGresult *r, int column, uint64_t *ret)
{
    if (column >= pq.nfields(r) || pq.getisnull(r, 0, column)) { return false; }
    *ret = strtoull(pq.getvalue(r, 0, column), NULL, 10);
    return true;
}

/* pg_walfile_name() begins with the timeline, eight hexadecimal digits. */
static uint32_t timeline_of(const char *walfile)
{
    char digits[9] = {0};
    (void)memccpy(digits, walfile, '\0', 8);
    return (uint32_t)strtoul(digits, NULL, 16);
}

/* False when a value is missing that this kind of node always has. */
static bool read_answer(const PGresult *r, struct observed *ret)
{
    uint64_t v = 0;
    if (pq.ntuples(r) != 1 || pq.nfields(r) <= COL_WALFILE) { return false; }
    ret->in_recovery = pq.getvalue(r, 0, COL_RECOVERY)[0] == 't';
    /* NULL on a replica that has not replayed anything yet: position 0. */
    if (!read_number(r, COL_LSN, &ret->lsn) && !ret->in_recovery) { return false; }
    if (!ret->in_recovery) {
        if (!read_number(r, COL_FLUSH, &ret->flush_lsn)) { return false; }
        ret->timeline = timeline_of(pq.getvalue(r, 0, COL_WALFILE));
        if (ret->timeline == 0) { return false; }
    } else if (read_number(r, COL_TIMELINE, &v)) {
        ret->timeline = (uint32_t)v;
    }
    if (read_number(r, COL_SYSTEM, &v)) { ret->system_id = v; }
    if (read_number(r, COL_SEGMENT, &v)) { ret->segment_bytes = (uint32_t)v; }
    return true;
}

static void lose(struct probe *p, const char *reason)
{
    observer_failed(&p->health->observer, p->node, reason, clock_now_us());
    side_close(&p->side, NULL, NULL);
    p->again_us = clock_now_us() + p->health->period_us;
}

static void on_answer(void *arg, PGresult *result, const struct fault *why)
{
    struct probe *p = arg;
    if (why != NULL && why->code == E_SERVER && p->asks_facts &&
        strcmp(why->sqlstate, "42501") == 0) {
        p->facts_denied = true;
        log_warn(NULL, "event=probe_limited node=%s:%d reason=\"%s\" next=no_replica_reads",
                 p->node->host, p->node->port, why->text);
        return;
    }
    if (why != NULL && why->code == E_LOST && !p->fresh) {
        observer_lost(&p->health->observer, p->node);
        side_close(&p->side, NULL, NULL);
        connect_probe(p); /* down only if that fails too */
        return;
    }
    if (why != NULL) {
        lose(p, why->text);
        return;
    }
    struct observed answer = {.sent_us = p->sent_us};
    if (!read_answer(result, &answer)) {
        lose(p, "an answer without positions");
        return;
    }
    p->fresh = false;
    observer_answer(&p->health->observer, p->node, &answer, clock_now_us());
}

static void on_flushed(void *arg, PGresult *result, const struct fault *why)
{
    struct probe *p = arg;
    (void)result;
    if (why == NULL) { return; }
    if (why->code == E_SERVER) {
        log_warn(NULL, "event=flush_failed node=%s:%d reason=\"%s\"", p->node->host, p->node->port,
                 why->text);
        return;
    }
    lose(p, why->text);
}

static void ask(struct probe *p)
{
    struct observer *o = &p->health->observer;
    if (o->primary == p->node && observer_wants_flush(o, clock_now_us())) {
        side_query(p->side, flush_sql, p->health->timeout_us, on_flushed, p);
        return;
    }
    p->asks_facts = !p->facts_denied &&
                    (p->fresh || ++p->rounds >= FACTS_EVERY || observer_wants_timeline(o, p->node));
    if (p->asks_facts) { p->rounds = 0; }
    p->sent_us = clock_now_us();
    side_query(p->side, p->asks_facts ? ROUND_SQL FACTS_SQL ROUND_FROM : ROUND_SQL ROUND_FROM,
               p->health->timeout_us, on_answer, p);
}

/* ---- connecting */

static void on_opened(void *arg, const struct fault *why)
{
    struct probe *p = arg;
    if (why == NULL) {
        p->fresh = true;
        ask(p);
        return;
    }
    /* 57P01-57P03: stopping, crashed, starting up. Any other refusal comes from a server that
     * works. */
    if (why->code == E_SERVER && strncmp(why->sqlstate, "57P", 3) != 0) {
        observer_refused(&p->health->observer, p->node, why->text, clock_now_us());
        side_close(&p->side, NULL, NULL);
        p->again_us = clock_now_us() + REFUSED_AGAIN_US;
        return;
    }
    lose(p, why->text);
}

static void connect_probe(struct probe *p)
{
    const struct health *h = p->health;
    const struct side_target target = {
        .host = p->node->host,
        .port = p->node->port,
        .dbname = h->dbname,
        .user = h->user,
        .password = h->password,
        .tls = h->tls,
        .statement_timeout_us = h->timeout_us,
    };
    p->side = side_open(h->loop, &target, h->timeout_us, on_opened, p);
}

static void on_round(uv_timer_t *timer)
{
    struct health *h = timer->data;
    int64_t now_us = clock_now_us();
    for (size_t i = 0; i < h->observer.topology->count; i++) {
        struct probe *p = &h->probes[i];
        if (p->side == NULL && now_us >= p->again_us) {
            connect_probe(p);
        } else if (side_idle(p->side)) {
            ask(p);
        }
    }
}

/* ---- start and stop */

static char *copy(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : mem_strdup(text);
}

struct health *health_start(struct loop *loop, struct topology *t, const struct health_config *hc)
{
    struct health *h = mem_new(struct health);
    observer_init(&h->observer, t);
    h->dbname = copy(hc->dbname);
    h->user = copy(hc->user);
    h->password = hc->password == NULL ? NULL : mem_strdup(hc->password);
    if (hc->cfg != NULL) { h->tls = config_libpq_tls(&hc->cfg->o); }
    h->timeout_us = hc->timeout_us;
    h->period_us = hc->period_us;
    h->probes = mem_array(struct probe, t->count > 0 ? t->count : 1);
    for (size_t i = 0; i < t->count; i++) {
        h->probes[i].health = h;
        h->probes[i].node = &t->nodes[i];
    }
    int64_t period_ms = hc->period_us / US_PER_MS;
    h->loop = loop;
    (void)uv_timer_init(&loop->uv, &h->timer);
    h->timer.data = h;
    (void)uv_timer_start(&h->timer, on_round, 0,
                         (uint64_t)(period_ms < MIN_PERIOD_MS ? MIN_PERIOD_MS : period_ms));
    return h;
}

static void one_closed(void *arg)
{
    struct health *h = arg;
    assert(h->closing > 0);
    if (--h->closing > 0) { return; }
    void (*closed)(void *arg) = h->closed;
    void *closed_arg = h->closed_arg;
    observer_done(&h->observer);
    mem_free(&h->probes);
    mem_free(&h->dbname);
    mem_free(&h->user);
    if (h->password != NULL) { mem_wipe(h->password, strlen(h->password)); }
    mem_free(&h->password);
    mem_free(&h->tls);
    mem_free(&h);
    if (closed != NULL) { closed(closed_arg); }
}

static void timer_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

void health_stop(struct health **ret, void (*closed)(void *arg), void *arg)
{
    struct health *h = *ret;
    *ret = NULL;
    if (h == NULL) {
        if (closed != NULL) { closed(arg); }
        return;
    }
    h->closed = closed;
    h->closed_arg = arg;
    size_t count = h->observer.topology->count;
    h->closing = 1;
    for (size_t i = 0; i < count; i++) {
        if (h->probes[i].side != NULL) { h->closing++; }
    }
    for (size_t i = 0; i < count; i++) {
        if (h->probes[i].side != NULL) { side_close(&h->probes[i].side, one_closed, h); }
    }
    uv_close((uv_handle_t *)&h->timer, timer_closed);
}
