/*
 * Roles, timelines and samples.
 *
 * LSNs compare only within one history. A replica's replay position therefore counts only while its
 * timeline is that of the primary the samples were taken on: being on it proves that the replica
 * did not replay past the fork. Samples are dropped when the primary or its timeline changes.
 */
#include "route/observe.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    SAY_AGAIN_US = 60000000, /* trouble that lasts is logged once a minute */
    UNFLUSHED_US = 500000,   /* longer than walwriter leaves an asynchronous commit */
    FLUSH_AGAIN_US = 1000000,
    PAGE_BYTES = 8192, /* XLOG_BLCKSZ */
    SHORT_HEADER = 24, /* SizeOfXLogShortPHD */
    LONG_HEADER = 40,  /* SizeOfXLogLongPHD: the first page of a segment */
};

void observer_init(struct observer *o, struct topology *t)
{
    *o = (struct observer){.topology = t};
    o->said_us = mem_array(int64_t, t->count > 0 ? t->count : 1);
    o->heard = mem_array(bool, t->count > 0 ? t->count : 1);
    atomic_store(&t->settling, t->count > 0);
}

void observer_done(struct observer *o)
{
    atomic_store(&o->topology->settling, false);
    news_tell(&o->topology->news);
    mem_free(&o->said_us);
    mem_free(&o->heard);
}

/* ---- saying */

static void say_trouble(struct observer *o, struct node *n, const char *event, const char *reason,
                        bool fresh, int64_t now_us)
{
    int64_t *said_us = &o->said_us[n->index];
    bool same = strncmp(n->last_error, reason, sizeof n->last_error - 1) == 0;
    node_set_error(n, reason);
    if (!fresh && same && *said_us != 0 && now_us - *said_us < SAY_AGAIN_US) { return; }
    *said_us = now_us;
    log_warn(NULL, "event=%s node=%s:%d reason=\"%s\"", event, n->host, n->port, n->last_error);
}

static void set_role(struct node *n, enum node_role role)
{
    int old = atomic_exchange(&n->role, (int)role);
    if (old == (int)role) { return; }
    log_info(NULL, "event=node_role node=%s:%d role=%s was=%s timeline=%u", n->host, n->port,
             node_role_name((int)role), node_role_name(old), (unsigned)atomic_load(&n->timeline));
}

/* The probe was sent before now: a failure that a worker met since then is the newer news. */
static void mark_up(struct observer *o, struct node *n, int64_t sent_us)
{
    if (atomic_load(&n->failed_us) >= sent_us) { return; }
    bool was_up = atomic_exchange(&n->up, true);
    atomic_store(&n->failed_us, 0);
    if (n->last_error[0] != '\0' || !was_up) {
        log_info(NULL, "event=node_up node=%s:%d", n->host, n->port);
    }
    node_set_error(n, "");
    o->said_us[n->index] = 0;
}

static void mark_down(struct observer *o, struct node *n, const char *event, const char *reason,
                      int64_t now_us)
{
    atomic_store(&n->failed_us, now_us);
    bool was_up = atomic_exchange(&n->up, false);
    say_trouble(o, n, event, reason, was_up && n->last_error[0] == '\0', now_us);
}

/* An answer that must not be believed: the node takes no part until it says something else. */
static void reject(struct observer *o, struct node *n, const char *reason, int64_t now_us)
{
    set_role(n, NODE_UNKNOWN);
    atomic_store(&n->caught_up_us, 0);
    mark_down(o, n, "node_rejected", reason, now_us);
}

/*
 * An old primary that answers first must not be taken for the primary before the others have told
 * of a newer timeline: roles count from the moment every node was heard of.
 */
static void hear(struct observer *o, const struct node *n)
{
    struct topology *t = o->topology;
    if (!o->heard[n->index]) {
        o->heard[n->index] = true;
        o->heard_count++;
    }
    if (o->heard_count < t->count) { return; }
    const struct node *p = o->primary;
    if (p != NULL && !atomic_exchange(&t->probed, true)) {
        log_info(NULL, "event=topology_known primary=%s:%d timeline=%u", p->host, p->port,
                 (unsigned)atomic_load(&p->timeline));
    }
    atomic_store(&t->settling, false); /* after probed: a reader sees one or the other */
}

/* ---- samples */

