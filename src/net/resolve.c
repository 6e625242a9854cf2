/*
 * An ask goes from its loop to the resolver's inbox, joins the query for its name there, and comes
 * back as a letter; one of nobody (back is NULL) only refreshes what is remembered.
 */
#include "net/resolve.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/dns.h"

_Static_assert((int)NAMES_ADDRESSES == (int)DNS_ADDRESSES, "all that is found is remembered");

/* A resolver that takes longer does not keep those waiting who can do with what was known. */
enum { LATE_US = 1000000 };

struct resolver {
    struct loop *home;
    struct names names;
    struct dns *dns;
    struct lock lock; /* of inbox and stopped */
    struct dlist inbox;
    bool stopped;
    struct letter wake;
    struct hmap queries, serials; /* under way */
    _Atomic unsigned queries_count;
    struct timer zones;
    int64_t zone_check_us;
};

struct resolve {
    struct letter letter; /* its node: in the inbox, in a query, on its way back */
    struct loop *back;
    char *host;
    int port;
    bool found;
    struct address a;
    void (*done)(void *arg, const struct address *a);
    void *arg;
};

struct query { /* for a host; or for a zone, without asks */
    struct hlink link;
    struct resolver *resolver;
    struct dlist asks;
    struct timer late;
    char name[];
};

/* ---- asking ---------------------------------------------------------------------------------- */

static void free_ask(struct resolve *a)
{
    mem_free(&a->host);
    mem_free(&a);
}

static void open_answer(struct letter *l)
{
    struct resolve *a = container_of(l, struct resolve, letter);
    address_set_port(&a->a, a->port);
    if (a->done != NULL) { a->done(a->arg, a->found ? &a->a : NULL); }
    free_ask(a);
}

/* NULL when nobody answers any more. */
static struct resolve *ask(struct resolver *r, struct loop *back, const char *host)
{
    struct resolve *a = mem_new(struct resolve);
    a->letter.open = open_answer;
    a->back = back;
    a->host = mem_strdup(host);
    lock_take(&r->lock);
    bool stopped = r->stopped, first = dlist_empty(&r->inbox);
    if (!stopped) { dlist_push_back(&r->inbox, &a->letter.node); }
    lock_drop(&r->lock);
    if (stopped) {
        free_ask(a);
        return NULL;
    }
    if (first) { loop_post(r->home, &r->wake); }
    return a;
}

enum err resolve_start(struct loop *l, const char *host, int port, struct address *ret,
                       void (*done)(void *arg, const struct address *a), void *arg,
                       struct resolve **ret_pending)
{
    if (host[0] == '/' || host[0] == '@') {
        return address_unix(ret, host, port) ? E_OK : E_CONFIG;
    }
    if (address_numeric(ret, host, port)) { return E_OK; }
    if (l->resolver == NULL) { return E_NOTFOUND; }
    enum err e = names_find(l->names, host, clock_now_us(), ret);
    if (e == E_OK) { address_set_port(ret, port); }
    if (e != E_AGAIN) { return e; }
    struct resolve *a = ask(l->resolver, l, host);
    if (a == NULL) { return E_NOTFOUND; }
    a->port = port;
    a->done = done;
    a->arg = arg;
    *ret_pending = a;
    return E_AGAIN;
}

void resolve_refresh(struct loop *l, const char *host)
{
    if (l->resolver != NULL && names_is_due(l->names, host, clock_now_us())) {
        (void)ask(l->resolver, NULL, host);
    }
}

void resolve_forget(struct resolve **a)
{
    if (*a != NULL) { (*a)->done = NULL; }
    *a = NULL;
}

/* ---- the resolver's loop --------------------------------------------------------------------- */

static void answer(struct resolver *r, struct resolve *a)
{
    if (a->back == NULL) {
        free_ask(a);
        return;
    }
    a->found = names_pick(&r->names, a->host, clock_now_us(), &a->a);
    loop_post(a->back, &a->letter);
}

static void answer_all(struct resolver *r, struct dlist *asks)
{
    for (struct dlist *node; (node = dlist_pop_front(asks)) != NULL;) {
        answer(r, container_of(node, struct resolve, letter.node));
    }
}

static struct query *make_query(struct resolver *r, struct hmap *map, const char *name)
{
    size_t len = strlen(name);
    struct query *q = mem_zeroed(sizeof *q + len + 1);
    memcpy(q->name, name, len + 1);
    q->resolver = r;
    dlist_init(&q->asks);
    hmap_insert(map, &q->link, bytes_of(q->name, len));
    atomic_fetch_add(&r->queries_count, 1);
    return q;
}

static void end_query(struct hmap *map, struct query *q)
{
    atomic_fetch_sub(&q->resolver->queries_count, 1);
    hmap_remove(map, &q->link);
    mem_free(&q);
}

static void on_found(void *arg, const struct address *list, unsigned count, const char *reason)
{
    struct query *q = arg;
    struct resolver *r = q->resolver;
    if (count == 0 && !r->stopped) { log_warn(NULL, "DNS lookup failed: %s: %s", q->name, reason); }
    names_learn(&r->names, q->name, list, count, clock_now_us());
    timer_clear(&r->home->timers, &q->late);
    answer_all(r, &q->asks);
    end_query(&r->queries, q);
}

static void on_late(struct timer *t)
{
    struct query *q = container_of(t, struct query, late);
    struct resolver *r = q->resolver;
    struct address known;
    int64_t now_us = clock_now_us();
    if (!names_pick(&r->names, q->name, now_us, &known)) { return; }
    log_warn(NULL, "event=dns_late host=%s next=\"what was known of it stays in use\"", q->name);
    names_learn(&r->names, q->name, NULL, 0, now_us);
    answer_all(r, &q->asks);
}

