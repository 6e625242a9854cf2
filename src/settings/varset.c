/*
 * A set is one block: the items, and behind them a text of name, zero, value, zero, ... in the
 * order of names. That text is the key under which the set is interned. The last reference is given
 * up under the table's lock, so a set that a lookup can find is never about to be freed.
 */
#include "settings/varset.h"

#include <assert.h>
#include <string.h>

#include "base/dlist.h"
#include "base/hmap.h"
#include "base/mem.h"
#include "base/sync.h"
#include "query/guc.h"

struct varset {
    struct hlink link;
    uint32_t refs;                /* atomic; from 1 to 0 only under the lock */
    const struct varset *reading; /* itself, or one reference */
    size_t count;
    struct varset_item items[];
};

static struct lock intern_lock = {PTHREAD_MUTEX_INITIALIZER, RANK_INTERN};
static struct hmap interned;

static struct varset empty = {.reading = &empty};

/* The count of references is the one part of a set that changes. */
static struct varset *writable(const struct varset *v)
{
    return (struct varset *)(uintptr_t)v;
}

const struct varset *varset_empty(void)
{
    return &empty;
}

const struct varset *varset_ref(const struct varset *v)
{
    if (v == &empty) { return v; }
    (void)__atomic_add_fetch(&writable(v)->refs, 1, __ATOMIC_RELAXED);
    return v;
}

