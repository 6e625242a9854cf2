/* One connection per request: connect, write the packet, wait for the close that says it is done.
 */
#include "client/peers.h"

#include "base/mem.h"
#include "net/resolve.h"
#include "net/stream.h"
#include "pgwire/compose.h"

struct forward {
    struct stream stream;
    struct resolve *resolve;
    struct timer now; /* a failure is told from the loop */
    struct buf packet;
    bool connected;
    void (*done)(void *arg);
    void *arg;
};

void peers_mark_key(uint8_t *key, int peer_id)
{
    key[0] &= 0x7f;
    key[1] = (uint8_t)peer_id;
    key[2] = (uint8_t)(peer_id >> 8);
    key[7] |= PEERS_HOPS;
}

static const struct peer_config *find_peer(const struct config *cfg, const uint8_t *key)
{
    int id = key[1] | key[2] << 8;
    if (cfg->o.peer_id == 0 || id == cfg->o.peer_id || (key[7] & PEERS_HOPS) == 0) { return NULL; }
    for (size_t i = 0; i < cfg->peers_count; i++) {
        if (cfg->peers[i].id == id) { return &cfg->peers[i]; }
    }
    return NULL;
}

void forward_drop(struct forward **pf)
{
    struct forward *f = *pf;
    if (f == NULL) { return; }
    *pf = NULL;
    timer_clear(&f->stream.loop->timers, &f->now);
    resolve_forget(&f->resolve);
    stream_close(&f->stream);
    buf_done(&f->packet);
    mem_free(&f);
}

static void finish(struct forward *f)
{
    void (*done)(void *) = f->done;
    void *arg = f->arg;
    forward_drop(&f);
    done(arg);
}

static void on_now(struct timer *t)
{
    finish(container_of(t, struct forward, now));
}

static void on_event(void *arg, int events)
{
    struct forward *f = arg;
    if (!f->connected) {
        if (socket_error(f->stream.fd) != 0) {
            finish(f);
            return;
        }
        f->connected = true;
        f->stream.blocked = false;
        stream_put(&f->stream, buf_view(&f->packet));
        stream_pause(&f->stream, false);
        stream_flush(&f->stream);
        return;
    }
    if ((events & UV_WRITABLE) != 0) { stream_flush(&f->stream); }
    struct bytes in;
    if ((events & UV_READABLE) != 0 && stream_read(&f->stream, &in) != E_AGAIN) { finish(f); }
}

static void connect_to(struct forward *f, const struct address *a)
{
    int fd = -1;
    enum err e = socket_connect(a, &fd);
    if (e != E_OK && e != E_AGAIN) {
        timer_set(&f->stream.loop->timers, &f->now, 0);
        return;
    }
    stream_open(&f->stream, f->stream.loop, fd, on_event, f);
    f->stream.blocked = true; /* writable when it is connected, or failed to be */
    stream_pause(&f->stream, true);
}

static void on_resolved(void *arg, const struct address *a)
{
    struct forward *f = arg;
    f->resolve = NULL;
    if (a == NULL) {
        finish(f);
    } else {
        connect_to(f, a);
    }
}

struct forward *forward_start(struct loop *l, const struct config *cfg, struct bytes key,
                              void (*done)(void *arg), void *arg)
{
    enum { KEY_HEAD = 8 };
    const struct peer_config *peer = key.len < KEY_HEAD ? NULL : find_peer(cfg, key.ptr);
    if (peer == NULL) { return NULL; }
    struct forward *f = mem_new(struct forward);
    f->stream = (struct stream){.fd = -1, .loop = l};
    f->now.due = on_now;
    f->done = done;
    f->arg = arg;
    compose_cancel(&f->packet, get_u32(key.ptr), bytes_skip(key, 4));
    /* The key is the packet's end; its last byte of the head counts the hops. */
    f->packet.data[f->packet.end - key.len + KEY_HEAD - 1]--;
    struct address a;
    enum err e = resolve_start(l, peer->host, peer->port, &a, on_resolved, f, &f->resolve);
    if (e == E_OK) {
        connect_to(f, &a);
    } else if (e != E_AGAIN) {
        timer_set(&l->timers, &f->now, 0);
    }
    return f;
}
