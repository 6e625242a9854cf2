/*
 * One connection to the primary. Each period a cheap question tells whether anything was committed
 * at all, then a fingerprint of the catalogs whether that could matter, and only then is everything
 * read again, in one repeatable-read transaction, so that the parts fit together. A snapshot is
 * published when its content is new.
 *
 * Fail closed: when no question could be answered for a few periods, NULL is published, because
 * privileges may have been revoked meanwhile; the next answer brings the snapshot back.
 * Control thread.
 */
#include "catalog/load.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/siphash.h"
#include "catalog/rows.h"
#include "net/loop.h"
#include "net/side.h"

enum {
    MISSED_PERIODS = 3, /* then nobody may rely on the snapshot any more */
    CONNECT_US = 5000000,
    STEP_US = 15000000,
    SAY_AGAIN_US = 60000000,
};

struct catalog_loader {
    struct loop *loop;
    uv_timer_t timer;
    struct catalog_source source; /* texts are our own */
    struct config *cfg;
    struct side *side;
    char *host; /* where side goes */
    int port;
    bool hurry;

    unsigned step; /* of the load under way */
    struct build *build;
    uint64_t hash;
    char *fingerprint, *snapshot;           /* of what `catalog` was loaded from; NULL: nothing */
    char *next_fingerprint, *next_snapshot; /* of the load under way */
    int64_t started_us;

    struct catalog *catalog; /* the last one loaded */
    bool published;          /* it is what others see; else they see NULL */
    bool withdrawn;          /* NULL was published since */
    int64_t fresh_us;        /* when the last answer that vouches for it was asked for */
    int64_t asked_us;
    int64_t said_us;
    char said[128];

    void (*closed)(void *arg);
    void *closed_arg;
    unsigned closing;
};

/* ---- saying and publishing */

static void say_failure(struct catalog_loader *l, const char *reason)
{
    int64_t now_us = clock_now_us();
    bool same = strncmp(l->said, reason, sizeof l->said - 1) == 0;
    if (same && now_us - l->said_us < SAY_AGAIN_US) { return; }
    l->said_us = now_us;
    (void)strncpy(l->said, reason, sizeof l->said - 1);
    log_warn(NULL, "event=catalog_failed database=%s reason=\"%s\" next=retry", l->source.database,
             reason);
}

static void publish(struct catalog_loader *l)
{
    l->fresh_us = l->asked_us;
    if (l->published || l->catalog == NULL) { return; }
    l->published = true;
    l->withdrawn = false;
    l->source.publish(l->source.arg, catalog_ref(l->catalog));
}

static void ask(struct catalog_loader *l);

/* The end of a round that went well. */
static void settle(struct catalog_loader *l)
{
    publish(l);
    if (l->hurry) { ask(l); } /* what ended may have begun before the DDL was committed */
}

static void withdraw(struct catalog_loader *l, int64_t now_us)
{
    if (now_us - l->fresh_us <= MISSED_PERIODS * l->source.poll_us || l->withdrawn) { return; }
    if (l->published) {
        log_warn(NULL, "event=catalog_stale database=%s next=no_cache_no_replicas",
                 l->source.database);
    }
    l->published = false;
    l->withdrawn = true;
    l->source.publish(l->source.arg, NULL);
}

static void drop_load(struct catalog_loader *l)
{
    build_free(&l->build);
    mem_free(&l->next_fingerprint);
    mem_free(&l->next_snapshot);
}

static void fail(struct catalog_loader *l, const char *reason)
{
    say_failure(l, reason);
    drop_load(l);
    side_close(&l->side, NULL, NULL); /* ends the transaction, too */
}

/* ---- loading */

static void on_step(void *arg, PGresult *r, const struct fault *why);

static void replace_text(char **to, const char *text)
{
    mem_free(to);
    *to = mem_strdup(text);
}

/* Everything that was read, in order, through a fixed key: proxies must agree on the version. */
static uint64_t hash_rows(uint64_t hash, const PGresult *r)
{
    struct buf text = {0};
    buf_put(&text, &hash, sizeof hash);
    for (int i = 0; i < pq.ntuples(r); i++) {
        for (int k = 0; k < pq.nfields(r); k++) {
            buf_put_u32(&text, (uint32_t)pq.getlength(r, i, k));
            buf_put(&text, pq.getvalue(r, i, k), (size_t)pq.getlength(r, i, k));
        }
    }
    const struct sipkey fixed = {0x7075736865726c64ULL, 0x726f77732d2d7631ULL};
    uint64_t next = siphash(fixed, buf_view(&text));
    buf_done(&text);
    return next;
}

