/* Pages of counters, and their differences. */
#include "admin/ledger.h"

#include "admin/roll.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct ledger {
    struct front *front;
    struct timer timer;
    struct page before, last;
    bool whole; /* a period is over */
};

static struct figures *row_of(struct page *p, const char *database)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->rows[i].database, database) == 0) { return &p->rows[i]; }
    }
    p->rows = mem_grow(p->rows, p->count + 1, sizeof *p->rows);
    p->rows[p->count] = (struct figures){.database = mem_strdup(database)};
    return &p->rows[p->count++];
}

static void add(uint64_t *to, const _Atomic uint64_t *counter)
{
    *to += atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_worker(struct figures *f, const struct stats *s)
{
    add(&f->v[FIGURE_ASSIGNMENTS], &s->assignments);
    add(&f->v[FIGURE_XACTS], &s->xacts);
    add(&f->v[FIGURE_QUERIES], &s->queries);
    add(&f->v[FIGURE_RECEIVED], &s->received);
    add(&f->v[FIGURE_SENT], &s->sent);
    add(&f->v[FIGURE_XACT_TIME], &s->xact_us);
    add(&f->v[FIGURE_QUERY_TIME], &s->query_us);
    add(&f->v[FIGURE_WAIT_TIME], &s->wait_us);
    add(&f->v[FIGURE_CLIENT_PARSES], &s->client_parses);
    add(&f->v[FIGURE_SERVER_PARSES], &s->server_parses);
    add(&f->v[FIGURE_BINDS], &s->binds);
    add(&f->v[FIGURE_LOGINS], &s->logins);
}

/* Under the registry's lock, so that nothing is missed or counted twice when an account goes. */
static void add_database(struct database *db, void *page)
{
    if (dlist_empty(&db->accounts) && db->past == NULL) { return; }
    struct figures *f = row_of(page, db->name);
    if (db->past != NULL) { add_worker(f, db->past); }
    dlist_each (node, &db->accounts) {
        const struct account *a = container_of(node, struct account, node);
        for (unsigned w = 0; w < a->stats_count; w++) { add_worker(f, &a->stats[w]); }
    }
}

/* As PgBouncer counts: a session there is one transaction of one query, however much it asks. */
static void add_console(struct page *p, const struct shared *s)
{
    struct figures *f = row_of(p, "pgbouncer");
    f->v[FIGURE_XACTS] = f->v[FIGURE_QUERIES] = atomic_load(&s->consoles_asked);
}

void page_read(struct page *p, const struct front *f, int64_t now_us)
{
    *p = (struct page){.at_us = now_us};
    registry_each_database(f->registry, add_database, p);
    add_console(p, f->shared);
}

void page_done(struct page *p)
{
    for (size_t i = 0; i < p->count; i++) { mem_free(&p->rows[i].database); }
    mem_free(&p->rows);
    *p = (struct page){0};
}

const struct figures *page_find(const struct page *p, const char *database)
{
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->rows[i].database, database) == 0) { return &p->rows[i]; }
    }
    return NULL;
}

void page_differ(struct page *ret, const struct page *from, const struct page *to)
{
    *ret = (struct page){.at_us = to->at_us - from->at_us};
    for (size_t i = 0; i < to->count; i++) {
        const struct figures *old = page_find(from, to->rows[i].database);
        struct figures *row = row_of(ret, to->rows[i].database);
        for (unsigned k = 0; k < FIGURE_COUNT; k++) {
            uint64_t was = old == NULL ? 0 : old->v[k], is = to->rows[i].v[k];
            row->v[k] = is >= was ? is - was : is; /* it went, and came back from 0 */
        }
    }
}

static uint64_t ratio(uint64_t of, uint64_t by)
{
    return by == 0 ? 0 : of / by;
}

struct figures figures_average(const struct figures *difference, int64_t period_us)
{
    struct figures avg = {.database = difference->database};
    if (period_us <= 0) { return avg; }
    for (unsigned k = 0; k < FIGURE_COUNT; k++) {
        avg.v[k] = (uint64_t)((double)difference->v[k] * (double)US_PER_S / (double)period_us);
    }
    avg.v[FIGURE_XACT_TIME] = ratio(difference->v[FIGURE_XACT_TIME], difference->v[FIGURE_XACTS]);
    avg.v[FIGURE_QUERY_TIME] =
        ratio(difference->v[FIGURE_QUERY_TIME], difference->v[FIGURE_QUERIES]);
    return avg;
}

/* PgBouncer's line, which log readers know. */
static void log_period(const struct page *period)
{
    struct figures all = {0};
    for (size_t i = 0; i < period->count; i++) {
        for (unsigned k = 0; k < FIGURE_COUNT; k++) { all.v[k] += period->rows[i].v[k]; }
    }
    const struct figures a = figures_average(&all, period->at_us);
    log_info(NULL,
             "stats: %llu xacts/s, %llu queries/s, %llu client parses/s, %llu server parses/s, "
             "%llu binds/s, in %llu B/s, out %llu B/s, xact %llu us, query %llu us, wait %llu us",
             (unsigned long long)a.v[FIGURE_XACTS], (unsigned long long)a.v[FIGURE_QUERIES],
             (unsigned long long)a.v[FIGURE_CLIENT_PARSES],
             (unsigned long long)a.v[FIGURE_SERVER_PARSES], (unsigned long long)a.v[FIGURE_BINDS],
             (unsigned long long)a.v[FIGURE_RECEIVED], (unsigned long long)a.v[FIGURE_SENT],
             (unsigned long long)a.v[FIGURE_XACT_TIME], (unsigned long long)a.v[FIGURE_QUERY_TIME],
             (unsigned long long)a.v[FIGURE_WAIT_TIME]);
}

static void arm(struct ledger *l)
{
    struct config *cfg = registry_config(l->front->registry);
    int64_t period_us = cfg->o.stats_period_us > US_PER_S ? cfg->o.stats_period_us : US_PER_S;
    config_unref(&cfg);
    timer_set(&l->front->loop->timers, &l->timer, clock_now_us() + period_us);
}

static void on_period(struct timer *t)
{
    struct ledger *l = container_of(t, struct ledger, timer);
    page_done(&l->before);
    l->before = l->last;
    page_read(&l->last, l->front, clock_now_us());
    l->whole = true;
    struct config *cfg = registry_config(l->front->registry);
    if (cfg->o.log_stats) {
        struct page period;
        page_differ(&period, &l->before, &l->last);
        log_period(&period);
        page_done(&period);
    }
    config_unref(&cfg);
    arm(l);
}

struct ledger *ledger_new(struct front *f)
{
    struct ledger *l = mem_new(struct ledger);
    l->front = f;
    l->timer.due = on_period;
    l->last.at_us = clock_now_us();
    arm(l);
    return l;
}

void ledger_free(struct ledger **pl)
{
    struct ledger *l = *pl;
    if (l == NULL) { return; }
    *pl = NULL;
    timer_clear(&l->front->loop->timers, &l->timer);
    page_done(&l->before);
    page_done(&l->last);
    mem_free(&l);
}

void ledger_period(const struct ledger *l, struct page *ret)
{
    if (l->whole) {
        page_differ(ret, &l->before, &l->last);
        return;
    }
    struct page now;
    page_read(&now, l->front, clock_now_us());
    page_differ(ret, &l->last, &now);
    page_done(&now);
}
