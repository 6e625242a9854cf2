/* One c-ares channel: its sockets are watches of the loop, its retries one timer. */
#include "net/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/watch.h"

static const char system_file[] = "/etc/resolv.conf";

struct dns {
    struct loop *loop;
    char *file;
    struct stat seen; /* the file, as it was when the channel was opened */
    ares_channel channel;
    struct dlist sockets;
    struct timer timer; /* when c-ares wants to look again */
    struct dlist again; /* asks of a channel that is no more */
    bool closing;
};

struct dns_socket {
    struct dlist node;
    struct dns *dns;
    struct watch *watch;
    int fd; /* c-ares's */
};

struct ask {
    struct dlist node;
    struct dns *dns;
    void (*found)(void *arg, const struct address *list, unsigned count, const char *reason);
    void (*serial)(void *arg, const uint32_t *serial); /* it is a zone */
    void *arg;
    char name[];
};

/* ---- c-ares on the loop ---------------------------------------------------------------------- */

static void on_timer(struct timer *t);

/* After each call of c-ares. */
static void set_timer(struct dns *d)
{
    struct timeval left;
    if (ares_timeout(d->channel, NULL, &left) == NULL) {
        timer_clear(&d->loop->timers, &d->timer);
    } else {
        int64_t left_us = left.tv_sec * US_PER_S + left.tv_usec;
        timer_set(&d->loop->timers, &d->timer, clock_now_us() + left_us);
    }
}

static void on_timer(struct timer *t)
{
    struct dns *d = container_of(t, struct dns, timer);
    ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(d);
}

static void on_socket(void *arg, int events)
{
    const struct dns_socket *s = arg;
    struct dns *d = s->dns;
    int fd = s->fd; /* c-ares may close it */
    ares_process_fd(d->channel, (events & UV_READABLE) != 0 ? fd : ARES_SOCKET_BAD,
                    (events & UV_WRITABLE) != 0 ? fd : ARES_SOCKET_BAD);
    set_timer(d);
}

static struct dns_socket *find_socket(const struct dns *d, int fd)
{
    dlist_each (node, &d->sockets) {
        struct dns_socket *s = container_of(node, struct dns_socket, node);
        if (s->fd == fd) { return s; }
    }
    return NULL;
}

/* c-ares says what it waits for; nothing: it is about to close the socket. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns *d = arg;
    struct dns_socket *s = find_socket(d, fd);
    if (readable == 0 && writable == 0) {
        if (s == NULL) { return; }
        watch_close(&s->watch);
        dlist_remove(&s->node);
        mem_free(&s);
        return;
    }
    if (s == NULL) {
        s = mem_new(struct dns_socket);
        s->dns = d;
        s->fd = fd;
        s->watch = watch_open(d->loop, fd, on_socket, s);
        dlist_push_back(&d->sockets, &s->node);
    }
    watch_want(s->watch, (readable != 0 ? UV_READABLE : 0) | (writable != 0 ? UV_WRITABLE : 0));
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool begins_anew(struct ask *a, int status)
{
    if (status != ARES_EDESTRUCTION || a->dns->closing) { return false; }
    dlist_push_back(&a->dns->again, &a->node);
    return true;
}

static void on_addresses(void *arg, int status, int timeouts, struct ares_addrinfo *answer)
{
    struct ask *a = arg;
    struct address list[DNS_ADDRESSES] = {0};
    unsigned count = 0;
    (void)timeouts;
    if (begins_anew(a, status)) { return; }
    const struct ares_addrinfo_node *node = status == ARES_SUCCESS ? answer->nodes : NULL;
    for (; node != NULL && count < DNS_ADDRESSES; node = node->ai_next) {
        memcpy(&list[count].room, node->ai_addr, node->ai_addrlen);
        list[count++].len = node->ai_addrlen;
    }
    if (answer != NULL) { ares_freeaddrinfo(answer); }
    a->found(a->arg, list, count, status == ARES_SUCCESS ? "empty answer" : ares_strerror(status));
    mem_free(&a);
}

static void on_serial(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    struct ask *a = arg;
    struct ares_soa_reply *soa = NULL;
    (void)timeouts;
    if (begins_anew(a, status)) { return; }
    if (status == ARES_SUCCESS) { status = ares_parse_soa_reply(answer, len, &soa); }
    const uint32_t serial = status == ARES_SUCCESS ? soa->serial : 0;
    a->serial(a->arg, status == ARES_SUCCESS ? &serial : NULL);
    if (soa != NULL) { ares_free_data(soa); }
    mem_free(&a);
}

static void begin(struct ask *a)
{
    struct dns *d = a->dns;
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (a->serial != NULL) {
        ares_search(d->channel, a->name, ns_c_in, ns_t_soa, on_serial, a);
    } else {
        ares_getaddrinfo(d->channel, a->name, NULL, &hints, on_addresses, a);
    }
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int open_channel(struct dns *d, ares_channel *ret)
{
    struct ares_options options = {
        .sock_state_cb = on_socket_state, .sock_state_cb_data = d, .resolvconf_path = d->file};
    d->seen = (struct stat){0};
    (void)stat(d->file, &d->seen); /* a system may do without */
    return ares_init_options(ret, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF);
}

