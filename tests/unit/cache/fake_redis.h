/*
 * A Redis of a few commands on a loopback port of the test's own loop. It answers fairly for a
 * number of commands, then misbehaves in the way it was told.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "unit.h"

enum fake_manner {
    FAKE_FAIR,
    FAKE_SILENT,  /* answers are held back */
    FAKE_CLOSES,  /* instead of an answer */
    FAKE_HALF,    /* half an answer, then nothing */
    FAKE_GARBAGE, /* bytes that are no protocol */
    FAKE_TWICE,   /* every answer two times: one that nobody asked for */
    FAKE_ERROR,   /* -ERR */
    FAKE_NULL,    /* nil for everything */
    FAKE_NUMBER,  /* an integer for everything */
    FAKE_ARRAYS,  /* nested and endless arrays */
    FAKE_HUGE,    /* a string that says it is enormous */
    FAKE_SHORT,   /* an array with too few elements */
    FAKE_MANNERS
};

struct fake_pair {
    char key[160];
    uint8_t value[2048];
    size_t len;
};

struct fake {
    uv_loop_t *loop;
    uv_tcp_t *listener;
    int port;
    enum fake_manner manner;
    unsigned fair;       /* commands to answer fairly before the manner shows */
    const char *refused; /* a command that is answered with an error */
    unsigned commands, sets, connections;
    char run_id[41];
    char log[4096]; /* names of the commands seen */
    struct fake_pair pairs[64];
    unsigned pairs_count;
    struct fake_peer *peers[32];
};

struct fake_peer {
    uv_tcp_t tcp;
    struct fake *fake;
    struct buf in, held;
    char chunk[4096];
};

static void fake_peer_closed(uv_handle_t *h)
{
    struct fake_peer *p = h->data;
    buf_done(&p->in);
    buf_done(&p->held);
    free(p);
}

static void fake_hang_up(struct fake_peer *p)
{
    for (unsigned i = 0; i < 32; i++) {
        if (p->fake->peers[i] == p) { p->fake->peers[i] = NULL; }
    }
    if (!uv_is_closing((uv_handle_t *)&p->tcp)) {
        uv_close((uv_handle_t *)&p->tcp, fake_peer_closed);
    }
}

static void fake_say(struct fake_peer *p, struct bytes b)
{
    uv_buf_t out = uv_buf_init((char *)b.ptr, (unsigned)b.len);
    (void)uv_try_write((uv_stream_t *)&p->tcp, &out, 1); /* small: loopback takes it whole */
}

static struct fake_pair *fake_find(struct fake *f, const char *key)
{
    for (unsigned i = 0; i < f->pairs_count; i++) {
        if (strcmp(f->pairs[i].key, key) == 0) { return &f->pairs[i]; }
    }
    return NULL;
}

static void fake_put_string(struct buf *out, struct fake *f, const char *key)
{
    const struct fake_pair *p = fake_find(f, key);
    if (p == NULL) {
        buf_printf(out, "$-1\r\n");
        return;
    }
    buf_printf(out, "$%zu\r\n", p->len);
    buf_put(out, p->value, p->len);
    buf_put(out, "\r\n", 2);
}

static void fake_set(struct fake *f, const char *key, struct bytes value)
{
    struct fake_pair *p = fake_find(f, key);
    if (p == NULL) {
        CHECK(f->pairs_count < 64);
        p = &f->pairs[f->pairs_count++];
        (void)snprintf(p->key, sizeof p->key, "%s", key);
    }
    CHECK(value.len <= sizeof p->value);
    memcpy(p->value, value.ptr, value.len);
    p->len = value.len;
    f->sets++;
}

static void fake_answer(struct fake *f, unsigned n, char **args, const size_t *lens,
                        struct buf *out)
{
    if (f->refused != NULL && strcmp(args[0], f->refused) == 0) {
        buf_printf(out, "-ERR refused\r\n");
    } else if (strcmp(args[0], "MGET") == 0) {
        buf_printf(out, "*%u\r\n", n - 1);
        for (unsigned i = 1; i < n; i++) { fake_put_string(out, f, args[i]); }
    } else if (strcmp(args[0], "GET") == 0) {
        fake_put_string(out, f, args[1]);
    } else if (strcmp(args[0], "INFO") == 0) {
        char info[128];
        int len = snprintf(info, sizeof info, "# Server\r\nrun_id:%s\r\n", f->run_id);
        buf_printf(out, "$%d\r\n%s\r\n", len, info);
    } else {
        if (strcmp(args[0], "SET") == 0) { fake_set(f, args[1], bytes_of(args[2], lens[2])); }
        buf_printf(out, "+OK\r\n");
    }
}