static void finish_load(struct catalog_loader *l)
{
    struct catalog *c = build_finish(&l->build, l->cfg, l->hash);
    mem_free(&l->fingerprint);
    mem_free(&l->snapshot);
    l->fingerprint = l->next_fingerprint;
    l->snapshot = l->next_snapshot;
    l->next_fingerprint = l->next_snapshot = NULL;
    if (l->catalog != NULL && catalog_version(l->catalog) == catalog_version(c)) {
        catalog_unref(&c);
    } else {
        catalog_unref(&l->catalog);
        l->catalog = c;
        l->published = false;
        log_info(NULL, "event=catalog_loaded database=%s version=%016llx ms=%lld",
                 l->source.database, (unsigned long long)catalog_version(c),
                 (long long)((clock_now_us() - l->started_us) / US_PER_MS));
    }
    l->said[0] = '\0';
    settle(l);
}

static void on_committed(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    (void)r;
    if (why != NULL) {
        fail(l, why->text);
        return;
    }
    finish_load(l);
}

static void ask_step(struct catalog_loader *l)
{
    const struct load_step *step = load_step(l->step);
    if (step == NULL) {
        side_query(l->side, "COMMIT", STEP_US, on_committed, l);
    } else {
        side_query(l->side, step->sql, STEP_US, on_step, l);
    }
}

static void on_step(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    if (why != NULL) {
        fail(l, why->text);
        return;
    }
    const struct load_step *step = load_step(l->step++);
    l->hash = hash_rows(l->hash, r);
    if (step->rows != NULL) { step->rows(l->build, r); }
    ask_step(l);
}

/* Whoever answers may not be a PostgreSQL: a row is looked into when it has its columns. */
static bool is_row(const PGresult *r, int columns)
{
    return pq.ntuples(r) == 1 && pq.nfields(r) >= columns;
}

/* Within the load's transaction: what the fingerprint of its content is. */
static void on_load_fingerprint(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    if (why != NULL || !is_row(r, 2)) {
        fail(l, why != NULL ? why->text : "no fingerprint");
        return;
    }
    replace_text(&l->next_fingerprint, pq.getvalue(r, 0, 0));
    replace_text(&l->next_snapshot, pq.getvalue(r, 0, 1));
    l->build = build_new();
    l->step = 0;
    l->hash = 0;
    ask_step(l);
}

static void on_begun(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    (void)r;
    if (why != NULL) {
        fail(l, why->text);
        return;
    }
    side_query(l->side, load_fingerprint_sql, STEP_US, on_load_fingerprint, l);
}

