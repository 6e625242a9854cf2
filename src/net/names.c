/* A table of names; each holds the addresses of its last lookup that gave some. */
#include "net/names.h"

#include <netinet/in.h>
#include <string.h>

#include "base/mem.h"

struct zone {
    struct hlink link;
    unsigned hosts;
    uint32_t serial; /* 0: not known yet */
    char name[];
};

struct host {
    struct hlink link;
    struct zone *zone; /* NULL: none */
    struct address list[NAMES_ADDRESSES];
    unsigned count, next;
    bool bad[NAMES_ADDRESSES];
    int64_t bad_us;    /* when the last of them was found so */
    int64_t found_us;  /* of the last lookup that gave something; 0: none did */
    int64_t failed_us; /* of the last that did not; 0: none failed since */
    int64_t asked_us;  /* when somebody last wanted to know */
    char name[];
};

void names_init(struct names *n)
{
    *n = (struct names){0};
    lock_init(&n->lock, RANK_LEAF);
}

const char *names_zone(const char *host)
{
    const char *dot = strchr(host, '.');
    return dot == NULL || dot[1] == '\0' ? NULL : dot + 1;
}

static struct zone *find_zone(const struct names *n, const char *name)
{
    struct hlink *link = hmap_find(&n->zones, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct zone, link);
}

static struct zone *join_zone(struct names *n, const char *name)
{
    if (name == NULL) { return NULL; }
    struct zone *z = find_zone(n, name);
    if (z == NULL) {
        size_t len = strlen(name);
        z = mem_zeroed(sizeof *z + len + 1);
        memcpy(z->name, name, len + 1);
        hmap_insert(&n->zones, &z->link, bytes_of(z->name, len));
    }
    z->hosts++;
    return z;
}

static void forget(struct names *n, struct host *h)
{
    struct zone *z = h->zone;
    if (z != NULL && --z->hosts == 0) {
        hmap_remove(&n->zones, &z->link);
        mem_free(&z);
    }
    hmap_remove(&n->hosts, &h->link);
    mem_free(&h);
}

void names_done(struct names *n)
{
    hmap_each (link, &n->hosts) { forget(n, container_of(link, struct host, link)); }
    hmap_done(&n->hosts);
    hmap_done(&n->zones);
    lock_done(&n->lock);
}

void names_configure(struct names *n, int64_t ttl_us, int64_t failed_ttl_us)
{
    lock_take(&n->lock);
    n->ttl_us = ttl_us;
    n->failed_ttl_us = failed_ttl_us;
    lock_drop(&n->lock);
}

static struct host *find(const struct names *n, const char *name)
{
    struct hlink *link = hmap_find(&n->hosts, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct host, link);
}

/* The next one that is not known to be bad; when all are, the next one. */
static const struct address *choose(const struct names *n, struct host *h, int64_t now_us)
{
    if (now_us - h->bad_us >= n->failed_ttl_us) { memset(h->bad, 0, sizeof h->bad); }
    unsigned first = h->next++;
    for (unsigned i = 0; i < h->count; i++) {
        unsigned at = (first + i) % h->count;
        if (!h->bad[at]) { return &h->list[at]; }
    }
    return &h->list[first % h->count];
}

enum err names_find(struct names *n, const char *host, int64_t now_us, struct address *ret)
{
    enum err e = E_AGAIN;
    lock_take(&n->lock);
    struct host *h = find(n, host);
    bool failing = h != NULL && h->failed_us != 0 && now_us - h->failed_us < n->failed_ttl_us;
    if (h != NULL) { h->asked_us = now_us; }
    if (h != NULL && h->count > 0 && (failing || now_us - h->found_us < n->ttl_us)) {
        *ret = *choose(n, h, now_us);
        e = E_OK;
    } else if (failing) {
        e = E_NOTFOUND;
    }
    lock_drop(&n->lock);
    return e;
}

bool names_pick(struct names *n, const char *host, int64_t now_us, struct address *ret)
{
    lock_take(&n->lock);
    struct host *h = find(n, host);
    bool known = h != NULL && h->count > 0;
    if (known) { *ret = *choose(n, h, now_us); }
    lock_drop(&n->lock);
    return known;
}

unsigned names_list(struct names *n, const char *host, struct address list[NAMES_ADDRESSES])
{
    lock_take(&n->lock);
    const struct host *h = find(n, host);
    unsigned count = h == NULL ? 0 : h->count;
    if (count > 0) { memcpy(list, h->list, count * sizeof *list); }
    lock_drop(&n->lock);
    return count;
}

