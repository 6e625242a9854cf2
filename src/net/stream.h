/*
 * A non-blocking socket with what is not yet parsed and what is not yet written. Reading lands in
 * the loop's shared buffer and only what is left over is kept, so an idle stream holds no memory.
 * Small writes gather until stream_flush(); large ones go out at once, together with what was
 * gathered. With TLS (stream_secure) all of this is the same, and in and out are clear text: one
 * read and one write of the socket carry as many records as there are.
 */
#pragma once

#include "base/buf.h"
#include "net/tls.h"
#include "net/watch.h"

enum {
    STREAM_DIRECT = 4096,       /* a run this long is written from where it is */
    STREAM_HIGH_WATER = 131072, /* stop reading the peer when this much waits to be written */
};

struct secure {
    struct tls *tls;
    struct buf sealed; /* records that the socket did not take yet */
    bool begun;
};

struct stream {
    struct loop *loop;
    struct watch *watch;
    void (*ready)(void *arg, int events);
    void *arg;
    struct buf in;         /* read, not yet consumed */
    struct buf out;        /* gathered or unwritten */
    struct secure *secure; /* TLS, or NULL */
    uint64_t bytes_in, bytes_out;
    int fd;             /* -1: closed */
    enum err state : 8; /* E_OK, or why nothing more can be written or read: E_EOF, E_IO */
    bool blocked;       /* the socket took less than offered: waiting for it */
    bool paused;        /* not reading, on purpose */
    bool held;          /* nor then, by order of the operator */
};

/* Takes the fd. Starts reading. */
void stream_open(struct stream *s, struct loop *l, int fd, void (*ready)(void *arg, int events),
                 void *arg);
/* Stops watching, keeps fd and bytes: for a move to another loop. */
void stream_detach(struct stream *s);
void stream_attach(struct stream *s, struct loop *l, void (*ready)(void *arg, int events),
                   void *arg);
void stream_close(struct stream *s);
static inline bool stream_is_open(const struct stream *s)
{
    return s->fd >= 0;
}

/*
 * One recv. *ret views everything unconsumed: it points into the loop's scratch buffer or into
 * s->in, and is valid until the next call on this stream or the end of the callback. Errors:
 * E_AGAIN nothing there; E_EOF; E_IO.
 */
MUST_USE enum err stream_read(struct stream *s, struct bytes *ret);
/* After stream_read(): the first `used` bytes are done with; the rest is kept. */
void stream_used(struct stream *s, struct bytes view, size_t used);
/* Stop or resume reading (back-pressure). */
void stream_pause(struct stream *s, bool pause);
/* The same on top of it, for SUSPEND; a move to another loop ends it. */
void stream_hold(struct stream *s, bool hold);

/* Gathers, or writes now if it is long. Failures show in s->state. */
void stream_put(struct stream *s, struct bytes run);
/*
 * Writes this run at once, with a descriptor attached (-1: none): for a unix socket in clear, when
 * nothing is gathered. E_AGAIN: nothing was written, the writable event comes. E_IO.
 */
MUST_USE enum err stream_send_fd(struct stream *s, struct bytes run, int fd);
/* One write of what was gathered. */
void stream_flush(struct stream *s);
static inline size_t stream_unwritten(const struct stream *s)
{
    return buf_len(&s->out) + (s->secure == NULL ? 0 : buf_len(&s->secure->sealed));
}
/* NULL: clear text. */
static inline const struct tls *stream_tls(const struct stream *s)
{
    return s->secure == NULL ? NULL : s->secure->tls;
}

/*
 * TLS from here on; nothing may be left unwritten. What was read already and not consumed is taken
 * for the beginning of the handshake: a caller who did not expect that has looked before. host:
 * towards a server, else NULL (tls_new). Then stream_handshake() at each event until it is over.
 */
void stream_secure(struct stream *s, struct tls_context *c, const char *host);
/*
 * E_OK: from now on the stream is used like any other; what came behind the handshake is in s->in.
 * E_AGAIN; else why, and the stream is of no more use: E_EOF, E_IO, E_PROTOCOL, E_AUTH.
 */
MUST_USE enum err stream_handshake(struct stream *s, int events, struct fault *why);
