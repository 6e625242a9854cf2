/*
 * Opening a server connection: resolve, connect, startup, prove who we are, learn its parameters,
 * run connect_query. Protocol: "Message Flow", Start-up.
 */
#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"
#include "server/deliver.h"
#include "server/internal.h"

enum login_step { STEP_START, STEP_DIAL, STEP_STARTUP, STEP_QUERY };

static void fail_login(struct server *s, enum err e)
{
    timer_clear(&s->stream.loop->timers, &s->timer);
    s->state = SERVER_DEAD;
    s->opened(s, e);
}

static void on_login_timeout(struct timer *t)
{
    struct server *s = container_of(t, struct server, timer);
    const struct node *n = s->target->node;
    if (!stream_is_open(&s->stream) && s->why.code != E_OK) { /* failed inside server_open() */
        fail_login(s, s->why.code);
        return;
    }
    fail_login(
        s, fault_state(&s->why, E_TIMEOUT, "08006", "connect timeout to %s:%d", n->host, n->port));
}

static void on_login_event(struct server *s, int events);

static void send_startup(struct server *s)
{
    size_t most = 4 + 2 * varset_count(s->begun) + 1;
    for (const char *const *p = s->target->startup; p != NULL && *p != NULL; p += 2) { most += 2; }
    const char **pairs = mem_array(const char *, most);
    unsigned n = 0;
    pairs[n++] = "user";
    pairs[n++] = s->target->user;
    pairs[n++] = "database";
    pairs[n++] = s->target->dbname;
    for (const char *const *p = s->target->startup; p != NULL && *p != NULL; p += 2) {
        pairs[n++] = p[0];
        pairs[n++] = p[1];
    }
    for (size_t i = 0; i < varset_count(s->begun); i++) { /* the last of a name counts */
        pairs[n++] = varset_at(s->begun, i)->name;
        pairs[n++] = varset_at(s->begun, i)->value;
    }
    pairs[n] = NULL;
    compose_startup(&s->stream.out, 0x00030000, pairs);
    mem_free(&pairs);
    struct scram_channel channel;
    _Static_assert((int)SCRAM_CHANNEL_MOST == (int)TLS_BINDING_MOST, "it has room");
    channel.len = tls_binding(stream_tls(&s->stream), channel.data);
    prove_bind(s->prove, &channel);
    s->clean_step = STEP_STARTUP;
    stream_flush(&s->stream);
}

static enum err start_connect(struct server *s, struct loop *l, const struct address *a)
{
    s->clean_step = STEP_DIAL;
    s->address = *a;
    return dial_start(&s->dial, &s->stream, l, s->target, a, server_ready_event, s, &s->why);
}

static void on_resolved(void *arg, const struct address *a)
{
    struct server *s = arg;
    const struct node *n = s->target->node;
    s->resolve = NULL;
    enum err e = a == NULL
                     ? fault_state(&s->why, E_IO, "08006", "cannot resolve host name %s", n->host)
                     : start_connect(s, s->stream.loop, a);
    if (e != E_OK) { fail_login(s, e); }
}

/* E_OK, E_AGAIN: on_resolved() or the socket goes on. */
static enum err start_dial(struct server *s, struct loop *l)
{
    const struct node *n = s->target->node;
    struct address a;
    s->prove = prove_new(s->target->user, s->target->password, s->target->secret);
    struct credential *told = s->target->vault == NULL ? NULL : vault_get(s->target->vault);
    if (told != NULL) { prove_by(s->prove, told); }
    enum err e = resolve_start(l, n->host, n->port, &a, on_resolved, s, &s->resolve);
    if (e == E_OK) { return start_connect(s, l, &a); }
    if (e == E_AGAIN) { return e; }
    return fault_state(&s->why, E_IO, "08006", "cannot resolve host %s", n->host);
}

