/* The process-wide table of prepared texts. */
#include "server/prepared.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/hmap.h"
#include "base/mem.h"
#include "base/sync.h"

struct entry {
    struct prepared prepared;
    struct hlink link;
    _Atomic uint32_t refs, turn;
    uint8_t key[]; /* by SQL?, how it is read, count of types, types, text */
};

static struct lock table_lock;
static struct hmap table;
static uint64_t last_id;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void init_table(void)
{
    lock_init(&table_lock, RANK_INTERN);
}

static const struct prepared *intern(struct bytes text, const uint8_t *types, uint16_t types_count,
                                     bool by_sql, struct reading how)
{
    enum {
        HEAD = 1 + sizeof how.settings + sizeof how.odd + sizeof how.catalog + sizeof how.of + 2
    };
    (void)pthread_once(&table_once, init_table);
    size_t types_size = (size_t)types_count * 4, key_size = HEAD + types_size + text.len;
    struct entry *e = mem_zeroed(sizeof *e + key_size);
    e->key[0] = by_sql;
    memcpy(e->key + 1, &how.settings, sizeof how.settings); /* interned, and held: its identity */
    memcpy(e->key + 1 + sizeof how.settings, &how.odd, sizeof how.odd);
    memcpy(e->key + HEAD - 6 - sizeof how.catalog, &how.catalog, sizeof how.catalog);
    put_u32(e->key + HEAD - 6, how.of);
    put_u16(e->key + HEAD - 2, types_count);
    if (types_size > 0) { memcpy(e->key + HEAD, types, types_size); }
    if (text.len > 0) { memcpy(e->key + HEAD + types_size, text.ptr, text.len); }
    struct bytes key = bytes_of(e->key, key_size);
    uint64_t hash = hmap_hash(key);

    lock_take(&table_lock);
    struct hlink *found = hmap_find_hashed(&table, hash, key);
    struct entry *same = found == NULL ? NULL : container_of(found, struct entry, link);
    if (same != NULL) {
        atomic_fetch_add(&same->refs, 1);
    } else {
        e->prepared = (struct prepared){.id = ++last_id,
                                        .text = bytes_of(e->key + HEAD + types_size, text.len),
                                        .types = e->key + HEAD,
                                        .types_count = types_count,
                                        .by_sql = by_sql,
                                        .reading = how,
                                        .turn = &e->turn};
        atomic_store(&e->refs, 1);
        if (how.settings != NULL) { (void)varset_ref(how.settings); }
        hmap_insert_hashed(&table, &e->link, hash, key);
    }
    lock_drop(&table_lock);
    if (same != NULL) {
        mem_free(&e);
        return &same->prepared;
    }
    return &e->prepared;
}

const struct prepared *prepared_intern(struct bytes text, const uint8_t *types,
                                       uint16_t types_count, struct reading how)
{
    return intern(text, types, types_count, false, how);
}

bool prepared_is(const struct prepared *p, struct bytes text, const uint8_t *types,
                 uint16_t types_count, struct reading how)
{
    return p != NULL && !p->by_sql && reading_equal(p->reading, how) &&
           p->types_count == types_count && bytes_equal(p->text, text) &&
           (types_count == 0 || memcmp(p->types, types, 4 * (size_t)types_count) == 0);
}

const struct prepared *prepared_intern_sql(struct bytes text, struct reading how)
{
    return intern(text, NULL, 0, true, how);
}

static struct entry *entry_of(const struct prepared *p)
{
    return container_of((struct prepared *)(uintptr_t)p, struct entry, prepared);
}

const struct prepared *prepared_ref(const struct prepared *p)
{
    atomic_fetch_add(&entry_of(p)->refs, 1);
    return p;
}

void prepared_unref(const struct prepared **p)
{
    if (*p == NULL) { return; }
    struct entry *e = entry_of(*p);
    *p = NULL;
    /* Only the last reference needs the table: another thread may find the entry until it is out.
     */
    uint32_t refs = atomic_load(&e->refs);
    while (refs > 1) {
        if (atomic_compare_exchange_weak(&e->refs, &refs, refs - 1)) { return; }
    }
    lock_take(&table_lock);
    bool last = atomic_fetch_sub(&e->refs, 1) == 1;
    if (last) { hmap_remove(&table, &e->link); }
    if (last && table.count == 0) { hmap_done(&table); }
    lock_drop(&table_lock);
    if (!last) { return; }
    varset_unref(&e->prepared.reading.settings);
    mem_free(&e);
}

void prepared_outdated(const struct prepared *p, uint32_t turn)
{
    /* Each of many servers may have one of the same turn: it is over once. */
    (void)atomic_compare_exchange_strong(p->turn, &turn, turn + 1);
}

void prepared_name(const struct prepared *p, char name[PREPARED_NAME])
{
    (void)snprintf(name, PREPARED_NAME, PREPARED_PREFIX "%llx", (unsigned long long)p->id);
}