static void fake_misbehave(struct fake_peer *p, struct bytes fair)
{
    switch (p->fake->manner) {
    case FAKE_FAIR: fake_say(p, fair); break;
    case FAKE_SILENT: buf_put_bytes(&p->held, fair); break;
    case FAKE_CLOSES: fake_hang_up(p); break;
    case FAKE_HALF: fake_say(p, bytes_of(fair.ptr, fair.len / 2)); break;
    case FAKE_GARBAGE: fake_say(p, BYTES("HTTP/1.1 400 Bad Request\r\n\r\n")); break;
    case FAKE_TWICE:
        fake_say(p, fair);
        fake_say(p, fair);
        break;
    case FAKE_ERROR: fake_say(p, BYTES("-ERR no\r\n")); break;
    case FAKE_NULL: fake_say(p, BYTES("$-1\r\n")); break;
    case FAKE_NUMBER: fake_say(p, BYTES(":9223372036854775807\r\n")); break;
    case FAKE_ARRAYS: fake_say(p, BYTES("*2147483647\r\n*1\r\n*1\r\n")); break;
    case FAKE_HUGE: fake_say(p, BYTES("$2147483647\r\nabc")); break;
    case FAKE_SHORT: fake_say(p, BYTES("*1\r\n$-1\r\n")); break;
    case FAKE_MANNERS: break;
    }
}

/* One whole command from the front of the queue; false when it is not there yet. */
static bool fake_serve(struct fake_peer *p)
{
    char *args[80], *at = buf_text(&p->in), *end = at + buf_len(&p->in), *next;
    size_t lens[80];
    if (at == end || at[0] != '*') { return false; }
    unsigned n = (unsigned)strtoul(at + 1, &next, 10);
    CHECK(n < 80);
    for (unsigned i = 0; i < n; i++) {
        if (end - next < 4 || next[2] != '$') { return false; }
        lens[i] = strtoul(next + 3, &next, 10);
        if (end - next < (ptrdiff_t)lens[i] + 4) { return false; }
        args[i] = next + 2;
        next += 2 + lens[i];
    }
    if (end - next < 2) { return false; }
    for (unsigned i = 0; i < n; i++) { args[i][lens[i]] = '\0'; }
    struct fake *f = p->fake;
    struct buf out = {0};
    f->commands++;
    size_t used = strlen(f->log);
    (void)snprintf(f->log + used, sizeof f->log - used, "%s ", args[0]);
    fake_answer(f, n, args, lens, &out);
    size_t whole = (size_t)(next + 2 - at);
    bool fair = f->fair > 0;
    if (fair) { f->fair--; }
    buf_consume(&p->in, whole);
    if (fair) {
        fake_say(p, buf_view(&out));
    } else {
        fake_misbehave(p, buf_view(&out));
    }
    buf_done(&out);
    return !uv_is_closing((uv_handle_t *)&p->tcp);
}

static void fake_alloc(uv_handle_t *h, size_t size __attribute__((unused)), uv_buf_t *buf)
{
    struct fake_peer *p = h->data;
    *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

static void fake_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct fake_peer *p = stream->data;
    if (got < 0) {
        fake_hang_up(p);
        return;
    }
    buf_put(&p->in, buf->base, (size_t)got);
    while (fake_serve(p)) {}
}

static void fake_accept(uv_stream_t *listener, int status)
{
    struct fake *f = listener->data;
    CHECK(status == 0);
    struct fake_peer *p = calloc(1, sizeof *p);
    if (p == NULL) { abort(); }
    p->fake = f;
    CHECK(uv_tcp_init(f->loop, &p->tcp) == 0);
    p->tcp.data = p;
    CHECK(uv_accept(listener, (uv_stream_t *)&p->tcp) == 0);
    CHECK(uv_tcp_nodelay(&p->tcp, 1) == 0);
    CHECK(uv_read_start((uv_stream_t *)&p->tcp, fake_alloc, fake_read) == 0);
    for (unsigned i = 0; i < 32; i++) {
        if (f->peers[i] == NULL) {
            f->peers[i] = p;
            break;
        }
    }
    f->connections++;
}

static void fake_start(struct fake *f, uv_loop_t *loop)
{
    struct sockaddr_in at;
    int len = sizeof at;
    memset(f, 0, sizeof *f);
    f->loop = loop;
    (void)snprintf(f->run_id, sizeof f->run_id, "%s", "0123456789012345678901234567890123456789");
    f->listener = calloc(1, sizeof *f->listener);
    if (f->listener == NULL) { abort(); }
    CHECK(uv_ip4_addr("127.0.0.1", 0, &at) == 0);
    CHECK(uv_tcp_init(loop, f->listener) == 0);
    f->listener->data = f;
    CHECK(uv_tcp_bind(f->listener, (const struct sockaddr *)&at, 0) == 0);
    CHECK(uv_listen((uv_stream_t *)f->listener, 16, fake_accept) == 0);
    CHECK(uv_tcp_getsockname(f->listener, (struct sockaddr *)&at, &len) == 0);
    f->port = ntohs(at.sin_port);
}

static void fake_hang_up_all(struct fake *f)
{
    for (unsigned i = 0; i < 32; i++) {
        if (f->peers[i] != NULL) { fake_hang_up(f->peers[i]); }
    }
}

/* Says now what was held back. */
static void fake_release(struct fake *f)
{
    for (unsigned i = 0; i < 32; i++) {
        struct fake_peer *p = f->peers[i];
        if (p == NULL || buf_len(&p->held) == 0) { continue; }
        fake_say(p, buf_view(&p->held));
        buf_clear(&p->held);
    }
}

static void fake_listener_closed(uv_handle_t *h)
{
    free(h);
}

static void fake_stop(struct fake *f)
{
    fake_hang_up_all(f);
    uv_close((uv_handle_t *)f->listener, fake_listener_closed);
}
