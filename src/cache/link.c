/*
 * A request that is late is answered with NULL, but its place in the queue stays until its reply
 * comes, or every later reply would go to the wrong request.
 */
#include "cache/link.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/dlist.h"
#include "base/mem.h"
#include "cache/reader.h"
#include "net/resolve.h"

#define STUCK_US   (250 * US_PER_MS) /* late for so long: reconnect */
#define READ_BYTES 65536

struct slot {
    struct dlist node;
    link_answer *fn; /* NULL: answered as late */
    void *arg;
    int64_t due_us;
};

/* What the loop holds until its close callback: outlives the link's interest in it. */
struct wire {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    struct link *link; /* NULL: abandoned */
    uv_connect_t connect;
    uv_write_t write;
    bool writing, reading;
    struct buf sending;
    struct reader *reader;
    char in[READ_BYTES];
};

struct link {
    struct loop *loop;
    const struct link_ops *ops;
    void *owner;
    struct wire *wire;
    struct resolve *resolve;
    bool connected;
    size_t max_reply;
    int64_t connect_due_us;
    struct dlist slots;    /* oldest first */
    int64_t late_since_us; /* of the first late one since things were well; 0: none */
    struct buf out;
};

struct link *link_new(struct loop *loop, const struct link_ops *ops, void *owner)
{
    struct link *l = mem_new(struct link);
    l->loop = loop;
    l->ops = ops;
    l->owner = owner;
    dlist_init(&l->slots);
    return l;
}

static void on_closed(uv_handle_t *h)
{
    struct wire *w = h->data;
    buf_done(&w->sending);
    reader_free(&w->reader);
    mem_free(&w);
}

static void close_wire(struct link *l)
{
    resolve_forget(&l->resolve);
    if (l->wire != NULL) {
        l->wire->link = NULL;
        uv_close(&l->wire->h.handle, on_closed);
        l->wire = NULL;
    }
    l->connected = false;
    l->late_since_us = 0;
    buf_clear(&l->out);
}

void link_free(struct link **l)
{
    if (*l == NULL) { return; }
    close_wire(*l);
    for (struct dlist *node; (node = dlist_pop_front(&(*l)->slots)) != NULL;) {
        struct slot *s = container_of(node, struct slot, node);
        if (s->fn != NULL) { s->fn(s->arg, NULL); }
        mem_free(&s);
    }
    buf_done(&(*l)->out);
    mem_free(l);
}

void link_fail(struct link *l)
{
    struct dlist lost;
    if (link_closed(l)) { return; }
    close_wire(l);
    dlist_init(&lost);
    for (struct dlist *node; (node = dlist_pop_front(&l->slots)) != NULL;) {
        dlist_push_back(&lost, node);
    }
    for (struct dlist *node; (node = dlist_pop_front(&lost)) != NULL;) {
        struct slot *s = container_of(node, struct slot, node);
        if (s->fn != NULL) { s->fn(s->arg, NULL); }
        mem_free(&s);
    }
    l->ops->down(l->owner);
}

bool link_closed(const struct link *l)
{
    return l->wire == NULL && l->resolve == NULL;
}

bool link_stalled(const struct link *l)
{
    return !dlist_empty(&l->slots) && container_of(l->slots.next, struct slot, node)->fn == NULL;
}

static struct slot *first_slot(const struct link *l)
{
    return dlist_empty(&l->slots) ? NULL : container_of(l->slots.next, struct slot, node);
}

/* One reply to the oldest request; false when nobody asked. */
static bool deliver(struct link *l, const redisReply *reply)
{
    struct slot *s = first_slot(l);
    if (s == NULL) { return false; }
    dlist_remove(&s->node);
    if (s->fn != NULL || dlist_empty(&l->slots)) { l->late_since_us = 0; }
    if (s->fn != NULL) { s->fn(s->arg, reply); }
    mem_free(&s);
    return true;
}

static void on_alloc(uv_handle_t *h, size_t suggested __attribute__((unused)), uv_buf_t *buf)
{
    struct wire *w = h->data;
    *buf = uv_buf_init(w->in, sizeof w->in);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct wire *w = stream->data;
    struct link *l = w->link;
    if (l == NULL || got == 0) { return; }
    enum err e = got < 0 ? E_EOF : reader_feed(w->reader, bytes_of(buf->base, (size_t)got));
    redisReply *reply = NULL;
    while (e == E_OK && w->link == l && (e = reader_next(w->reader, &reply)) == E_OK) {
        e = deliver(l, reply) ? E_OK : E_PROTOCOL;
        freeReplyObject(reply);
    }
    if (w->link == l && e != E_AGAIN) { link_fail(l); }
    l->ops->read(l->owner);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct wire *w = req->data;
    struct link *l = w->link;
    if (l == NULL) { return; }
    if (status != 0 || uv_read_start(&w->h.stream, on_alloc, on_read) != 0) {
        link_fail(l);
        return;
    }
    l->connected = true;
    l->ops->up(l->owner);
}

static struct wire *wire_new(struct link *l)
{
    struct wire *w = mem_new(struct wire);
    w->link = l;
    w->h.handle.data = w;
    w->connect.data = w->write.data = w;
    w->reader = reader_new(l->max_reply);
    l->wire = w;
    return w;
}

