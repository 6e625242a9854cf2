/* Life and belief of a server connection. */
#include "server/server.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"
#include "server/internal.h"

void server_free(struct server **ps)
{
    struct server *s = *ps;
    if (s == NULL) { return; }
    *ps = NULL;
    if (s->stream.loop != NULL) { timer_clear(&s->stream.loop->timers, &s->timer); }
    cancel_forget(s);
    resolve_forget(&s->resolve);
    prove_free(&s->prove);
    if (stream_is_open(&s->stream) && s->state != SERVER_LOGIN && !s->torn &&
        s->stream.state == E_OK) {
        buf_clear(&s->stream.out);
        compose_bare(&s->stream.out, 'X');
        stream_flush(&s->stream);
    }
    stream_close(&s->stream);
    expects_done(&s->expects);
    server_forget_statements(s);
    hmap_done(&s->statements);
    hmap_done(&s->names);
    varset_unref(&s->have);
    varset_unref(&s->now);
    varset_unref(&s->back);
    varset_unref(&s->begun);
    varset_unref(&s->customs);
    for (size_t i = 0; i < s->params_count; i++) {
        mem_free(&s->params[i].name);
        mem_free(&s->params[i].value);
    }
    mem_free(&s->params);
    mem_wipe(s->backend_key, sizeof s->backend_key);
    mem_free(&s);
}

void server_hold(struct server *s, void (*event)(struct server *s, int events), void *holder)
{
    s->event = event;
    s->holder = holder;
}

void server_ready_event(void *arg, int events)
{
    struct server *s = arg;
    s->event(s, events);
}

void server_detach(struct server *s)
{
    atomic_store(&s->home, NULL);
    stream_detach(&s->stream);
}

void server_attach(struct server *s, struct loop *l)
{
    stream_attach(&s->stream, l, server_ready_event, s);
    atomic_store(&s->home, l);
}

static struct server_param *find_param(const struct server *s, const char *name)
{
    for (size_t i = 0; i < s->params_count; i++) {
        if (strcmp(s->params[i].name, name) == 0) { return &s->params[i]; }
    }
    return NULL;
}

const char *server_param(const struct server *s, const char *name)
{
    const struct server_param *p = find_param(s, name);
    return p == NULL ? NULL : p->value;
}

bool server_keep_param(struct server *s, struct bytes body)
{
    enum { MOST = 200 };
    const char *name, *value;
    if (response_read_parameter(body, &name, &value) != E_OK) { return false; }
    struct server_param *p = find_param(s, name);
    if (p == NULL) {
        if (s->params_count >= MOST) { return false; }
        s->params = mem_grow(s->params, s->params_count + 1, sizeof *s->params);
        p = &s->params[s->params_count++];
        *p = (struct server_param){.name = mem_strdup(name)};
    }
    mem_free(&p->value);
    p->value = mem_strdup(value);
    return true;
}

bool server_is_clean(const struct server *s)
{
    return s->expects.count == 0 && s->status == 'I' && !s->copy_in && !s->torn && s->sure &&
           s->stream.state == E_OK && buf_len(&s->stream.in) == 0 &&
           stream_unwritten(&s->stream) == 0;
}

static void believe(const struct varset **slot, const struct varset *v)
{
    if (*slot == v) { return; }
    const struct varset *old = *slot;
    *slot = varset_ref(v);
    varset_unref(&old);
}

void server_saw_tag(struct server *s, const char *tag)
{
    if (tag[0] != 'C' && tag[0] != 'R' && tag[0] != 'L') { return; } /* SELECT and the like */
    if (strcmp(tag, "LISTEN") == 0) {
        s->listens = true;
    } else if (strcmp(tag, "COMMIT") == 0) {
        believe(&s->have, s->now);
        s->have_unsure = !s->sure;
        s->committed = !s->rolled_back;
    } else if (strcmp(tag, "ROLLBACK") == 0) {
        s->rolled_back = true;
    }
}

void server_saw_error(struct server *s)
{
    s->failed = true;
}

/*
 * A ROLLBACK that leaves us in a transaction was ROLLBACK TO or AND CHAIN: unless it is known what
 * it went back to, belief is gone until a prelude sets all settings again.
 */
void server_saw_ready(struct server *s, uint8_t status)
{
    s->status = status;
    if (status == 'I') {
        s->odd_reading = 0;
        if (s->failed || s->rolled_back) {
            believe(&s->now, s->have);
            s->sure = !s->have_unsure;
        } else {
            believe(&s->have, s->now);
            s->have_unsure = !s->sure;
        }
    } else if (s->rolled_back && s->back != NULL) {
        believe(&s->now, s->back);
        s->sure = s->back_sure;
    } else if (s->rolled_back && s->have != s->now) {
        s->sure = false;
    }
    varset_unref(&s->back);
    s->failed = s->rolled_back = s->committed = false;
    cancel_answered(s);
}

void server_assume(struct server *s, const struct varset *now)
{
    believe(&s->now, now);
}

void server_goes_back(struct server *s, const struct varset *to, bool sure)
{
    varset_unref(&s->back);
    s->back = varset_ref(to);
    s->back_sure = sure;
}

void server_reads_oddly(struct server *s)
{
    static _Atomic uint64_t last;
    s->odd_reading = atomic_fetch_add(&last, 1) + 1;
}

struct reading server_reading(const struct server *s)
{
    return (struct reading){.settings = varset_reading(s->now), .odd = s->odd_reading};
}

void server_settle(struct server *s, const struct varset *now)
{
    believe(&s->now, now);
    believe(&s->have, now);
}
