/* The workers' side. */
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "listen/inside.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"

struct topic { /* a channel that the branch is told of, for as long as somebody here is in it */
    struct hlink link;
    struct branch *branch;
    struct dlist hearers;
    unsigned holds; /* asks that name it, and whoever walks its hearers */
    char name[];
};

struct hearing {
    struct dlist in_topic, in_listener;
    struct topic *topic;
    struct listener *listener;
};

struct branch *branch_new(struct exchange *x, struct loop *l, uint32_t database_id)
{
    struct branch *b = mem_new(struct branch);
    b->exchange = x;
    b->loop = l;
    b->database_id = database_id;
    return b;
}

static void free_if_over(struct branch *b)
{
    if (!b->gone || b->asks > 0) { return; }
    hmap_done(&b->topics);
    mem_free(&b);
}

void branch_free(struct branch **pb)
{
    struct branch *b = *pb;
    if (b == NULL) { return; }
    *pb = NULL;
    b->closed = true;
    exchange_part(b);
}

void branch_gone(struct branch *b)
{
    b->gone = true;
    free_if_over(b);
}

/* ---- topics ---------------------------------------------------------------------------------- */

static struct topic *find_topic(const struct branch *b, const char *name)
{
    struct hlink *link = hmap_find(&b->topics, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct topic, link);
}

static struct topic *hold_topic(struct branch *b, const char *name)
{
    struct topic *t = find_topic(b, name);
    if (t == NULL) {
        size_t len = strlen(name);
        t = mem_zeroed(sizeof *t + len + 1);
        memcpy(t->name, name, len + 1);
        t->branch = b;
        dlist_init(&t->hearers);
        hmap_insert(&b->topics, &t->link, bytes_of(t->name, len));
    }
    t->holds++;
    return t;
}

static void drop_if_unused(struct topic *t)
{
    if (t->holds > 0 || !dlist_empty(&t->hearers)) { return; }
    if (!t->branch->closed) { exchange_leave(t->branch, t->name); }
    hmap_remove(&t->branch->topics, &t->link);
    mem_free(&t);
}

static void release_topic(struct topic *t)
{
    t->holds--;
    drop_if_unused(t);
}

/* ---- listeners ------------------------------------------------------------------------------- */

void listener_init(struct listener *l, struct branch *b, uint32_t pid, size_t queue_most,
                   void (*ready)(void *arg), void *arg)
{
    *l = (struct listener){
        .branch = b, .pid = pid, .queue_most = queue_most, .ready = ready, .arg = arg};
    dlist_init(&l->channels);
}

static void stop_hearing(struct hearing *h)
{
    struct topic *t = h->topic;
    dlist_remove(&h->in_topic);
    dlist_remove(&h->in_listener);
    mem_free(&h);
    drop_if_unused(t);
}

void listener_done(struct listener *l)
{
    if (l->branch == NULL) { return; }
    listener_drop_all(l);
    buf_done(&l->queue);
    l->branch = NULL;
}

static struct hearing *find_hearing(const struct listener *l, const char *channel)
{
    dlist_each (node, &l->channels) {
        struct hearing *h = container_of(node, struct hearing, in_listener);
        if (strcmp(h->topic->name, channel) == 0) { return h; }
    }
    return NULL;
}

bool listener_has(const struct listener *l, const char *channel)
{
    return l->branch != NULL && find_hearing(l, channel) != NULL;
}

void listener_add(struct listener *l, const char *channel)
{
    if (listener_has(l, channel)) { return; }
    struct topic *t = find_topic(l->branch, channel);
    assert(t != NULL); /* its ask holds it until done() has returned */
    struct hearing *h = mem_new(struct hearing);
    h->topic = t;
    h->listener = l;
    dlist_push_back(&t->hearers, &h->in_topic);
    dlist_push_back(&l->channels, &h->in_listener);
}

/* What waits of it goes, the rest stays in order. */
static void forget_queued(struct listener *l, const char *channel)
{
    struct buf kept = {0};
    struct bytes all = buf_view(&l->queue);
    for (size_t at = 0; at < all.len;) {
        struct frame f;
        struct notification_msg m;
        struct bytes rest = bytes_skip(all, at);
        enum err e = frame_peek(rest, &f);
        assert(e == E_OK); /* composed here */
        e = response_read_notification(frame_body(rest, f), &m);
        assert(e == E_OK);
        if (strcmp(m.channel, channel) != 0) { buf_put(&kept, rest.ptr, f.size); }
        at += f.size;
    }
    buf_done(&l->queue);
    l->queue = kept;
}

void listener_drop(struct listener *l, const char *channel)
{
    struct hearing *h = l->branch == NULL ? NULL : find_hearing(l, channel);
    if (h == NULL) { return; }
    if (buf_len(&l->queue) > 0) { forget_queued(l, channel); }
    stop_hearing(h);
}