uint64_t observe_record_end(uint64_t insert_lsn, uint32_t segment_bytes)
{
    if (insert_lsn % PAGE_BYTES == SHORT_HEADER) { return insert_lsn - SHORT_HEADER; }
    if (segment_bytes != 0 && insert_lsn % segment_bytes == LONG_HEADER) {
        return insert_lsn - LONG_HEADER;
    }
    return insert_lsn;
}

static void add_sample(struct observer *o, int64_t at_us, uint64_t lsn)
{
    o->samples[o->samples_next] = (struct sample){at_us, lsn};
    o->samples_next = (o->samples_next + 1) % OBSERVE_SAMPLES;
    if (o->samples_count < OBSERVE_SAMPLES) { o->samples_count++; }
}

/* age 0: the newest. */
static const struct sample *sample_at(const struct observer *o, unsigned age)
{
    return &o->samples[(o->samples_next + 2 * OBSERVE_SAMPLES - 1 - age) % OBSERVE_SAMPLES];
}

/* The latest moment of which a node that replayed up to lsn has every commit; 0: not known. */
static int64_t moment_of(const struct observer *o, uint64_t lsn)
{
    for (unsigned age = 0; age < o->samples_count; age++) {
        if (sample_at(o, age)->lsn <= lsn) { return sample_at(o, age)->at_us; }
    }
    return 0;
}

bool observer_wants_flush(struct observer *o, int64_t now_us)
{
    if (now_us - o->flushed_us < FLUSH_AGAIN_US || o->topology->count < 2) { return false; }
    for (unsigned age = 0; age < o->samples_count; age++) {
        const struct sample *s = sample_at(o, age);
        if (now_us - s->at_us < UNFLUSHED_US) { continue; }
        if (s->lsn <= o->flush_lsn) { return false; }
        o->flushed_us = now_us;
        return true;
    }
    return false;
}

/* ---- answers */

/* Timelines only ever go up; a primary that stayed behind is an old one that came back. */
static void note_timeline(struct topology *t, uint32_t timeline)
{
    if (timeline > atomic_load(&t->timeline)) { atomic_store(&t->timeline, timeline); }
}

static void follow(struct observer *o, struct node *n, uint32_t timeline)
{
    struct node *old = o->primary;
    if (old == n && atomic_load(&n->role) == NODE_PRIMARY &&
        atomic_load(&n->timeline) == timeline) {
        return;
    }
    o->samples_count = o->samples_next = 0;
    o->flush_lsn = 0;
    o->primary = n;
    if (old != NULL && old != n && atomic_load(&old->role) == NODE_PRIMARY) {
        set_role(old, NODE_UNKNOWN);
    }
}

/* A second primary of the same timeline (a copy, or the same machine by another name) is not
   followed while the first one is up. */
static bool is_second(const struct observer *o, const struct node *n, uint32_t timeline)
{
    const struct node *p = o->primary;
    return p != NULL && p != n && atomic_load(&p->up) && atomic_load(&p->role) == NODE_PRIMARY &&
           atomic_load(&p->timeline) == timeline;
}

static void answer_primary(struct observer *o, struct node *n, const struct observed *a,
                           int64_t now_us)
{
    if (a->timeline < atomic_load(&o->topology->timeline)) {
        char reason[160];
        (void)snprintf(reason, sizeof reason,
                       "a primary on timeline %u, but timeline %u was seen: not followed",
                       (unsigned)a->timeline, (unsigned)atomic_load(&o->topology->timeline));
        reject(o, n, reason, now_us);
        return;
    }
    if (is_second(o, n, a->timeline)) {
        reject(o, n, "a second primary on the same timeline: not followed", now_us);
        return;
    }
    follow(o, n, a->timeline);
    atomic_store(&n->timeline, a->timeline);
    note_timeline(o->topology, a->timeline);
    add_sample(o, a->sent_us, observe_record_end(a->lsn, o->segment_bytes));
    o->flush_lsn = a->flush_lsn;
    atomic_store(&n->replay_lsn, a->lsn);
    atomic_store(&n->lag_us, 0);
    atomic_store(&n->caught_up_us, INT64_MAX);
    mark_up(o, n, a->sent_us);
    set_role(n, NODE_PRIMARY);
}

