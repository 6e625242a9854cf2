/*
 * Two tables of keys, texts and shapes, over entries that are counted by the keys and holders they
 * have. All keys share one list by last use. A text that has a shape becomes a key of its own only
 * when it is seen again: a stream of texts that differ in literals must not push out what is
 * useful.
 */
#include "query/memo.h"

#include <assert.h>

#include "base/buf.h"
#include "base/hmap.h"
#include "base/mem.h"
#include "query/facts.h"
#include "query/shape.h"

enum {
    SEEN_SLOTS = 128,      /* few: texts that come back later than that only crowd the table */
    JUDGEMENT_BYTES = 512, /* a guess at what the layer above hangs on an entry */
};

struct known {
    struct memo_entry entry;
    void (*free_judgement)(void *judgement);
    uint32_t refs;
};

struct key {
    struct hlink link;
    struct dlist use;
    struct hmap *table;
    struct known *known;
    size_t bytes;
    uint8_t text[];
};

struct memo {
    size_t max_entries, max_bytes, max_inspect_bytes;
    void (*free_judgement)(void *judgement);
    struct hmap texts, shapes;
    struct dlist by_use;  /* the latest in front */
    struct known *latest; /* what memo_find() returned: held until the next call */
    struct known *too_long;
    struct buf shape;
    uint64_t seen[SEEN_SLOTS]; /* hashes of texts that were found by shape once */
    struct memo_stats stats;
};

static struct known *known_new(const struct memo *m, struct statement *statement, uint64_t shape)
{
    struct known *k = mem_new(struct known);
    k->entry.statement = statement;
    k->entry.shape = shape;
    k->free_judgement = m->free_judgement;
    return k;
}

static struct known *known_ref(struct known *k)
{
    k->refs++;
    return k;
}

static void known_unref(struct known **at)
{
    struct known *k = *at;
    *at = NULL;
    if (k == NULL) { return; }
    assert(k->refs > 0);
    if (--k->refs > 0) { return; }
    if (k->entry.judgement != NULL && k->free_judgement != NULL) {
        k->free_judgement(k->entry.judgement);
    }
    statement_unref(&k->entry.statement);
    mem_free(&k);
}

static void key_free(struct memo *m, struct key *key)
{
    hmap_remove(key->table, &key->link);
    dlist_remove(&key->use);
    m->stats.entries--;
    m->stats.bytes -= key->bytes;
    known_unref(&key->known);
    mem_free(&key);
}

static void make_room(struct memo *m)
{
    while (m->stats.entries > m->max_entries || m->stats.bytes > m->max_bytes) {
        assert(!dlist_empty(&m->by_use));
        key_free(m, container_of(m->by_use.prev, struct key, use));
        m->stats.evictions++;
    }
}

/* The entry's own bytes are counted with its first key, which may die before the entry does. */
static void key_add(struct memo *m, struct hmap *table, uint64_t hash, struct bytes text,
                    struct known *known, bool first)
{
    struct key *key = mem_zeroed(sizeof *key + text.len);
    if (text.len > 0) { memcpy(key->text, text.ptr, text.len); }
    key->table = table;
    key->known = known_ref(known);
    key->bytes = sizeof *key + text.len;
    if (first) {
        key->bytes += sizeof *known + statement_size(known->entry.statement) + JUDGEMENT_BYTES;
    }
    hmap_insert_hashed(table, &key->link, hash, bytes_of(key->text, text.len));
    dlist_push_front(&m->by_use, &key->use);
    m->stats.entries++;
    m->stats.bytes += key->bytes;
}

static struct known *lookup(struct memo *m, const struct hmap *table, uint64_t hash,
                            struct bytes text)
{
    struct hlink *link = hmap_find_hashed(table, hash, text);
    if (link == NULL) { return NULL; }
    struct key *key = container_of(link, struct key, link);
    dlist_remove(&key->use);
    dlist_push_front(&m->by_use, &key->use);
    return key->known;
}

struct memo *memo_new(size_t max_entries, size_t max_bytes, size_t max_inspect_bytes,
                      void (*free_judgement)(void *judgement))
{
    struct memo *m = mem_new(struct memo);
    m->max_entries = max_entries;
    m->max_bytes = max_bytes;
    m->max_inspect_bytes = max_inspect_bytes;
    m->free_judgement = free_judgement;
    dlist_init(&m->by_use);
    return m;
}

void memo_free(struct memo **m)
{
    if (*m == NULL) { return; }
    dlist_each (node, &(*m)->by_use) { key_free(*m, container_of(node, struct key, use)); }
    known_unref(&(*m)->latest);
    known_unref(&(*m)->too_long);
    hmap_done(&(*m)->texts);
    hmap_done(&(*m)->shapes);
    buf_done(&(*m)->shape);
    mem_free(m);
}

static struct memo_entry *answer(struct memo *m, struct known *k)
{
    known_ref(k);
    known_unref(&m->latest);
    m->latest = k;
    make_room(m);
    return &k->entry;
}

static struct known *find_too_long(struct memo *m, struct bytes text)
{
    if (m->too_long == NULL) {
        m->too_long = known_ref(known_new(m, query_parse(text, m->max_inspect_bytes), 0));
    }
    return m->too_long;
}

static struct known *parse(struct memo *m, struct bytes text, uint64_t shape)
{
    m->stats.parses++;
    return known_new(m, query_parse(text, m->max_inspect_bytes), shape);
}

struct memo_entry *memo_find(struct memo *m, struct bytes text)
{
    if (text.len > m->max_inspect_bytes) { return answer(m, find_too_long(m, text)); }

    uint64_t hash = hmap_hash(text);
    struct known *k = lookup(m, &m->texts, hash, text);
    if (k != NULL) {
        m->stats.text_hits++;
        return answer(m, k);
    }

    buf_clear(&m->shape);
    if (!shape_scan(text, &m->shape)) {
        k = parse(m, text, 0);
        key_add(m, &m->texts, hash, text, k, true);
        return answer(m, k);
    }

    struct bytes shape = buf_view(&m->shape);
    uint64_t shape_hash = hmap_hash(shape);
    k = lookup(m, &m->shapes, shape_hash, shape);
    if (k == NULL) {
        k = parse(m, text, shape_hash != 0 ? shape_hash : 1);
        key_add(m, &m->shapes, shape_hash, shape, k, true);
        m->seen[hash % SEEN_SLOTS] = hash;
        return answer(m, k);
    }
    m->stats.shape_hits++;
    if (m->seen[hash % SEEN_SLOTS] == hash) {
        key_add(m, &m->texts, hash, text, k, false);
    } else {
        m->seen[hash % SEEN_SLOTS] = hash;
    }
    return answer(m, k);
}

struct memo_entry *memo_hold(struct memo_entry *e)
{
    known_ref(container_of(e, struct known, entry));
    return e;
}

void memo_drop(struct memo_entry **e)
{
    if (*e == NULL) { return; }
    struct known *k = container_of(*e, struct known, entry);
    *e = NULL;
    known_unref(&k);
}

struct memo_stats memo_stats(const struct memo *m)
{
    return m->stats;
}
