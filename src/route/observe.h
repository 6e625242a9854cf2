/*
 * What probes' answers mean: who is primary, who follows it, and up to which moment. No I/O, so
 * that a failover can be played through with a fake clock. Control thread.
 */
#pragma once

#include "route/node.h"

/* One node's answer. */
struct observed {
    int64_t sent_us; /* before the query was sent */
    bool in_recovery;
    uint64_t lsn;           /* replica: replayed up to here; primary: inserted up to here */
    uint64_t flush_lsn;     /* primary: flushed up to here */
    uint32_t timeline;      /* 0: not asked this time */
    uint64_t system_id;     /* 0: not asked this time, or not allowed to know */
    uint32_t segment_bytes; /* wal_segment_size; 0: not asked this time */
};

enum { OBSERVE_SAMPLES = 1024 };

/* The primary had written up to lsn at the moment at_us: commits acknowledged by then are in it. */
struct sample {
    int64_t at_us;
    uint64_t lsn;
};

struct observer {
    struct topology *topology;
    uint64_t system_id;   /* of the first node that told; no other cluster is accepted */
    struct node *primary; /* the last one known; NULL: none yet */
    uint32_t segment_bytes;
    struct sample samples[OBSERVE_SAMPLES]; /* a ring; taken on `primary` only */
    unsigned samples_count, samples_next;
    uint64_t flush_lsn;
    int64_t flushed_us; /* of the last flush asked for */
    int64_t *said_us;   /* per node: when its trouble was last logged */
    bool *heard;        /* per node: it answered or failed at least once */
    size_t heard_count;
};

/* The topology is settling until every node was heard of. */
void observer_init(struct observer *o, struct topology *t);
void observer_done(struct observer *o);

void observer_answer(struct observer *o, struct node *n, const struct observed *answer,
                     int64_t now_us);
/* The node cannot be reached or does not answer: it is down. */
void observer_failed(struct observer *o, struct node *n, const char *reason, int64_t now_us);
/* The connection ended, perhaps by a restart, after which a replica may be further behind, or made
   anew. */
void observer_lost(struct observer *o, struct node *n);
/* The node answers but turns the probe away (password, too many connections): alive, and nothing
   new is known of it. */
void observer_refused(struct observer *o, struct node *n, const char *reason, int64_t now_us);

/* Does the node's timeline have to be asked for, because it decides something now? */
bool observer_wants_timeline(const struct observer *o, const struct node *n);
/*
 * An open transaction has written records that nothing flushes, so that no replica can reach the
 * samples: true (once a second at most) when the primary should be made to flush them.
 */
bool observer_wants_flush(struct observer *o, int64_t now_us);

/*
 * The end of the last record before an insert position. A position at the start of a page's content
 * is reported behind the page's header, where no replica gets before there is another record.
 */
uint64_t observe_record_end(uint64_t insert_lsn, uint32_t segment_bytes);