static void start_load(struct catalog_loader *l)
{
    l->started_us = clock_now_us();
    side_query(l->side, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", STEP_US, on_begun, l);
}

/* ---- polling */

static void on_fingerprint(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    if (why != NULL || !is_row(r, 2)) {
        fail(l, why != NULL ? why->text : "no fingerprint");
        return;
    }
    if (strcmp(pq.getvalue(r, 0, 0), l->fingerprint) != 0) {
        start_load(l);
        return;
    }
    replace_text(&l->snapshot, pq.getvalue(r, 0, 1));
    settle(l);
}

static void on_snapshot(void *arg, PGresult *r, const struct fault *why)
{
    struct catalog_loader *l = arg;
    if (why != NULL || !is_row(r, 1)) {
        fail(l, why != NULL ? why->text : "no snapshot");
        return;
    }
    if (strcmp(pq.getvalue(r, 0, 0), l->snapshot) == 0) {
        settle(l);
        return;
    }
    side_query(l->side, load_fingerprint_sql, STEP_US, on_fingerprint, l);
}

static void ask(struct catalog_loader *l)
{
    l->hurry = false;
    l->asked_us = clock_now_us();
    if (l->fingerprint == NULL) {
        start_load(l);
    } else {
        side_query(l->side, load_snapshot_sql, STEP_US, on_snapshot, l);
    }
}

static void on_opened(void *arg, const struct fault *why)
{
    struct catalog_loader *l = arg;
    if (why != NULL) {
        fail(l, why->text);
        return;
    }
    ask(l);
}

static void connect_primary(struct catalog_loader *l, const char *host, int port)
{
    char *tls = config_libpq_tls(&l->cfg->o);
    replace_text(&l->host, host);
    l->port = port;
    const struct side_target target = {
        .host = host,
        .port = port,
        .dbname = l->source.dbname,
        .user = l->source.user,
        .password = l->source.password,
        .tls = tls,
        .statement_timeout_us = STEP_US,
    };
    /* Another server's snapshots and row versions say nothing about what was loaded before. */
    mem_free(&l->fingerprint);
    mem_free(&l->snapshot);
    l->side = side_open(l->loop, &target, CONNECT_US, on_opened, l);
    mem_free(&tls);
}

enum { NO_PRIMARY_MS = 50 };

static void on_poll(uv_timer_t *timer)
{
    struct catalog_loader *l = timer->data;
    const char *host = NULL;
    int port = 0;
    withdraw(l, clock_now_us());
    if (!l->source.primary(l->source.arg, &host, &port)) {
        if (l->side != NULL) { fail(l, "no primary is known"); }
        /* Until there is one, look often: nothing is cached or split without a catalog. */
        (void)uv_timer_start(timer, on_poll, NO_PRIMARY_MS,
                             (uint64_t)(l->source.poll_us / US_PER_MS));
        return;
    }
    if (l->side != NULL && (l->port != port || strcmp(l->host, host) != 0)) {
        fail(l, "the primary has changed");
    }
    if (l->side == NULL) {
        connect_primary(l, host, port);
    } else if (side_idle(l->side)) {
        ask(l);
    }
}

void catalog_loader_hurry(struct catalog_loader *l)
{
    if (l->hurry || l->closing > 0) { return; }
    l->hurry = true;
    uint64_t period_ms = uv_timer_get_repeat(&l->timer);
    (void)uv_timer_start(&l->timer, on_poll, 0, period_ms);
}

/* ---- start and stop */

static const char *copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

struct catalog_loader *catalog_loader_start(struct loop *loop, const struct catalog_source *source,
                                            const struct config *cfg)
{
    struct catalog_loader *l = mem_new(struct catalog_loader);
    l->source = *source;
    l->source.database = copy(source->database);
    l->source.dbname = copy(source->dbname);
    l->source.user = copy(source->user);
    l->source.password = copy(source->password);
    l->cfg = config_ref((struct config *)(uintptr_t)cfg); /* only its count of references changes */
    l->fresh_us = clock_now_us();
    int64_t period_ms = source->poll_us / US_PER_MS;
    l->loop = loop;
    (void)uv_timer_init(&loop->uv, &l->timer);
    l->timer.data = l;
    (void)uv_timer_start(&l->timer, on_poll, 0, (uint64_t)(period_ms < 1 ? 1 : period_ms));
    return l;
}

static void one_closed(void *arg)
{
    struct catalog_loader *l = arg;
    if (--l->closing > 0) { return; }
    void (*closed)(void *arg) = l->closed;
    void *closed_arg = l->closed_arg;
    char *password = (char *)(uintptr_t)l->source.password;
    if (password != NULL) { mem_wipe(password, strlen(password)); }
    mem_free(&l->source.database);
    mem_free(&l->source.dbname);
    mem_free(&l->source.user);
    mem_free(&l->source.password);
    mem_free(&l->host);
    mem_free(&l->fingerprint);
    mem_free(&l->snapshot);
    catalog_unref(&l->catalog);
    config_unref(&l->cfg);
    mem_free(&l);
    if (closed != NULL) { closed(closed_arg); }
}

static void timer_closed(uv_handle_t *handle)
{
    one_closed(handle->data);
}

void catalog_loader_stop(struct catalog_loader **ret, void (*closed)(void *arg), void *arg)
{
    struct catalog_loader *l = *ret;
    *ret = NULL;
    if (l == NULL) {
        if (closed != NULL) { closed(arg); }
        return;
    }
    l->closed = closed;
    l->closed_arg = arg;
    drop_load(l);
    l->closing = 1 + (l->side != NULL ? 1 : 0);
    if (l->side != NULL) { side_close(&l->side, one_closed, l); }
    uv_close((uv_handle_t *)&l->timer, timer_closed);
}
