/* The two directions of one socket. */
#include "net/stream.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

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

void stream_close(struct stream *s)
{
    watch_close(&s->watch);
    if (s->fd >= 0) { (void)close(s->fd); }
    s->fd = -1;
    buf_done(&s->in);
    buf_done(&s->out);
}

enum err stream_read(struct stream *s, struct bytes *ret)
{
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
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) { return E_AGAIN; }
    s->state = got == 0 ? E_EOF : E_IO;
    return s->state;
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

/* Most writes are small and over at once: one block of memory goes from stream to stream. */
static void take_spare(struct stream *s)
{
    s->out = s->loop->spare;
    s->loop->spare = (struct buf){0};
}

static void give_spare(struct stream *s)
{
    enum { MOST = 16384 };
    if (s->loop != NULL && s->loop->spare.data == NULL && s->out.cap <= MOST) {
        buf_clear(&s->out);
        s->loop->spare = s->out;
        s->out = (struct buf){0};
    } else {
        buf_done(&s->out);
    }
}

static void write_now(struct stream *s, struct bytes run)
{
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
    if (buf_len(&s->out) == 0) { give_spare(s); }
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
        if (s->out.data == NULL && s->loop != NULL) { take_spare(s); }
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
    assert(buf_len(&s->out) == 0);
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