void varset_unref(const struct varset **v)
{
    const struct varset *given = *v;
    *v = NULL;
    if (given == NULL || given == &empty) { return; }
    struct varset *own = writable(given);
    uint32_t refs = __atomic_load_n(&own->refs, __ATOMIC_RELAXED);
    while (refs > 1) {
        if (__atomic_compare_exchange_n(&own->refs, &refs, refs - 1, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            return;
        }
    }
    lock_take(&intern_lock);
    bool last = __atomic_sub_fetch(&own->refs, 1, __ATOMIC_ACQ_REL) == 0;
    if (last) { hmap_remove(&interned, &own->link); }
    if (last && interned.count == 0) { hmap_done(&interned); }
    lock_drop(&intern_lock);
    if (!last) { return; }
    if (own->reading != own) { varset_unref(&own->reading); }
    mem_free(&own);
}

size_t varset_count(const struct varset *v)
{
    return v->count;
}

const struct varset_item *varset_at(const struct varset *v, size_t i)
{
    assert(i < v->count);
    return &v->items[i];
}

const struct varset *varset_reading(const struct varset *v)
{
    return v->reading;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

/* An item's name is lower case already. */
static int compare_name(const char *item, const char *name)
{
    while (*item != '\0' && (unsigned char)*item == lower(*name)) {
        item++;
        name++;
    }
    return (unsigned char)*item - lower(*name);
}

/* The item's place, or the place where it belongs. */
static bool find(const struct varset_item *items, size_t count, const char *name, size_t *ret)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(items[middle].name, name);
        if (order == 0) {
            *ret = middle;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret = low;
    return false;
}

const char *varset_get(const struct varset *v, const char *name)
{
    size_t i = 0;
    return find(v->items, v->count, name, &i) ? v->items[i].value : NULL;
}

void varset_edit_begin(struct varset_edit *e, const struct varset *from)
{
    *e = (struct varset_edit){.from = varset_ref(from), .count = from->count};
}

static const struct varset_item *edited(const struct varset_edit *e)
{
    return e->items == NULL ? e->from->items : e->items;
}

/* Texts inside the set that the edit started from are that set's; all others are the edit's. */
static bool is_borrowed(const struct varset_edit *e, const char *text)
{
    struct bytes key = e->from->link.key;
    uintptr_t at = (uintptr_t)text, start = (uintptr_t)key.ptr;
    return at >= start && at < start + key.len;
}

static void free_text(const struct varset_edit *e, const char *text)
{
    if (is_borrowed(e, text)) { return; }
    char *own = (char *)(uintptr_t)text;
    mem_free(&own);
}

/* The edit's own array, with room for one more. */
static void make_own(struct varset_edit *e)
{
    if (e->items != NULL && e->count < e->room) { return; }
    size_t room = e->count + 8;
    struct varset_item *items = mem_array(struct varset_item, room);
    if (e->count > 0) { memcpy(items, edited(e), e->count * sizeof *items); }
    mem_free(&e->items);
    e->items = items;
    e->room = room;
}

void varset_edit_set(struct varset_edit *e, const char *name, const char *value)
{
    if (value == NULL) { return varset_edit_remove(e, name); }
    size_t i = 0;
    bool found = find(edited(e), e->count, name, &i);
    if (found && strcmp(edited(e)[i].value, value) == 0) { return; }
    make_own(e);
    char *copy = mem_strdup(value); /* before the old one goes: it may be what was given */
    if (found) {
        free_text(e, e->items[i].value);
        e->items[i].value = copy;
        return;
    }
    char *folded = mem_strdup(name);
    for (char *p = folded; *p != '\0'; p++) { *p = (char)lower(*p); }
    memmove(&e->items[i + 1], &e->items[i], (e->count - i) * sizeof *e->items);
    e->items[i] = (struct varset_item){folded, copy};
    e->count++;
}

void varset_edit_remove(struct varset_edit *e, const char *name)
{
    size_t i = 0;
    if (!find(edited(e), e->count, name, &i)) { return; }
    make_own(e);
    struct varset_item gone = e->items[i];
    e->count--;
    memmove(&e->items[i], &e->items[i + 1], (e->count - i) * sizeof *e->items);
    free_text(e, gone.name);
    free_text(e, gone.value);
}

const char *varset_edit_get(const struct varset_edit *e, const char *name)
{
    size_t i = 0;
    return find(edited(e), e->count, name, &i) ? edited(e)[i].value : NULL;
}

static struct varset *find_interned_locked(uint64_t hash, struct bytes key)
{
    struct hlink *link = hmap_find_hashed(&interned, hash, key);
    if (link == NULL) { return NULL; }
    struct varset *v = container_of(link, struct varset, link);
    (void)__atomic_add_fetch(&v->refs, 1, __ATOMIC_RELAXED);
    return v;
}

static struct varset *build(size_t count, struct bytes key)
{
    size_t items = count * sizeof(struct varset_item);
    struct varset *v = mem_zeroed(sizeof *v + items + key.len);
    char *text = (char *)(v->items + count);
    if (key.len > 0) { memcpy(text, key.ptr, key.len); }
    v->link.key = bytes_of(text, key.len);
    v->refs = 1;
    v->count = count;
    for (size_t i = 0; i < count; i++) {
        v->items[i].name = text;
        text += strlen(text) + 1;
        v->items[i].value = text;
        text += strlen(text) + 1;
    }
    return v;
}

static const struct varset *intern(size_t count, struct bytes key);

static const struct varset *reading_of(const struct varset *v)
{
    struct buf key = {0};
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (!guc_changes_analysis(v->items[i].name)) { continue; }
        buf_put_str(&key, v->items[i].name);
        buf_put_str(&key, v->items[i].value);
        count++;
    }
    const struct varset *reading = count == v->count ? v
                                   : count == 0      ? &empty
                                                     : intern(count, buf_view(&key));
    buf_done(&key);
    return reading;
}

/* The one set with this key. The block is built outside the lock, and dropped if another thread
 * was faster. */
static const struct varset *intern(size_t count, struct bytes key)
{
    uint64_t hash = hmap_hash(key);
    lock_take(&intern_lock);
    struct varset *v = find_interned_locked(hash, key);
    lock_drop(&intern_lock);
    if (v != NULL) { return v; }
    struct varset *made = build(count, key);
    made->reading = reading_of(made);
    lock_take(&intern_lock);
    v = find_interned_locked(hash, key);
    if (v == NULL) {
        v = made;
        made = NULL;
        hmap_insert_hashed(&interned, &v->link, hash, v->link.key);
    }
    lock_drop(&intern_lock);
    if (made != NULL && made->reading != made) { varset_unref(&made->reading); }
    mem_free(&made);
    return v;
}

const struct varset *varset_edit_end(struct varset_edit *e)
{
    const struct varset *v = &empty;
    if (e->items == NULL) {
        v = varset_ref(e->from);
    } else if (e->count > 0) {
        struct buf key = {0};
        for (size_t i = 0; i < e->count; i++) {
            buf_put_str(&key, e->items[i].name);
            buf_put_str(&key, e->items[i].value);
        }
        v = intern(e->count, buf_view(&key));
        buf_done(&key);
    }
    varset_edit_drop(e);
    return v;
}

void varset_edit_drop(struct varset_edit *e)
{
    for (size_t i = 0; e->items != NULL && i < e->count; i++) {
        free_text(e, e->items[i].name);
        free_text(e, e->items[i].value);
    }
    mem_free(&e->items);
    if (e->from != NULL) { varset_unref(&e->from); }
    *e = (struct varset_edit){0};
}

void varset_put(const struct varset **slot, const char *name, const char *value)
{
    struct varset_edit e;
    varset_edit_begin(&e, *slot);
    varset_edit_set(&e, name, value);
    const struct varset *old = *slot;
    *slot = varset_edit_end(&e);
    varset_unref(&old);
}

const struct varset *varset_read_as(const struct varset *v, const struct varset *reading)
{
    if (v->reading == reading) { return varset_ref(v); }
    struct varset_edit e;
    varset_edit_begin(&e, v);
    for (size_t i = 0; i < v->reading->count; i++) {
        const char *name = v->reading->items[i].name;
        if (varset_get(reading, name) == NULL) { varset_edit_remove(&e, name); }
    }
    for (size_t i = 0; i < reading->count; i++) {
        varset_edit_set(&e, reading->items[i].name, reading->items[i].value);
    }
    return varset_edit_end(&e);
}
