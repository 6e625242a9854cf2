/* The two directions of one socket. */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    SEAL_AT_ONCE = 65536, /* clear text that goes into one write of the socket */
    OPEN_ROOM = LOOP_READ_BYTES + TLS_RECORD_MOST,
};

struct loop_tls { /* what one callback needs; like scratch, shared by all streams of the loop */
    uint8_t raw[LOOP_READ_BYTES], open[OPEN_ROOM];
};

static void want(struct stream *s)
{
    if (s->watch == NULL) { return; }
    int events = (s->paused || s->held ? 0 : UV_READABLE) | (s->blocked ? UV_WRITABLE : 0);
    watch_want(s->watch, events);
}

void stream_attach(struct stream *s, struct loop *l, void (*ready)(void *arg, int events),
                   void *arg)
{
    s->loop = l;
    s->ready = ready;
    s->arg = arg;
    s->watch = watch_open(l, s->fd, ready, arg);
    want(s);
}

void stream_open(struct stream *s, struct loop *l, int fd, void (*ready)(void *arg, int events),
                 void *arg)
{
    *s = (struct stream){.fd = fd};
    stream_attach(s, l, ready, arg);
}

void stream_detach(struct stream *s)
{
    watch_close(&s->watch);
    s->loop = NULL;
    s->held = false;
}

/* What the receiver of everything so far should know: no more comes, and nobody cut it short. */
static void say_goodbye(struct stream *s)
{
    struct buf notice = {0};
    if (s->fd < 0 || s->state != E_OK || stream_unwritten(s) > 0 || !tls_is_ready(s->secure->tls)) {
        return;
    }
    tls_end(s->secure->tls, &notice);
    struct bytes b = buf_view(&notice);
    if (b.len > 0) { (void)send(s->fd, b.ptr, b.len, MSG_NOSIGNAL | MSG_DONTWAIT); }
    buf_done(&notice);
}

void stream_close(struct stream *s)
{
    watch_close(&s->watch);
    if (s->secure != NULL) {
        say_goodbye(s);
        tls_free(&s->secure->tls);
        buf_done(&s->secure->sealed);
        mem_free(&s->secure);
    }
    if (s->fd >= 0) { (void)close(s->fd); }
    s->fd = -1;
    buf_done(&s->in);
    buf_done(&s->out);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err failed_read(struct stream *s, ssize_t got)
{
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) { return E_AGAIN; }
    s->state = got == 0 ? E_EOF : E_IO;
    return s->state;
}

static enum err read_sealed(struct stream *s, struct bytes *ret);

enum err stream_read(struct stream *s, struct bytes *ret)
{
    if (s->secure != NULL) { return read_sealed(s, ret); }
    /* Leftovers stay in s->in and the new bytes join them; without leftovers nothing is copied. */
    bool kept = buf_len(&s->in) > 0;
    uint8_t *to = s->loop->scratch;
    size_t room = LOOP_READ_BYTES;
    if (kept) {
        if (s->in.cap - s->in.end < 4096 && buf_try_reserve(&s->in, LOOP_READ_BYTES) != E_OK) {
            return E_NOMEM;
        }
        to = s->in.data + s->in.end;
        room = s->in.cap - s->in.end;
    }
    ssize_t got = recv(s->fd, to, room, 0);
    if (got > 0) {
        s->bytes_in += (uint64_t)got;
        if (kept) { s->in.end += (size_t)got; }
        *ret = kept ? buf_view(&s->in) : bytes_of(to, (size_t)got);
        return E_OK;
    }
    return failed_read(s, got);
}

void stream_used(struct stream *s, struct bytes view, size_t used)
{
    assert(used <= view.len);
    if (s->fd < 0) { return; } /* closed while the bytes were worked on */
    if (buf_len(&s->in) > 0) {
        buf_consume(&s->in, used);
        buf_release(&s->in);
    } else if (used < view.len) {
        buf_put_bytes(&s->in, bytes_skip(view, used));
    }
}

void stream_pause(struct stream *s, bool pause)
{
    if (s->paused == pause) { return; }
    s->paused = pause;
    want(s);
}