static void serve(struct resolver *r, struct resolve *a)
{
    struct hlink *link = hmap_find(&r->queries, bytes_str(a->host));
    struct address known;
    if (link == NULL && a->back != NULL &&
        names_find(&r->names, a->host, clock_now_us(), &known) != E_AGAIN) {
        answer(r, a); /* since it asked, another one was told */
        return;
    }
    struct query *q =
        link == NULL ? make_query(r, &r->queries, a->host) : container_of(link, struct query, link);
    dlist_push_back(&q->asks, &a->letter.node);
    if (link == NULL) {
        q->late.due = on_late;
        timer_set(&r->home->timers, &q->late, clock_now_us() + LATE_US);
        dns_ask(r->dns, q->name, on_found, q);
    }
}

static struct resolve *next_ask(struct resolver *r)
{
    lock_take(&r->lock);
    struct dlist *node = dlist_pop_front(&r->inbox);
    lock_drop(&r->lock);
    return node == NULL ? NULL : container_of(node, struct resolve, letter.node);
}

static void on_wake(struct letter *l)
{
    struct resolver *r = container_of(l, struct resolver, wake);
    for (struct resolve *a; (a = next_ask(r)) != NULL;) { serve(r, a); }
}

/* ---- zones ----------------------------------------------------------------------------------- */

struct name_list {
    const char *zone; /* whose hosts are meant */
    char **names;
    size_t count;
};

static void add_name(struct name_list *list, const char *name)
{
    list->names = mem_grow(list->names, list->count + 1, sizeof *list->names);
    list->names[list->count++] = mem_strdup(name);
}

static void free_names(struct name_list *list)
{
    for (size_t i = 0; i < list->count; i++) { mem_free(&list->names[i]); }
    mem_free(&list->names);
}

static void add_zone(void *arg, const char *zone, uint32_t serial, unsigned hosts)
{
    (void)serial;
    (void)hosts;
    add_name(arg, zone);
}

static void add_host(void *arg, const char *host, int64_t ttl_us, const struct address *addresses,
                     unsigned count)
{
    struct name_list *list = arg;
    const char *zone = names_zone(host);
    (void)ttl_us;
    (void)addresses;
    (void)count;
    if (zone != NULL && strcmp(zone, list->zone) == 0) { add_name(list, host); }
}

static void on_serial(void *arg, const uint32_t *serial)
{
    struct query *q = arg;
    struct resolver *r = q->resolver;
    uint32_t old;
    if (serial != NULL && names_learn_serial(&r->names, q->name, *serial, &old)) {
        struct name_list hosts = {.zone = q->name};
        log_info(NULL, "zone '%s' serial changed: old=%u new=%u", q->name, old, *serial);
        names_each(&r->names, clock_now_us(), add_host, &hosts);
        for (size_t i = 0; i < hosts.count; i++) { (void)ask(r, NULL, hosts.names[i]); }
        free_names(&hosts);
    }
    end_query(&r->serials, q);
}

static void on_zones(struct timer *t)
{
    struct resolver *r = container_of(t, struct resolver, zones);
    struct name_list zones = {0};
    names_each_zone(&r->names, add_zone, &zones);
    for (size_t i = 0; i < zones.count; i++) {
        if (hmap_find(&r->serials, bytes_str(zones.names[i])) != NULL) { continue; }
        dns_ask_serial(r->dns, zones.names[i], on_serial,
                       make_query(r, &r->serials, zones.names[i]));
    }
    free_names(&zones);
    timer_set(&r->home->timers, &r->zones, clock_now_us() + r->zone_check_us);
}

/* ---- its life -------------------------------------------------------------------------------- */

enum err resolver_new(struct loop *home, const char *resolv_conf, struct resolver **ret,
                      struct fault *why)
{
    struct dns *dns = NULL;
    enum err e = dns_open(home, resolv_conf, &dns, why);
    if (e != E_OK) { return e; }
    struct resolver *r = mem_new(struct resolver);
    r->home = home;
    r->dns = dns;
    names_init(&r->names);
    lock_init(&r->lock, RANK_LEAF);
    dlist_init(&r->inbox);
    dlist_init(&r->wake.node);
    r->wake.open = on_wake;
    r->zones.due = on_zones;
    *ret = r;
    return E_OK;
}

void resolver_serve(struct resolver *r, struct loop *l)
{
    l->resolver = r;
    l->names = &r->names;
}

void resolver_configure(struct resolver *r, int64_t ttl_us, int64_t failed_ttl_us,
                        int64_t zone_check_us)
{
    names_configure(&r->names, ttl_us, failed_ttl_us);
    if (zone_check_us == r->zone_check_us) { return; }
    r->zone_check_us = zone_check_us;
    timer_clear(&r->home->timers, &r->zones);
    if (zone_check_us > 0) {
        timer_set(&r->home->timers, &r->zones, clock_now_us() + zone_check_us);
    }
}

void resolver_stop(struct resolver *r)
{
    lock_take(&r->lock);
    r->stopped = true;
    lock_drop(&r->lock);
    loop_unpost(r->home, &r->wake);
    timer_clear(&r->home->timers, &r->zones);
    dns_close(&r->dns);
    answer_all(r, &r->inbox); /* nobody adds to it any more */
}

void resolver_free(struct resolver **pr)
{
    struct resolver *r = *pr;
    *pr = NULL;
    if (r == NULL) { return; }
    assert(r->queries.count == 0 && r->serials.count == 0 && r->dns == NULL);
    hmap_done(&r->queries);
    hmap_done(&r->serials);
    names_done(&r->names);
    lock_done(&r->lock);
    mem_free(&r);
}

unsigned resolver_queries(const struct resolver *r)
{
    return atomic_load(&r->queries_count);
}