static void start_login(struct server *s, struct loop *l)
{
    s->timer.due = on_login_timeout;
    s->connected_us = clock_now_us();
    s->connected_wall_us = clock_wall_us();
    s->dial = (struct dial){.tls = dial_tls(s->target)};
    s->addresses_tried = 0;
    enum err e = start_dial(s, l);
    /* A failure is told from the loop, not from in here: the timer is due at once. */
    bool failed = e != E_OK && e != E_AGAIN;
    int64_t limit_us = failed ? 0 : s->target->connect_timeout_us;
    timer_set(&l->timers, &s->timer, s->connected_us + limit_us);
}

struct server *server_open(struct loop *l, const struct server_target *target,
                           void (*opened)(struct server *s, enum err e), void *holder)
{
    struct server *s = mem_new(struct server);
    s->stream = (struct stream){.fd = -1, .loop = l};
    s->state = SERVER_LOGIN;
    atomic_store(&s->home, l);
    s->target = target;
    s->opened = opened;
    s->status = 'I';
    s->sure = true;
    s->have = varset_ref(varset_empty());
    s->now = varset_ref(varset_empty());
    s->begun = varset_ref(varset_empty());
    s->customs = varset_ref(varset_empty());
    dlist_init(&s->node);
    dlist_init(&s->all);
    dlist_init(&s->lru);
    dlist_init(&s->letter.node);
    server_hold(s, on_login_event, holder);
    start_login(s, l);
    return s;
}

void server_renew(struct server *s, const struct varset *begun,
                  void (*opened)(struct server *s, enum err e))
{
    struct loop *l = s->stream.loop;
    assert(s->expects.count == 0 && s->torn);
    stream_close(&s->stream);
    s->stream.loop = l;
    server_forget_statements(s);
    prepared_unref(&s->unnamed);
    varset_unref(&s->begun);
    varset_unref(&s->customs);
    s->begun = varset_ref(begun);
    s->customs = varset_ref(varset_empty());
    server_settle(s, begun);
    s->sure = true;
    s->have_unsure = s->had_temp = s->reset_needed = false;
    s->sequences_of = 0;
    s->why = (struct fault){0};
    s->opened = opened;
    server_hold(s, on_login_event, s->holder);
    start_login(s, l);
}

static void login_done(struct server *s)
{
    timer_clear(&s->stream.loop->timers, &s->timer);
    prove_free(&s->prove);
    s->state = SERVER_IDLE;
    s->torn = false;
    s->released_us = clock_now_us();
    s->opened(s, E_OK);
}

static enum err take_key(struct server *s, struct bytes body)
{
    struct bytes key;
    enum err e = response_read_key(body, &s->backend_pid, &key);
    if (e != E_OK || key.len > sizeof s->backend_key) { return E_PROTOCOL; }
    memcpy(s->backend_key, key.ptr, key.len);
    s->backend_key_len = key.len;
    return E_OK;
}

static enum err take_error(struct server *s, struct bytes body)
{
    struct error_msg m;
    if (response_read_error(body, &m) != E_OK) { return E_PROTOCOL; }
    (void)fault_state(&s->why, E_SERVER, m.sqlstate == NULL ? "08006" : m.sqlstate, "%s",
                      m.message == NULL ? "server login failed" : m.message);
    if (m.hint != NULL) { fault_hint(&s->why, "%s", m.hint); }
    return E_SERVER;
}

/* E_OK: go on; E_EOF: login is over; else it failed. */
static enum err take_message(struct server *s, uint8_t type, struct bytes body)
{
    switch (type) {
    case 'R': {
        enum err e = prove_answer(s->prove, body, &s->stream.out, &s->why);
        if (e == E_AGAIN) {
            stream_flush(&s->stream);
            return E_OK;
        }
        return e;
    }
    case 'S': return server_keep_param(s, body) ? E_OK : E_PROTOCOL;
    case 'K': return take_key(s, body);
    case 'E': return take_error(s, body);
    case 'Z':
        if (s->clean_step == STEP_STARTUP && s->target->connect_query != NULL) {
            s->clean_step = STEP_QUERY;
            compose_query(&s->stream.out, s->target->connect_query);
            stream_flush(&s->stream);
            return E_OK;
        }
        return E_EOF;
    case 'N':
    case 'v': return E_OK;
    case 'T':
    case 'D':
    case 'C':
    case 'I': return s->clean_step == STEP_QUERY ? E_OK : E_PROTOCOL;
    default: return E_PROTOCOL;
    }
}