void stream_hold(struct stream *s, bool hold)
{
    if (s->held == hold) { return; }
    s->held = hold;
    want(s);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Most writes are small and over at once: one block of memory goes from stream to stream. */
static struct buf take_spare(struct loop *l)
{
    struct buf spare = l->spare;
    l->spare = (struct buf){0};
    return spare;
}

static void give_spare(struct loop *l, struct buf *b)
{
    enum { MOST = 16384 };
    if (l != NULL && l->spare.data == NULL && b->cap <= MOST) {
        buf_clear(b);
        l->spare = *b;
        *b = (struct buf){0};
    } else {
        buf_done(b);
    }
}

static void write_sealed(struct stream *s, struct bytes run);

static void write_now(struct stream *s, struct bytes run)
{
    if (s->secure != NULL) {
        write_sealed(s, run);
        return;
    }
    struct iovec iov[2] = {
        {(void *)(uintptr_t)buf_view(&s->out).ptr, buf_len(&s->out)},
        {(void *)(uintptr_t)run.ptr, run.len},
    };
    size_t queued = iov[0].iov_len, total = queued + run.len;
    if (total == 0) { return; }
    ssize_t wrote = 0;
    if (!s->blocked && s->state == E_OK) {
        if (run.len == 0) {
            wrote = send(s->fd, iov[0].iov_base, queued, MSG_NOSIGNAL);
        } else {
            struct msghdr m = {.msg_iov = queued == 0 ? iov + 1 : iov,
                               .msg_iovlen = queued == 0 ? 1 : 2};
            wrote = sendmsg(s->fd, &m, MSG_NOSIGNAL);
        }
        if (wrote < 0 && errno != EAGAIN && errno != EINTR) { s->state = E_IO; }
        if (wrote < 0) { wrote = 0; }
    }
    if (s->state != E_OK) { /* nobody will read it */
        buf_done(&s->out);
        return;
    }
    s->bytes_out += (uint64_t)wrote;
    size_t from_queue = (size_t)wrote < queued ? (size_t)wrote : queued;
    size_t from_run = (size_t)wrote - from_queue;
    buf_consume(&s->out, from_queue);
    if (from_run < run.len) { buf_put_bytes(&s->out, bytes_skip(run, from_run)); }
    bool blocked = (size_t)wrote < total;
    if (buf_len(&s->out) == 0) { give_spare(s->loop, &s->out); }
    if (blocked != s->blocked) {
        s->blocked = blocked;
        want(s);
    }
}

void stream_put(struct stream *s, struct bytes run)
{
    if (run.len == 0 || s->state != E_OK) { return; }
    if (run.len >= STREAM_DIRECT) {
        write_now(s, run);
    } else {
        if (s->out.data == NULL && s->loop != NULL) { s->out = take_spare(s->loop); }
        buf_put_bytes(&s->out, run);
    }
}

void stream_flush(struct stream *s)
{
    if (s->blocked) { /* called from the writable event: try again */
        s->blocked = false;
        write_now(s, (struct bytes){0});
        if (!s->blocked) { want(s); }
        return;
    }
    write_now(s, (struct bytes){0});
}

enum err stream_send_fd(struct stream *s, struct bytes run, int fd)
{
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)run.ptr, run.len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    assert(buf_len(&s->out) == 0 && s->secure == NULL);
    if (fd >= 0) {
        m.msg_control = control.room;
        m.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t wrote = s->state != E_OK ? -1 : sendmsg(s->fd, &m, MSG_NOSIGNAL);
    if (wrote < 0 && (s->state != E_OK || (errno != EAGAIN && errno != EINTR))) {
        s->state = E_IO;
        return E_IO;
    }
    if (wrote < 0) {
        s->blocked = true;
        want(s);
        return E_AGAIN;
    }
    s->bytes_out += (uint64_t)wrote;
    stream_put(s, bytes_skip(run, (size_t)wrote)); /* the descriptor went with the first byte */
    return E_OK;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static struct loop_tls *tls_room(struct loop *l)
{
    if (l->tls == NULL) { l->tls = mem_new(struct loop_tls); }
    return l->tls;
}

/* The records made so far, as far as the socket takes them. */
static void send_records(struct stream *s)
{
    struct bytes b = buf_view(&s->secure->sealed);
    if (b.len == 0 || s->state != E_OK) { return; }
    ssize_t wrote = send(s->fd, b.ptr, b.len, MSG_NOSIGNAL);
    if (wrote < 0 && errno != EAGAIN && errno != EINTR) {
        s->state = E_IO;
        return;
    }
    if (wrote > 0) {
        s->bytes_out += (uint64_t)wrote;
        buf_consume(&s->secure->sealed, (size_t)wrote);
    }
    s->blocked = buf_len(&s->secure->sealed) > 0;
}

/* Up to SEAL_AT_ONCE of what was gathered, then of the run, becomes records. */
static void make_records(struct stream *s, struct bytes *run)
{
    struct bytes first = buf_view(&s->out), next = *run;
    if (first.len > SEAL_AT_ONCE) { first.len = SEAL_AT_ONCE; }
    if (next.len > SEAL_AT_ONCE - first.len) { next.len = SEAL_AT_ONCE - first.len; }
    if ((first.len > 0 && !tls_seal(s->secure->tls, first, &s->secure->sealed)) ||
        (next.len > 0 && !tls_seal(s->secure->tls, next, &s->secure->sealed))) {
        s->state = E_IO;
        return;
    }
    buf_consume(&s->out, first.len);
    if (next.len > 0) { *run = bytes_skip(*run, next.len); }
}

static void write_sealed(struct stream *s, struct bytes run)
{
    bool was_blocked = s->blocked;
    if (!s->blocked) { send_records(s); }
    while (s->state == E_OK && !s->blocked && tls_is_ready(s->secure->tls) &&
           (buf_len(&s->out) > 0 || run.len > 0)) {
        if (s->secure->sealed.data == NULL) { s->secure->sealed = take_spare(s->loop); }
        make_records(s, &run);
        send_records(s);
    }
    if (s->state != E_OK) { /* nobody will read it */
        buf_done(&s->out);
        buf_done(&s->secure->sealed);
        return;
    }
    if (run.len > 0) { buf_put_bytes(&s->out, run); }
    if (buf_len(&s->out) == 0) { give_spare(s->loop, &s->out); }
    if (buf_len(&s->secure->sealed) == 0) { give_spare(s->loop, &s->secure->sealed); }
    if (s->blocked != was_blocked) { want(s); }
}

static enum err read_sealed(struct stream *s, struct bytes *ret)
{
    struct loop_tls *room = tls_room(s->loop);
    ssize_t got = recv(s->fd, room->raw, sizeof room->raw, 0);
    if (got <= 0) { return failed_read(s, got); }
    s->bytes_in += (uint64_t)got;
    size_t len = 0;
    enum err e = tls_open(s->secure->tls, bytes_of(room->raw, (size_t)got), room->open,
                          sizeof room->open, &len, &s->secure->sealed);
    if (buf_len(&s->secure->sealed) > 0) {
        write_sealed(s, (struct bytes){0});
    }                            /* a new key, an alert */
    if (e == E_EOF && len > 0) { /* the bytes first: the next read ends as the socket does */
        (void)shutdown(s->fd, SHUT_RD);
        e = E_OK;
    }
    if (e != E_OK) {
        s->state = e;
        return e;
    }
    if (len == 0) { return E_AGAIN; }
    *ret = bytes_of(room->open, len);
    if (buf_len(&s->in) > 0) {
        buf_put_bytes(&s->in, *ret);
        *ret = buf_view(&s->in);
    }
    return E_OK;
}

/* One step of the handshake with what came; what is behind it goes to s->in. */
static enum err shake(struct stream *s, struct bytes raw, struct fault *why)
{
    enum err e = tls_handshake(s->secure->tls, raw, &s->secure->sealed, why);
    if (e == E_OK) {
        struct loop_tls *room = tls_room(s->loop);
        size_t len = 0;
        enum err behind = tls_open(s->secure->tls, (struct bytes){0}, room->open, sizeof room->open,
                                   &len, &s->secure->sealed);
        buf_put(&s->in, room->open, len);
        if (behind != E_OK) {
            e = fault_set(why, behind, "the connection ended with the TLS handshake");
        }
    }
    write_sealed(s, (struct bytes){0}); /* an alert too */
    if (e != E_OK && e != E_AGAIN) { s->state = E_IO; }
    return e;
}

void stream_secure(struct stream *s, struct tls_context *c, const char *host)
{
    assert(s->secure == NULL && stream_unwritten(s) == 0);
    s->secure = mem_new(struct secure);
    s->secure->tls = tls_new(c, host);
}

enum err stream_handshake(struct stream *s, int events, struct fault *why)
{
    struct loop_tls *room = tls_room(s->loop);
    enum err e = E_AGAIN;
    if ((events & UV_WRITABLE) != 0) { stream_flush(s); }
    if (!s->secure->begun) {
        s->secure->begun = true;
        struct buf early = s->in;
        s->in = (struct buf){0};
        e = shake(s, buf_view(&early), why);
        buf_done(&early);
    }
    if (e != E_AGAIN || (events & UV_READABLE) == 0) { return e; }
    ssize_t got = recv(s->fd, room->raw, sizeof room->raw, 0);
    if (got <= 0) {
        e = failed_read(s, got);
        return e == E_AGAIN ? e : fault_set(why, e, "the peer left during the TLS handshake");
    }
    s->bytes_in += (uint64_t)got;
    return shake(s, bytes_of(room->raw, (size_t)got), why);
}