static void follow_file(struct dns *d)
{
    struct stat now = {0};
    ares_channel old = d->channel;
    if (stat(d->file, &now) != 0 || is_same_file(&now, &d->seen)) { return; }
    int status = open_channel(d, &d->channel);
    if (status != ARES_SUCCESS) {
        log_warn(NULL, "event=resolv_conf_unread file=%s reason=\"%s\" next=\"as it was\"", d->file,
                 ares_strerror(status));
        d->channel = old;
        return;
    }
    ares_destroy(old);
    for (struct dlist *node; (node = dlist_pop_front(&d->again)) != NULL;) {
        begin(container_of(node, struct ask, node));
    }
}

static struct ask *make_ask(struct dns *d, const char *name, void *arg)
{
    size_t len = strlen(name);
    struct ask *a = mem_zeroed(sizeof *a + len + 1);
    memcpy(a->name, name, len + 1);
    a->dns = d;
    a->arg = arg;
    return a;
}

void dns_ask(struct dns *d, const char *host,
             void (*done)(void *arg, const struct address *list, unsigned count,
                          const char *reason),
             void *arg)
{
    struct ask *a = make_ask(d, host, arg);
    a->found = done;
    follow_file(d);
    begin(a);
    set_timer(d);
}

void dns_ask_serial(struct dns *d, const char *zone,
                    void (*done)(void *arg, const uint32_t *serial), void *arg)
{
    struct ask *a = make_ask(d, zone, arg);
    a->serial = done;
    begin(a);
    set_timer(d);
}

/* ---- open and close -------------------------------------------------------------------------- */

enum err dns_check_file(const char *resolv_conf, struct fault *why)
{
    /* c-ares would go on without it, and ask whoever answers on this machine. */
    bool good = resolv_conf[0] == '\0' || access(resolv_conf, R_OK) == 0;
    return good ? E_OK : fault_set(why, E_IO, "resolv_conf %s: %s", resolv_conf, strerror(errno));
}

enum err dns_open(struct loop *l, const char *resolv_conf, struct dns **ret, struct fault *why)
{
    enum err e = dns_check_file(resolv_conf, why);
    if (e != E_OK) { return e; }
    struct dns *d = mem_new(struct dns);
    d->loop = l;
    d->file = mem_strdup(resolv_conf[0] == '\0' ? system_file : resolv_conf);
    d->timer.due = on_timer;
    dlist_init(&d->sockets);
    dlist_init(&d->again);
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    assert(status == ARES_SUCCESS); /* it does nothing here */
    status = open_channel(d, &d->channel);
    if (status != ARES_SUCCESS) {
        ares_library_cleanup();
        mem_free(&d->file);
        mem_free(&d);
        return fault_set(why, E_IO, "no resolver of names: %s", ares_strerror(status));
    }
    *ret = d;
    return E_OK;
}

void dns_close(struct dns **pd)
{
    struct dns *d = *pd;
    *pd = NULL;
    if (d == NULL) { return; }
    d->closing = true;
    ares_destroy(d->channel);
    ares_library_cleanup();
    timer_clear(&d->loop->timers, &d->timer);
    assert(dlist_empty(&d->sockets));
    mem_free(&d->file);
    mem_free(&d);
}

const char *dns_version(void)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "c-ares %s", ares_version(NULL));
    return text;
}