/*
 * As libpq does: prefer goes without TLS when it does not work or is not let in, allow with it when
 * it is not let in without. Once.
 */
static void fail_or_try_otherwise(struct server *s, enum err e)
{
    bool barred = e == E_SERVER && strcmp(s->why.sqlstate, "28000") == 0;
    bool tls = stream_tls(&s->stream) != NULL;
    enum tls_mode mode = s->target->tls_mode;
    bool other = tls ? mode == TLS_PREFER && (barred || e == E_REFUSED)
                     : mode == TLS_ALLOW && barred && dial_could_tls(s->target);
    if (!other || s->dial.again) {
        fail_login(s, e);
        return;
    }
    struct loop *l = s->stream.loop;
    s->dial.again = true;
    s->dial.tls = !tls;
    stream_close(&s->stream);
    prove_free(&s->prove);
    e = start_dial(s, l);
    if (e != E_OK && e != E_AGAIN) { fail_login(s, e); }
}

/* A name may stand for several machines, or for one by several ways: until one answers. */
static bool try_next_address(struct server *s)
{
    struct loop *l = s->stream.loop;
    const char *host = s->target->node->host;
    if (l->names == NULL || s->address.any.sa_family == AF_UNIX ||
        !names_failed(l->names, host, &s->address, clock_now_us()) ||
        ++s->addresses_tried >= NAMES_ADDRESSES) {
        return false;
    }
    stream_close(&s->stream);
    prove_free(&s->prove);
    enum err e = start_dial(s, l);
    return e == E_OK || e == E_AGAIN;
}

static void read_login(struct server *s)
{
    const struct node *n = s->target->node;
    struct bytes in;
    enum err e = stream_read(&s->stream, &in);
    if (e == E_AGAIN) { return; }
    if (e != E_OK) {
        fail_login(s, fault_state(&s->why, E_IO, "08006",
                                  "server conn crashed? %s:%d closed it during login", n->host,
                                  n->port));
        return;
    }
    size_t used = 0;
    struct frame f;
    while ((e = frame_peek(bytes_skip(in, used), &f)) == E_OK) {
        enum { MOST = 65536 };
        if (f.size > MOST) {
            e = E_PROTOCOL;
            break;
        }
        if (in.len - used < f.size) {
            e = E_AGAIN;
            break;
        }
        e = take_message(s, f.type, frame_body(bytes_skip(in, used), f));
        used += f.size;
        if (e != E_OK) { break; }
    }
    stream_used(&s->stream, in, used);
    if (e == E_AGAIN) { return; }
    if (e == E_EOF) {
        login_done(s);
        return;
    }
    if (e == E_PROTOCOL) {
        e = fault_state(&s->why, E_PROTOCOL, "08P01",
                        "%s:%d does not answer as a PostgreSQL server does", n->host, n->port);
    }
    fail_or_try_otherwise(s, e);
}

static void on_login_event(struct server *s, int events)
{
    if (s->clean_step == STEP_DIAL) {
        enum err e = dial_event(&s->dial, &s->stream, s->target, events, &s->why);
        if (e == E_OK) {
            send_startup(s);
        } else if (e != E_AGAIN && !(e == E_IO && try_next_address(s))) {
            fail_or_try_otherwise(s, e);
        }
        return;
    }
    if ((events & UV_WRITABLE) != 0) { stream_flush(&s->stream); }
    if ((events & UV_READABLE) != 0) { read_login(s); }
}
