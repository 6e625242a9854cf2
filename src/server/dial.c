/*
 * Connect, ask for TLS, shake hands; for servers and for cancel requests to them.
 * Protocol: "Message Flow", SSL Session Encryption.
 */
#include <errno.h>
#include <string.h>

#include "pgwire/compose.h"
#include "server/deliver.h"
#include "server/internal.h"

static enum err fail_connect(const struct node *n, int error, struct fault *why)
{
    return fault_state(why, E_IO, "08006", "connect failed: %s:%d: %s", n->host, n->port,
                       strerror(error));
}

bool dial_could_tls(const struct server_target *t)
{
    return t->tls != NULL && t->node->host[0] != '/' && t->node->host[0] != '@';
}

bool dial_tls(const struct server_target *t)
{
    return dial_could_tls(t) && t->tls_mode >= TLS_PREFER;
}

enum err dial_start(struct dial *d, struct stream *s, struct loop *l, const struct server_target *t,
                    const struct address *a, void (*ready)(void *arg, int events), void *arg,
                    struct fault *why)
{
    int fd = -1;
    enum err e = socket_connect(a, &fd);
    if (e != E_OK && e != E_AGAIN) { return fail_connect(t->node, errno, why); }
    stream_open(s, l, fd, ready, arg);
    d->step = DIAL_CONNECT;
    /* Connected or refused: the socket becomes writable either way. */
    s->blocked = true;
    s->paused = false;
    stream_pause(s, true);
    return E_OK;
}

static enum err connected(struct dial *d, struct stream *s, const struct server_target *t,
                          struct fault *why)
{
    int error = socket_error(s->fd);
    if (error != 0) { return fail_connect(t->node, error, why); }
    s->blocked = false;
    socket_tune(s->fd, &t->tuning);
    stream_pause(s, false);
    if (!d->tls) { return E_OK; }
    compose_ssl_request(&s->out);
    stream_flush(s);
    d->step = DIAL_ASK;
    return E_AGAIN;
}

static enum err shake(struct stream *s, const struct server_target *t, int events,
                      struct fault *why)
{
    struct fault reason = {0};
    enum err e = stream_handshake(s, events, &reason);
    if (e == E_OK || e == E_AGAIN) { return e; }
    return fault_state(why, e == E_EOF || e == E_IO ? E_IO : E_REFUSED, "08006",
                       "TLS with %s:%d: %s", t->node->host, t->node->port, reason.text);
}

/*
 * One byte. An ErrorResponse of an old server may not be believed, since nobody has proven to be
 * it; and what follows the byte before TLS begins was put there by somebody on the way
 * (CVE-2021-23222).
 */
static enum err take_answer(struct dial *d, struct stream *s, const struct server_target *t,
                            struct fault *why)
{
    const struct node *n = t->node;
    struct bytes in;
    enum err e = stream_read(s, &in);
    if (e == E_AGAIN) { return e; }
    if (e != E_OK) {
        return fault_state(why, E_IO, "08006", "server conn crashed? %s:%d closed it during login",
                           n->host, n->port);
    }
    uint8_t answer = in.ptr[0];
    if (in.len > 1) {
        return fault_state(why, E_PROTOCOL, "08P01",
                           "%s:%d sent clear text behind its answer to the TLS request", n->host,
                           n->port);
    }
    stream_used(s, in, 1);
    if (answer == 'S') {
        stream_secure(s, t->tls, n->host);
        d->step = DIAL_SHAKE;
        return shake(s, t, 0, why);
    }
    if (answer != 'N') {
        return fault_state(why, E_PROTOCOL, "08P01",
                           "%s:%d does not answer as a PostgreSQL server does", n->host, n->port);
    }
    if (t->tls_mode >= TLS_REQUIRE) {
        (void)fault_state(why, E_REFUSED, "08006", "%s:%d has no TLS, which is required", n->host,
                          n->port);
        fault_hint(why, "Set ssl = on there, or lower server_tls_sslmode.");
        return E_REFUSED;
    }
    d->tls = false;
    return E_OK;
}

enum err dial_event(struct dial *d, struct stream *s, const struct server_target *t, int events,
                    struct fault *why)
{
    switch (d->step) {
    case DIAL_CONNECT: return connected(d, s, t, why);
    case DIAL_ASK:
        if ((events & UV_WRITABLE) != 0) { stream_flush(s); }
        return (events & UV_READABLE) != 0 ? take_answer(d, s, t, why) : E_AGAIN;
    case DIAL_SHAKE: return shake(s, t, events, why);
    }
    return E_AGAIN;
}
