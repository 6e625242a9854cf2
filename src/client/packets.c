/*
 * The packets of a login: TLS asked for, refused, or begun with at once; the startup packet;
 * proofs; and the request to cancel, which comes in place of a login. Protocol: "Message Flow",
 * Start-up, SSL Session Encryption, Canceling Requests in Progress.
 */
#include "client/login.h"

#include "base/clock.h"
#include "pgwire/frame.h"

/* ---- cancel requests ------------------------------------------------------------------------- */

static void on_forwarded(void *arg)
{
    struct client *c = arg;
    c->login->forward = NULL;
    client_close(c, "cancel request");
}

static void on_forward_late(struct timer *t)
{
    client_close(container_of(t, struct client, timer), "cancel_wait_timeout");
}

/* Who asks waits for the close, to know that it was done: so it comes when a peer has done it. */
static void take_cancel(struct client *c, struct bytes key)
{
    struct login *l = c->login;
    struct front *f = c->front;
    client_uncount(c);
    if (!client_cancel(f->shared, key)) {
        struct tls_context *tls = registry_server_tls(f->registry);
        l->forward = forward_start(f->shared->peers, f->loop, l->config, tls, key, on_forwarded, c);
        tls_context_unref(&tls);
    }
    if (l->forward == NULL) {
        client_close(c, "cancel request");
        return;
    }
    l->step = LOGIN_FORWARD;
    stream_pause(&c->stream, true); /* it may leave meanwhile: the request goes its way */
    c->timer.due = on_forward_late;
    int64_t most_us = l->config->o.cancel_wait_timeout_us;
    if (most_us > 0) { timer_set(&f->loop->timers, &c->timer, clock_now_us() + most_us); }
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* true: it is done, and the startup packet may be here already. */
static bool shake_hands(struct client *c, int events)
{
    struct login *l = c->login;
    struct fault why;
    enum err e = stream_handshake(&c->stream, events, &why);
    if (e == E_AGAIN) { return false; }
    if (e != E_OK) {
        client_close(c, why.text);
        return false;
    }
    l->step = LOGIN_STARTUP;
    /* Without it the bytes may be those of another protocol, whose client was led here (ALPACA). */
    if (l->direct && !tls_has_alpn(stream_tls(&c->stream))) {
        (void)fault_set(&why, E_PROTOCOL,
                        "received direct SSL connection request without ALPN protocol negotiation "
                        "extension");
        client_fail(c, &why);
        return false;
    }
    return true;
}

/* The first byte of a TLS handshake, where a startup packet's length would have a zero. */
static bool begins_with_tls(const struct client *c, struct bytes in)
{
    enum { CLIENT_HELLO = 0x16 };
    return in.len > 0 && in.ptr[0] == CLIENT_HELLO && c->login->refusals == 0 &&
           c->stream.secure == NULL;
}

/* sslnegotiation=direct. */
static bool begin_direct(struct client *c)
{
    struct login *l = c->login;
    if (l->tls == NULL) {
        client_close(c, "it began with TLS, and there is none");
        return false;
    }
    l->direct = true;
    l->step = LOGIN_TLS;
    return true;
}

/* SSLRequest or GSSENCRequest. behind: what came with it. */
static bool answer_request(struct client *c, enum startup_kind kind, struct bytes behind)
{
    struct login *l = c->login;
    struct fault why = {0};
    if (c->stream.secure != NULL) {
        (void)fault_set(&why, E_PROTOCOL, "encryption was negotiated already");
    } else if (kind == STARTUP_SSL && l->tls != NULL) {
        /* Clear text behind the request would later pass for something that came by TLS
           (CVE-2021-23214). */
        if (behind.len > 0) {
            (void)fault_set(&why, E_PROTOCOL, "received unencrypted data after SSL request");
        } else {
            l->step = LOGIN_TLS;
        }
    } else if (l->refusals++ >= 2) { /* each kind once */
        (void)fault_set(&why, E_PROTOCOL, "encryption was refused already");
    }
    if (why.code != E_OK) {
        client_fail(c, &why);
        return false;
    }
    buf_put_u8(&c->stream.out, l->step == LOGIN_TLS ? 'S' : 'N');
    stream_flush(&c->stream);
    if (stream_unwritten(&c->stream) > 0) {
        client_close(c, "client does not read");
        return false;
    }
    return true;
}

/* One packet. false: not complete, or the client is gone or past its login. */
static bool take_packet(struct client *c, struct bytes in, size_t *used)
{
    struct login *l = c->login;
    struct fault why;
    if (l->step == LOGIN_TLS) {
        stream_secure(&c->stream, l->tls, NULL);
        return shake_hands(c, 0);
    }
    if (l->step == LOGIN_STARTUP) {
        if (begins_with_tls(c, in)) { return begin_direct(c); }
        struct startup s;
        enum err e = startup_read(in, &s, &why);
        if (e == E_AGAIN) { return false; }
        if (e != E_OK) {
            client_fail(c, &why);
            return false;
        }
        *used += s.size;
        switch (s.kind) {
        case STARTUP_SSL:
        case STARTUP_GSSENC: return answer_request(c, s.kind, bytes_skip(in, s.size));
        case STARTUP_CANCEL:
            take_cancel(c, bytes_of(in.ptr + s.size - s.cancel_key.len - 4, s.cancel_key.len + 4));
            return false;
        case STARTUP_LOGIN: login_take_startup(c, &s); return true;
        }
        return false;
    }
    if (l->step != LOGIN_AUTH || !admit_listens(l->admit)) { return false; } /* patience */
    struct frame f;
    enum err e = frame_peek(in, &f);
    enum { MOST = 65536 };
    if (e == E_AGAIN || (e == E_OK && f.size <= MOST && f.size > in.len)) { return false; }
    if (e == E_OK && f.type == 'X') {
        client_close(c, "client close request");
        return false;
    }
    if (e != E_OK || f.size > MOST || f.type != 'p') {
        (void)fault_state(&why, E_PROTOCOL, "08P01",
                          "expected password response, got message type %u", f.type);
        client_fail(c, &why);
        return false;
    }
    *used += f.size;
    e = admit_answer(l->admit, frame_body(in, f), &why);
    login_take_verdict(c, e, &why);
    return true;
}

void packets_take(struct client *c)
{
    bool more = true;
    while (more && c->state == CLIENT_LOGIN) {
        size_t used = 0;
        more = take_packet(c, buf_view(&c->stream.in), &used);
        if (c->state == CLIENT_CLOSED) { return; }
        buf_consume(&c->stream.in, used);
        buf_release(&c->stream.in);
    }
}

/* Bytes came, or TLS began with some behind it. */
static void go_through(struct client *c)
{
    packets_take(c);
    if (c->state == CLIENT_CLOSED) { return; }
    login_go_on(c);
    enum { MOST_EARLY = 65536 };
    if (c->state == CLIENT_LOGIN && buf_len(&c->stream.in) > MOST_EARLY) {
        client_close(c, "too much before the login was over");
    }
}

void packets_event(void *arg, int events)
{
    struct client *c = arg;
    if (c->state == CLIENT_READY) {
        c->ops->events(c, events);
        return;
    }
    if (c->login->step == LOGIN_TLS) {
        if (shake_hands(c, events)) { go_through(c); }
        return;
    }
    if ((events & UV_WRITABLE) != 0) { stream_flush(&c->stream); }
    if ((events & UV_READABLE) == 0) { return; }
    struct bytes in;
    if (!client_read(c, &in)) { return; }
    /* The bytes are kept first: a step may end the login, and then the next owner reads on. */
    if (buf_len(&c->stream.in) == 0) { buf_put_bytes(&c->stream.in, in); }
    go_through(c);
}
