/*
 * The table has a fixed number of chains: nothing is allocated under the lock. Items also stand in
 * a line by age, from which the oldest is dropped.
 */
#include "auth/keyring.h"

#include <assert.h>
#include <pthread.h>

#include "auth/crypto.h"
#include "base/dlist.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sync.h"

enum { CHAINS = 4096 };

struct item {
    struct dlist by_age;
    struct item *next; /* of its chain */
    uint8_t id[KEYRING_ID], data[KEYRING_DATA];
};

static struct lock lock;
static struct item *chains[CHAINS];
static struct dlist ages;
static unsigned count;
static uint8_t process_key[CRYPTO_SHA256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    lock_init(&lock, RANK_LEAF);
    dlist_init(&ages);
    random_fill(process_key, sizeof process_key);
}

static void ready(void)
{
    (void)pthread_once(&once, init);
}

void keyring_id(const char *purpose, const struct bytes *parts, unsigned parts_count,
                uint8_t ret[KEYRING_ID])
{
    ready();
    struct buf all = {0};
    size_t size = strlen(purpose) + 1;
    for (unsigned i = 0; i < parts_count; i++) { size += 4 + parts[i].len; }
    /* All at once, so that growing leaves no copy of a password behind. */
    (void)buf_reserve(&all, size);
    buf_put_str(&all, purpose);
    for (unsigned i = 0; i < parts_count; i++) {
        buf_put_u32(&all, (uint32_t)parts[i].len);
        buf_put_bytes(&all, parts[i]);
    }
    crypto_hmac(bytes_of(process_key, sizeof process_key), buf_view(&all), ret);
    crypto_wipe_buf(&all);
}

/* The place that points, or would point, at the item. Ids are hashes: any of their bits will do. */
static struct item **place_locked(const uint8_t id[KEYRING_ID])
{
    struct item **at = &chains[get_u16(id) % CHAINS];
    while (*at != NULL && memcmp((*at)->id, id, KEYRING_ID) != 0) { at = &(*at)->next; }
    return at;
}

static struct item *remove_locked(struct item **at)
{
    struct item *item = *at;
    assert(item != NULL);
    *at = item->next;
    dlist_remove(&item->by_age);
    count--;
    return item;
}

static void item_free(struct item *item)
{
    if (item == NULL) { return; }
    mem_wipe(item, sizeof *item);
    mem_free(&item);
}

bool keyring_find(const uint8_t id[KEYRING_ID], uint8_t ret[KEYRING_DATA])
{
    ready();
    lock_take(&lock);
    const struct item *item = *place_locked(id);
    if (item != NULL) { memcpy(ret, item->data, KEYRING_DATA); }
    lock_drop(&lock);
    return item != NULL;
}

void keyring_keep(const uint8_t id[KEYRING_ID], const uint8_t data[KEYRING_DATA])
{
    ready();
    struct item *fresh = mem_new(struct item);
    memcpy(fresh->id, id, KEYRING_ID);
    memcpy(fresh->data, data, KEYRING_DATA);

    lock_take(&lock);
    struct item **at = place_locked(id);
    struct item *gone = NULL;
    if (*at != NULL) {
        gone = remove_locked(at);
    } else if (count >= KEYRING_MOST) {
        gone = remove_locked(place_locked(container_of(ages.next, struct item, by_age)->id));
    }
    at = &chains[get_u16(id) % CHAINS];
    fresh->next = *at;
    *at = fresh;
    dlist_push_back(&ages, &fresh->by_age);
    count++;
    lock_drop(&lock);
    item_free(gone);
}

void keyring_forget(void)
{
    ready();
    struct item *gone = NULL;
    lock_take(&lock);
    while (!dlist_empty(&ages)) {
        struct item *item =
            remove_locked(place_locked(container_of(ages.next, struct item, by_age)->id));
        item->next = gone;
        gone = item;
    }
    lock_drop(&lock);
    while (gone != NULL) {
        struct item *next = gone->next;
        item_free(gone);
        gone = next;
    }
}