/* The host of an address, whatever its port. */
static struct bytes host_of(const struct address *a)
{
    if (a->any.sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&a->room;
        return bytes_of(&in->sin_addr, sizeof in->sin_addr);
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->room;
    return bytes_of(&in6->sin6_addr, sizeof in6->sin6_addr);
}

static bool is_in(const struct address *a, const struct address *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (bytes_equal(host_of(a), host_of(&list[i]))) { return true; }
    }
    return false;
}

/* Resolvers give them in any order. */
static bool is_same(const struct host *h, const struct address *list, unsigned count)
{
    bool same = h->count == count;
    for (unsigned i = 0; i < count && same; i++) { same = is_in(&list[i], h->list, h->count); }
    return same;
}

void names_learn(struct names *n, const char *host, const struct address *list, unsigned count,
                 int64_t now_us)
{
    if (count > NAMES_ADDRESSES) { count = NAMES_ADDRESSES; }
    lock_take(&n->lock);
    struct host *h = find(n, host);
    if (h == NULL) {
        size_t len = strlen(host);
        h = mem_zeroed(sizeof *h + len + 1);
        memcpy(h->name, host, len + 1);
        h->asked_us = now_us;
        h->zone = join_zone(n, names_zone(host));
        hmap_insert(&n->hosts, &h->link, bytes_of(h->name, len));
    }
    if (count == 0) {
        h->failed_us = now_us;
    } else {
        if (!is_same(h, list, count)) {
            if (h->count > 0) { atomic_fetch_add(&n->turn, 1); }
            memcpy(h->list, list, count * sizeof *list);
            memset(h->bad, 0, sizeof h->bad);
            h->count = count;
        }
        h->found_us = now_us;
        h->failed_us = 0;
    }
    lock_drop(&n->lock);
}

bool names_failed(struct names *n, const char *host, const struct address *a, int64_t now_us)
{
    bool others = false;
    lock_take(&n->lock);
    struct host *h = find(n, host);
    for (unsigned i = 0; h != NULL && i < h->count; i++) {
        if (bytes_equal(host_of(a), host_of(&h->list[i]))) {
            h->bad[i] = true;
            h->bad_us = now_us;
        }
        others = others || !h->bad[i];
    }
    lock_drop(&n->lock);
    return others;
}

bool names_is_due(struct names *n, const char *host, int64_t now_us)
{
    lock_take(&n->lock);
    struct host *h = find(n, host);
    if (h != NULL) { h->asked_us = now_us; }
    bool due = h != NULL && h->count > 0 && now_us - h->found_us >= n->ttl_us &&
               (h->failed_us == 0 || now_us - h->failed_us >= n->failed_ttl_us);
    lock_drop(&n->lock);
    return due;
}

bool names_has(struct names *n, const char *host, const struct address *a)
{
    lock_take(&n->lock);
    const struct host *h = find(n, host);
    bool has = h == NULL || h->count == 0 || is_in(a, h->list, h->count);
    lock_drop(&n->lock);
    return has;
}

void names_sweep(struct names *n, int64_t now_us)
{
    lock_take(&n->lock);
    int64_t most_us = n->ttl_us > n->failed_ttl_us ? n->ttl_us : n->failed_ttl_us;
    if (most_us < NAMES_KEPT_US) { most_us = NAMES_KEPT_US; }
    hmap_each (link, &n->hosts) {
        struct host *h = container_of(link, struct host, link);
        if (now_us - h->asked_us > most_us) { forget(n, h); }
    }
    lock_drop(&n->lock);
}

void names_each(struct names *n, int64_t now_us,
                void (*visit)(void *arg, const char *host, int64_t ttl_us,
                              const struct address *list, unsigned count),
                void *arg)
{
    lock_take(&n->lock);
    hmap_each (link, &n->hosts) {
        const struct host *h = container_of(link, struct host, link);
        int64_t left_us = h->failed_us != 0 ? h->failed_us + n->failed_ttl_us - now_us
                                            : h->found_us + n->ttl_us - now_us;
        visit(arg, h->name, left_us > 0 ? left_us : 0, h->list, h->count);
    }
    lock_drop(&n->lock);
}

bool names_learn_serial(struct names *n, const char *zone, uint32_t serial, uint32_t *ret_old)
{
    lock_take(&n->lock);
    struct zone *z = find_zone(n, zone);
    bool later = z != NULL && (int32_t)(serial - z->serial) > 0;
    if (later) {
        *ret_old = z->serial;
        z->serial = serial;
    }
    lock_drop(&n->lock);
    return later;
}

void names_each_zone(struct names *n,
                     void (*visit)(void *arg, const char *zone, uint32_t serial, unsigned hosts),
                     void *arg)
{
    lock_take(&n->lock);
    hmap_each (link, &n->zones) {
        const struct zone *z = container_of(link, struct zone, link);
        visit(arg, z->name, z->serial, z->hosts);
    }
    lock_drop(&n->lock);
}
