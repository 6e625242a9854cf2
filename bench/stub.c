/*
 * A PostgreSQL server that does nothing: it logs everyone in and answers every statement with one
 * fixed row, so that behind a proxy the proxy's own cost is what is left to see.
 *   stub LISTEN_PORT [ROW_BYTES]
 * Transactions, SET and the messages of the extended protocol get the answers a client waits for;
 * statements are not looked at beyond their first word.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct bytes {
    uint8_t *ptr;
    size_t len, room;
};

struct peer {
    struct peer *next, *prev; /* of all there are */
    int fd;
    bool started, in_tx;
    uint32_t key;
    struct bytes in, out;
    bool out_watched;
};

static int ep;
static struct peer *peers;
static struct bytes row; /* the value of the one column */
static uint32_t last_key;

static void put(struct bytes *b, const void *data, size_t len)
{
    if (b->len + len > b->room) {
        b->room = (b->len + len) * 2 + 256;
        b->ptr = realloc(b->ptr, b->room);
        if (b->ptr == NULL) { abort(); }
    }
    if (len > 0) { memcpy(b->ptr + b->len, data, len); }
    b->len += len;
}

static void put32(struct bytes *b, uint32_t v)
{
    v = htonl(v);
    put(b, &v, 4);
}

static void put16(struct bytes *b, uint16_t v)
{
    v = htons(v);
    put(b, &v, 2);
}

static void message(struct bytes *b, char type, const void *body, size_t len)
{
    put(b, &type, 1);
    put32(b, (uint32_t)len + 4);
    put(b, body, len);
}

static uint32_t read32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return ntohl(v);
}

static void say_ready(struct peer *p)
{
    message(&p->out, 'Z', p->in_tx ? "T" : "I", 1);
}

static void say_parameter(struct peer *p, const char *name, const char *value)
{
    struct bytes body = {0};
    put(&body, name, strlen(name) + 1);
    put(&body, value, strlen(value) + 1);
    message(&p->out, 'S', body.ptr, body.len);
    free(body.ptr);
}

static void say_welcome(struct peer *p)
{
    static const char *const parameters[][2] = {
        {"application_name", ""},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO, MDY"},
        {"default_transaction_read_only", "off"},
        {"in_hot_standby", "off"},
        {"integer_datetimes", "on"},
        {"IntervalStyle", "postgres"},
        {"is_superuser", "on"},
        {"server_encoding", "UTF8"},
        {"server_version", "15.0"},
        {"session_authorization", "postgres"},
        {"standard_conforming_strings", "on"},
        {"TimeZone", "UTC"},
    };
    message(&p->out, 'R', "\0\0\0\0", 4);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        say_parameter(p, parameters[i][0], parameters[i][1]);
    }
    p->key = ++last_key;
    put(&p->out, "K", 1);
    put32(&p->out, 12);
    put32(&p->out, p->key);
    put32(&p->out, p->key ^ 0x5bd1e995U);
    say_ready(p);
}

static void say_columns(struct peer *p)
{
    struct bytes body = {0};
    put16(&body, 1);
    put(&body, "v", 2);
    put32(&body, 0);
    put16(&body, 0);
    put32(&body, 25);
    put16(&body, UINT16_MAX);
    put32(&body, UINT32_MAX);
    put16(&body, 0);
    message(&p->out, 'T', body.ptr, body.len);
    free(body.ptr);
}

static void say_row(struct peer *p)
{
    put(&p->out, "D", 1);
    put32(&p->out, (uint32_t)row.len + 10);
    put16(&p->out, 1);
    put32(&p->out, (uint32_t)row.len);
    put(&p->out, row.ptr, row.len);
    message(&p->out, 'C', "SELECT 1", 9);
}

static void answer_simple(struct peer *p, const char *sql)
{
    if (strncasecmp(sql, "begin", 5) == 0) {
        p->in_tx = true;
        message(&p->out, 'C', "BEGIN", 6);
    } else if (strncasecmp(sql, "commit", 6) == 0 || strncasecmp(sql, "rollback", 8) == 0) {
        p->in_tx = false;
        message(&p->out, 'C', "COMMIT", 7);
    } else if (strncasecmp(sql, "set", 3) == 0) {
        message(&p->out, 'C', "SET", 4);
    } else if (sql[0] == '\0') {
        message(&p->out, 'I', NULL, 0);
    } else {
        say_columns(p);
        say_row(p);
    }
    say_ready(p);
}

static void answer_describe(struct peer *p, uint8_t what)
{
    if (what == 'S') { message(&p->out, 't', "\0\0", 2); }
    say_columns(p);
}

