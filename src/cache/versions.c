/*
 * An open-addressed table of counters. A slot, once it has its key, keeps it for ever, so readers
 * need no lock. Only reading claims a slot: a counter that nobody has read is in no entry, and its
 * bump can be left out. What finds its neighbourhood full shares one counter with the others that
 * did: they void each other's entries, which costs hits and nothing else.
 */
#include "cache/versions.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/random.h"

#define SLOTS     16384u /* a power of two */
#define PROBES    64u
#define SLOT_FREE 0
/* A process's counters start anywhere below 2^62 and so never wrap. */
#define START_MASK ((UINT64_C(1) << 62) - 1)

struct slot {
    _Atomic uint64_t key;
    _Atomic uint64_t moved; /* since the start */
};

struct versions { /* zeroes until used, which take no memory */
    uint64_t start;
    struct slot slots[SLOTS];
    struct slot shared;
};

struct versions *versions_new(void)
{
    struct versions *v = mem_new(struct versions);
    random_fill(&v->start, sizeof v->start);
    v->start &= START_MASK;
    return v;
}

void versions_free(struct versions **v)
{
    mem_free(v);
}

static uint64_t key_of(uint32_t database, uint32_t relation)
{
    uint64_t key = (uint64_t)database << 32 | relation;
    return key == SLOT_FREE ? UINT64_MAX : key;
}

/* The key's slot; NULL when it has none and claim is false. */
static struct slot *slot_of(struct versions *v, uint64_t key, bool claim)
{
    uint64_t home = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 40;
    for (unsigned i = 0; i < PROBES; i++) {
        struct slot *s = &v->slots[(home + i) & (SLOTS - 1)];
        uint64_t seen = atomic_load(&s->key);
        if (seen == SLOT_FREE) {
            if (!claim) { return NULL; }
            if (atomic_compare_exchange_strong(&s->key, &seen, key)) { return s; }
        }
        if (seen == key) { return s; }
    }
    return &v->shared;
}

static uint64_t read_slot(struct versions *v, uint32_t database, uint32_t relation)
{
    return v->start + atomic_load(&slot_of(v, key_of(database, relation), true)->moved);
}

void versions_read(struct versions *v, uint32_t database, const uint32_t *relations, unsigned count,
                   uint64_t *ret)
{
    ret[0] = read_slot(v, database, 0);
    for (unsigned i = 0; i < count; i++) { ret[i + 1] = read_slot(v, database, relations[i]); }
}

void versions_bump(struct versions *v, uint32_t database, uint32_t relation)
{
    struct slot *s = slot_of(v, key_of(database, relation), false);
    if (s != NULL) { (void)atomic_fetch_add(&s->moved, 1); }
}