static void connect_tcp(struct link *l, const struct sockaddr *to)
{
    struct wire *w = wire_new(l);
    (void)uv_tcp_init(&l->loop->uv, &w->h.tcp);
    w->h.handle.data = w;
    (void)uv_tcp_nodelay(&w->h.tcp, 1);
    (void)uv_tcp_keepalive(&w->h.tcp, 1, 15);
    if (uv_tcp_connect(&w->connect, &w->h.tcp, to, on_connected) != 0) { link_fail(l); }
}

static void on_resolved(void *arg, const struct address *a)
{
    struct link *l = arg;
    if (a == NULL) {
        link_fail(l);
        return;
    }
    l->resolve = NULL;
    connect_tcp(l, &a->any);
    l->ops->wake(l->owner); /* libuv is to see it now */
}

static void connect_name(struct link *l, const char *host, int port)
{
    struct address a;
    enum err e = resolve_start(l->loop, host, port, &a, on_resolved, l, &l->resolve);
    if (e == E_OK) {
        connect_tcp(l, &a.any);
    } else if (e != E_AGAIN) {
        l->ops->down(l->owner);
    }
}

void link_connect(struct link *l, const struct redis_address *a, size_t max_reply, int64_t due_us)
{
    assert(link_closed(l) && dlist_empty(&l->slots));
    l->max_reply = max_reply;
    l->connect_due_us = due_us;
    if (a->path != NULL) {
        struct wire *w = wire_new(l);
        (void)uv_pipe_init(&l->loop->uv, &w->h.pipe, 0);
        w->h.handle.data = w;
        uv_pipe_connect(&w->connect, &w->h.pipe, a->path, on_connected);
    } else {
        connect_name(l, a->host, a->port);
    }
}

static void put_length(struct buf *out, char kind, size_t n)
{
    char text[24];
    char *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    *--at = kind;
    buf_put(out, at, (size_t)(text + sizeof text - at));
}

void link_send(struct link *l, unsigned args, link_answer *fn, void *arg, int64_t due_us)
{
    assert(l->connected);
    struct slot *s = mem_new(struct slot);
    s->fn = fn;
    s->arg = arg;
    s->due_us = due_us;
    if (!dlist_empty(&l->slots)) { /* a shorter timeout holds from the next quiet moment on */
        int64_t last_us = container_of(l->slots.prev, struct slot, node)->due_us;
        if (due_us < last_us) { s->due_us = last_us; }
    }
    dlist_push_back(&l->slots, &s->node);
    put_length(&l->out, '*', args);
    l->ops->wake(l->owner);
}

void link_arg(struct link *l, struct bytes arg)
{
    put_length(&l->out, '$', arg.len);
    buf_put_bytes(&l->out, arg);
    buf_put(&l->out, "\r\n", 2);
}

static void on_written(uv_write_t *req, int status)
{
    struct wire *w = req->data;
    w->writing = false;
    buf_clear(&w->sending);
    if (w->link == NULL) { return; }
    if (status != 0) {
        link_fail(w->link);
    } else {
        link_flush(w->link);
    }
}

void link_flush(struct link *l)
{
    struct wire *w = l->wire;
    if (!l->connected || w->writing || buf_len(&l->out) == 0) { return; }
    struct bytes view = buf_view(&l->out);
    uv_buf_t chunk = uv_buf_init((char *)view.ptr, (unsigned)view.len);
    int sent = uv_try_write(&w->h.stream, &chunk, 1);
    if (sent < 0 && sent != UV_EAGAIN) {
        link_fail(l);
        return;
    }
    if (sent > 0) { buf_consume(&l->out, (size_t)sent); }
    if (buf_len(&l->out) == 0) {
        if (l->out.cap > READ_BYTES) { buf_release(&l->out); }
        return;
    }
    struct buf empty = w->sending;
    w->sending = l->out;
    l->out = empty;
    view = buf_view(&w->sending);
    chunk = uv_buf_init((char *)view.ptr, (unsigned)view.len);
    w->writing = true;
    if (uv_write(&w->write, &w->h.stream, &chunk, 1, on_written) != 0) {
        w->writing = false;
        link_fail(l);
    }
}

int64_t link_due(const struct link *l)
{
    if (link_closed(l)) { return INT64_MAX; }
    if (!l->connected) { return l->connect_due_us; }
    int64_t due_us = l->late_since_us == 0 ? INT64_MAX : l->late_since_us + STUCK_US;
    dlist_each (node, &l->slots) {
        const struct slot *s = container_of(node, struct slot, node);
        if (s->fn != NULL) { return s->due_us < due_us ? s->due_us : due_us; }
    }
    return due_us;
}

void link_expire(struct link *l, int64_t now_us)
{
    if (link_closed(l)) { return; }
    if (!l->connected) {
        if (now_us >= l->connect_due_us) { link_fail(l); }
        return;
    }
    if (l->late_since_us != 0 && now_us >= l->late_since_us + STUCK_US) {
        link_fail(l);
        return;
    }
    dlist_each (node, &l->slots) {
        struct slot *s = container_of(node, struct slot, node);
        if (s->due_us > now_us) { break; }
        if (s->fn == NULL) { continue; }
        if (l->late_since_us == 0) { l->late_since_us = now_us; }
        link_answer *fn = s->fn;
        s->fn = NULL;
        fn(s->arg, NULL);
    }
}
