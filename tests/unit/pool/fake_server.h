/* A PostgreSQL of a few lines on loopback: it lets everybody in and answers each Query with a tag.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"

enum { FAKE_MOST = 64 };

struct fake_conn {
    int fd; /* 0: free */
    struct buf in, out;
    bool started;
};

static struct fake {
    int listener, port;
    struct fake_conn conns[FAKE_MOST];
    unsigned accepted, open, most_open; /* so far; now; at any time */
    const char *refuse;                 /* message of a FATAL at login; NULL: let in */
    bool hold;                          /* logins are answered later */
    bool deaf;                          /* a Query makes it hang up */
    char asked[64];                     /* the last Query */
} fake;

static void fake_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    fake = (struct fake){.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    CHECK(bind(fake.listener, (struct sockaddr *)(void *)&at, len) == 0);
    CHECK(listen(fake.listener, FAKE_MOST) == 0);
    CHECK(getsockname(fake.listener, (struct sockaddr *)(void *)&at, &len) == 0);
    fake.port = ntohs(at.sin_port);
}

static void fake_hang_up(struct fake_conn *c)
{
    (void)close(c->fd);
    buf_done(&c->in);
    buf_done(&c->out);
    *c = (struct fake_conn){0};
    fake.open--;
}

static void fake_stop(void)
{
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        if (fake.conns[i].fd != 0) { fake_hang_up(&fake.conns[i]); }
    }
    if (fake.listener >= 0) { (void)close(fake.listener); }
    fake.listener = -1;
}

static void fake_send(struct fake_conn *c)
{
    struct bytes out = buf_view(&c->out);
    if (out.len > 0) { CHECK(send(c->fd, out.ptr, out.len, MSG_NOSIGNAL) == (ssize_t)out.len); }
    buf_clear(&c->out);
}

/* false: it is closed now. */
static bool fake_login(struct fake_conn *c)
{
    if (fake.refuse != NULL) {
        compose_error(&c->out, "FATAL", "28000", fake.refuse, NULL);
        fake_send(c);
        fake_hang_up(c);
        return false;
    }
    c->started = true;
    compose_auth(&c->out, 0, (struct bytes){0});
    compose_parameter(&c->out, "TimeZone", "UTC");
    compose_key(&c->out, BYTES("\0\0\x12\x67\0\0\0\1"));
    compose_ready(&c->out, 'I');
    return true;
}

/* One message from the front of what came; false: none, or the connection is closed. */
static bool fake_answer(struct fake_conn *c)
{
    struct bytes in = buf_view(&c->in);
    struct frame f;
    if (!c->started) {
        if (fake.hold || in.len < 4 || in.len < get_u32(in.ptr)) { return false; }
        buf_consume(&c->in, get_u32(in.ptr));
        return fake_login(c);
    }
    if (frame_peek(in, &f) != E_OK || in.len < f.size) { return false; }
    if (f.type == 'X' || (f.type == 'Q' && fake.deaf)) {
        fake_hang_up(c);
        return false;
    }
    if (f.type == 'Q') {
        (void)snprintf(fake.asked, sizeof fake.asked, "%s", (const char *)in.ptr + FRAME_HEADER);
        compose_complete(&c->out, fake.asked);
        compose_ready(&c->out, 'I');
    }
    buf_consume(&c->in, f.size);
    return true;
}

static void fake_read(struct fake_conn *c)
{
    uint8_t bytes[4096];
    ssize_t got;
    while ((got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        buf_put(&c->in, bytes, (size_t)got);
    }
    bool gone = got == 0;
    while (c->fd != 0 && fake_answer(c)) {}
    if (c->fd == 0) { return; }
    if (gone) {
        fake_hang_up(c);
    } else {
        fake_send(c);
    }
}

/* Farewells first, so that a replaced connection is not counted beside its successor. */
static void fake_turn(void)
{
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        if (fake.conns[i].fd != 0) { fake_read(&fake.conns[i]); }
    }
    int fd;
    while (fake.listener >= 0 && (fd = accept(fake.listener, NULL, NULL)) >= 0) {
        unsigned i = 0;
        while (fake.conns[i].fd != 0) { i++; }
        fake.conns[i].fd = fd;
        fake.accepted++;
        fake.open++;
        if (fake.open > fake.most_open) { fake.most_open = fake.open; }
    }
}

/* All connections that are open get this, unasked. */
static inline void fake_say(struct bytes message)
{
    for (unsigned i = 0; i < FAKE_MOST; i++) {
        struct fake_conn *c = &fake.conns[i];
        if (c->fd == 0) { continue; }
        buf_put_bytes(&c->out, message);
        fake_send(c);
    }
}