static void answer_replica(struct observer *o, struct node *n, const struct observed *a,
                           int64_t now_us)
{
    /* Without a primary to receive from it tells its last restartpoint's, but it never goes back.
     */
    if (a->timeline > atomic_load(&n->timeline)) {
        atomic_store(&n->timeline, a->timeline);
        note_timeline(o->topology, a->timeline);
    }
    const struct node *p = o->primary;
    bool same_history =
        p != NULL && p != n && atomic_load(&n->timeline) == atomic_load(&p->timeline);
    int64_t caught_up_us = same_history ? moment_of(o, a->lsn) : 0;
    int64_t before_us = atomic_load(&n->caught_up_us);
    /* What it had replayed it still has, unless it was restarted or made anew and fell behind that.
     */
    bool kept = a->lsn >= atomic_load(&n->replay_lsn) && before_us != INT64_MAX;
    if (same_history && kept && before_us > caught_up_us) { caught_up_us = before_us; }
    atomic_store(&n->caught_up_us, caught_up_us);
    atomic_store(&n->lag_us, caught_up_us == 0 ? INT64_MAX : now_us - caught_up_us);
    atomic_store(&n->replay_lsn, a->lsn);
    mark_up(o, n, a->sent_us);
    set_role(n, NODE_REPLICA);
}

static void believe(struct observer *o, struct node *n, const struct observed *a, int64_t now_us)
{
    uint64_t system_id = atomic_load(&n->system_id);
    if (system_id != 0 && system_id != o->system_id) {
        reject(o, n, "it belongs to another cluster: its system identifier differs", now_us);
        return;
    }
    if (a->segment_bytes != 0) { o->segment_bytes = a->segment_bytes; }
    if (a->in_recovery) {
        answer_replica(o, n, a, now_us);
    } else {
        answer_primary(o, n, a, now_us);
    }
}

/* What choosing a node goes by. */
struct standing {
    int role;
    bool up, probed, settling;
    uint32_t timeline;
    int64_t caught_up_us;
};

static struct standing standing_of(const struct topology *t, const struct node *n)
{
    return (struct standing){.role = atomic_load(&n->role),
                             .up = atomic_load(&n->up),
                             .probed = atomic_load(&t->probed),
                             .settling = atomic_load(&t->settling),
                             .timeline = atomic_load(&n->timeline),
                             .caught_up_us = atomic_load(&n->caught_up_us)};
}

static void tell_if_changed(struct topology *t, const struct node *n, const struct standing *was)
{
    struct standing is = standing_of(t, n);
    if (is.role != was->role || is.up != was->up || is.probed != was->probed ||
        is.settling != was->settling || is.timeline != was->timeline ||
        is.caught_up_us != was->caught_up_us) {
        news_tell(&t->news);
    }
}

void observer_answer(struct observer *o, struct node *n, const struct observed *a, int64_t now_us)
{
    struct standing was = standing_of(o->topology, n);
    if (a->system_id != 0) {
        if (o->system_id == 0) { o->system_id = a->system_id; }
        atomic_store(&n->system_id, a->system_id);
    }
    atomic_store(&n->probed_us, now_us);
    believe(o, n, a, now_us);
    hear(o, n);
    tell_if_changed(o->topology, n, &was);
}

void observer_lost(struct observer *o, struct node *n)
{
    if (o->primary == n) { return; }
    atomic_store(&n->caught_up_us, 0);
    atomic_store(&n->timeline, 0);
}

void observer_failed(struct observer *o, struct node *n, const char *reason, int64_t now_us)
{
    struct standing was = standing_of(o->topology, n);
    observer_lost(o, n);
    mark_down(o, n, "node_down", reason, now_us);
    hear(o, n);
    tell_if_changed(o->topology, n, &was);
}

void observer_refused(struct observer *o, struct node *n, const char *reason, int64_t now_us)
{
    struct standing was = standing_of(o->topology, n);
    say_trouble(o, n, "probe_refused", reason, false, now_us);
    hear(o, n);
    tell_if_changed(o->topology, n, &was);
}

bool observer_wants_timeline(const struct observer *o, const struct node *n)
{
    return atomic_load(&n->role) != NODE_PRIMARY && o->primary != NULL &&
           atomic_load(&n->timeline) != atomic_load(&o->primary->timeline);
}