/* One whole message; false: the peer is to be closed. */
static bool answer(struct peer *p, uint8_t type, const uint8_t *body, size_t len)
{
    switch (type) {
    case 'Q':
        if (len == 0 || body[len - 1] != '\0') { return false; }
        answer_simple(p, (const char *)body);
        return true;
    case 'P': message(&p->out, '1', NULL, 0); return true;
    case 'B': message(&p->out, '2', NULL, 0); return true;
    case 'C': message(&p->out, '3', NULL, 0); return true;
    case 'D': answer_describe(p, len > 0 ? body[0] : 'P'); return true;
    case 'E': say_row(p); return true;
    case 'S': say_ready(p); return true;
    case 'H': return true;
    default: return false;
    }
}

/* The untyped first packet; returns its length, 0 to wait for more, -1 to close. */
static ssize_t answer_startup(struct peer *p, const uint8_t *at, size_t have)
{
    if (have < 8) { return 0; }
    uint32_t len = read32(at), code = read32(at + 4);
    if (len < 8 || len > 10000) { return -1; }
    if (have < len) { return 0; }
    if (code == 80877103 || code == 80877104) { /* SSLRequest, GSSENCRequest */
        put(&p->out, "N", 1);
    } else if (code == 80877102) { /* CancelRequest: there is never anything to cancel */
        return -1;
    } else {
        p->started = true;
        say_welcome(p);
    }
    return (ssize_t)len;
}

/* Answers every whole message that is there. */
static bool serve(struct peer *p)
{
    size_t at = 0;
    while (at < p->in.len) {
        size_t have = p->in.len - at;
        if (!p->started) {
            ssize_t used = answer_startup(p, p->in.ptr + at, have);
            if (used < 0) { return false; }
            if (used == 0) { break; }
            at += (size_t)used;
            continue;
        }
        if (have < 5) { break; }
        uint32_t len = read32(p->in.ptr + at + 1);
        if (len < 4) { return false; }
        if (have < (size_t)len + 1) { break; }
        if (!answer(p, p->in.ptr[at], p->in.ptr + at + 5, len - 4)) { return false; }
        at += (size_t)len + 1;
    }
    if (at > 0) { memmove(p->in.ptr, p->in.ptr + at, p->in.len - at); }
    p->in.len -= at;
    return true;
}

static void watch(struct peer *p, int op)
{
    struct epoll_event ev = {.events = p->out_watched ? (uint32_t)EPOLLOUT : (uint32_t)EPOLLIN,
                             .data.ptr = p};
    if (epoll_ctl(ep, op, p->fd, &ev) != 0) {
        perror("stub: epoll_ctl");
        exit(1);
    }
}

static bool flush(struct peer *p)
{
    if (p->out.len == 0) { return true; }
    ssize_t sent = send(p->fd, p->out.ptr, p->out.len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) { return false; }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    memmove(p->out.ptr, p->out.ptr + done, p->out.len - done);
    p->out.len -= done;
    bool blocked = p->out.len > 0;
    if (blocked != p->out_watched) { /* a peer that does not read is not read either */
        p->out_watched = blocked;
        watch(p, EPOLL_CTL_MOD);
    }
    return true;
}

static void bury(struct peer *p)
{
    if (p->prev != NULL) { p->prev->next = p->next; }
    if (p->next != NULL) { p->next->prev = p->prev; }
    if (peers == p) { peers = p->next; }
    close(p->fd);
    free(p->in.ptr);
    free(p->out.ptr);
    free(p);
}

static void turn_peer(struct peer *p, uint32_t events)
{
    static uint8_t bytes[65536];
    if (!(events & EPOLLOUT)) {
        ssize_t got = recv(p->fd, bytes, sizeof bytes, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            bury(p);
            return;
        }
        if (got > 0) { put(&p->in, bytes, (size_t)got); }
        if (!serve(p)) {
            bury(p);
            return;
        }
    }
    if (!flush(p)) { bury(p); }
}

static void welcome(int listener)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) { return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct peer *p = calloc(1, sizeof *p);
    if (p == NULL) { abort(); }
    p->fd = fd;
    p->next = peers;
    if (peers != NULL) { peers->prev = p; }
    peers = p;
    watch(p, EPOLL_CTL_ADD);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: stub LISTEN_PORT [ROW_BYTES]\n");
        return 2;
    }
    size_t row_bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    for (size_t i = 0; i < row_bytes; i++) { put(&row, "1", 1); }
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (bind(listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 4096) != 0 ||
        epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) != 0) {
        perror("stub: listen");
        return 1;
    }
    for (;;) {
        struct epoll_event evs[256];
        int n = epoll_wait(ep, evs, 256, -1);
        for (int i = 0; i < n; i++) {
            if (evs[i].data.ptr == NULL) {
                welcome(listener);
            } else {
                turn_peer(evs[i].data.ptr, evs[i].events);
            }
        }
    }
}