void listener_drop_all(struct listener *l)
{
    if (l->branch == NULL) { return; }
    while (!dlist_empty(&l->channels)) {
        stop_hearing(container_of(l->channels.next, struct hearing, in_listener));
    }
    buf_done(&l->queue);
}

void listener_each(const struct listener *l, void (*visit)(const char *channel, void *arg),
                   void *arg)
{
    dlist_each (node, &l->channels) {
        visit(container_of(node, struct hearing, in_listener)->topic->name, arg);
    }
}

/* ---- what comes from home -------------------------------------------------------------------- */

/* A server's real pid that happens to be the one the client takes for its own is not shown. */
static uint32_t shown_pid(const struct listener *l, const struct note *n)
{
    return !n->mapped && n->pid == l->pid ? n->pid ^ 0x40000000U : n->pid;
}

static void hear(struct listener *l, const struct note *n)
{
    if (l->state != LISTENER_FINE) { return; }
    if (n->channel == NULL) {
        l->state = LISTENER_LOST;
    } else if (buf_len(&l->queue) > l->queue_most) {
        l->state = LISTENER_FULL;
        buf_done(&l->queue);
    } else {
        compose_notification(&l->queue, shown_pid(l, n), n->channel, n->payload);
    }
    l->ready(l->arg);
}

/* One who hears may go, and none comes meanwhile. */
static void tell_topic(struct topic *t, const struct note *n)
{
    t->holds++;
    dlist_each (node, &t->hearers) {
        hear(container_of(node, struct hearing, in_topic)->listener, n);
    }
    release_topic(t);
}

static void tell_all(struct branch *b, const struct note *n)
{
    unsigned count = 0;
    struct topic **topics = mem_array(struct topic *, b->topics.count);
    hmap_each (link, &b->topics) {
        topics[count] = container_of(link, struct topic, link);
        topics[count++]->holds++;
    }
    for (unsigned i = 0; i < count; i++) { tell_topic(topics[i], n); }
    for (unsigned i = 0; i < count; i++) { release_topic(topics[i]); }
    mem_free(&topics);
}

static void open_note(struct letter *letter)
{
    struct note *n = container_of(letter, struct note, letter);
    if (n->channel == NULL) {
        tell_all(n->branch, n);
    } else {
        struct topic *t = find_topic(n->branch, n->channel);
        if (t != NULL) { tell_topic(t, n); }
    }
    mem_free(&n);
}

void note_post(struct branch *b, uint32_t pid, bool mapped, const char *channel,
               const char *payload)
{
    size_t named = channel == NULL ? 0 : strlen(channel) + 1;
    size_t paid = channel == NULL ? 0 : strlen(payload) + 1;
    struct note *n = mem_zeroed(sizeof *n + named + paid);
    n->letter.open = open_note;
    n->branch = b;
    n->pid = pid;
    n->mapped = mapped;
    if (channel != NULL) {
        n->channel = memcpy(n->text, channel, named);
        n->payload = memcpy(n->text + named, payload, paid);
    }
    loop_post(b->loop, &n->letter);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct ask *branch_ask(struct branch *b, const struct ask_text *t,
                       void (*done)(void *arg, enum err e), void *arg)
{
    struct ask *a = mem_new(struct ask);
    a->branch = b;
    a->exchange = b->exchange;
    a->account = t->account;
    dlist_init(&a->node);
    a->encoding = t->encoding == NULL ? NULL : mem_strdup(t->encoding);
    a->names = mem_array(char *, t->count + 1);
    a->count = t->count;
    a->sender = t->sender;
    a->pid = t->pid;
    a->told = t->told;
    a->done = done;
    a->arg = arg;
    for (unsigned i = 0; i < t->count; i++) {
        a->names[i] = mem_strdup(t->channels[i]);
        (void)hold_topic(b, a->names[i]);
    }
    b->asks++;
    exchange_ask(a);
    return a;
}

void ask_forget(struct ask **pa)
{
    if (*pa == NULL) { return; }
    (*pa)->done = NULL;
    *pa = NULL;
}

static void open_answer(struct letter *l)
{
    struct ask *a = container_of(l, struct ask, letter);
    struct branch *b = a->branch;
    if (a->done != NULL) { a->done(a->arg, a->e); }
    for (unsigned i = 0; i < a->count; i++) {
        release_topic(find_topic(b, a->names[i]));
        mem_free(&a->names[i]);
    }
    mem_free(&a->names);
    mem_free(&a->encoding);
    mem_free(&a);
    b->asks--;
    free_if_over(b);
}

void ask_answer(struct ask *a, enum err e)
{
    a->e = e;
    a->letter.open = open_answer;
    loop_post(a->branch->loop, &a->letter);
}
