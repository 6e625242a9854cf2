/*
 * Which prepared statements a server has, least recently used out first. A statement is believed
 * from the moment its Parse is sent; if the server skips that Parse, belief is taken back.
 */
#include "server/server.h"

#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/extended.h"

struct server_stmt {
    struct hlink link;
    struct dlist lru;
    const struct prepared *prepared;
    uint32_t turn; /* of its plan */
};

static struct bytes key_of(const struct prepared *p)
{
    return bytes_of(&p->id, sizeof p->id);
}

static struct server_stmt *find(const struct server *s, const struct prepared *p)
{
    struct hlink *link = hmap_find(&s->statements, key_of(p));
    return link == NULL ? NULL : container_of(link, struct server_stmt, link);
}

static void drop(struct server *s, struct server_stmt *st)
{
    hmap_remove(&s->statements, &st->link);
    dlist_remove(&st->lru);
    prepared_unref(&st->prepared);
    mem_free(&st);
    s->statements_count--;
}

static void send_close(struct server *s, const struct prepared *p)
{
    char name[PREPARED_NAME];
    prepared_name(p, name);
    extended_put_target(&s->stream.out, 'C', 'S', name);
    expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, p);
}

static bool is_void(const struct server_stmt *st)
{
    return st->turn != prepared_turn(st->prepared);
}

bool server_has(const struct server *s, const struct prepared *p)
{
    const struct server_stmt *st = find(s, p);
    return st != NULL && !is_void(st);
}

void server_plan_failed(struct server *s, uint64_t id)
{
    struct hlink *link = hmap_find(&s->statements, bytes_of(&id, sizeof id));
    if (link == NULL) { return; }
    const struct server_stmt *st = container_of(link, struct server_stmt, link);
    prepared_outdated(st->prepared, st->turn);
}

static void add(struct server *s, const struct prepared *p)
{
    while (s->statements_count > 0 && s->statements_count >= s->target->max_prepared) {
        struct server_stmt *oldest = container_of(s->lru.prev, struct server_stmt, lru);
        send_close(s, oldest->prepared);
        drop(s, oldest);
    }
    struct server_stmt *st = mem_new(struct server_stmt);
    st->prepared = prepared_ref(p);
    st->turn = prepared_turn(p);
    hmap_insert(&s->statements, &st->link, key_of(st->prepared));
    dlist_push_front(&s->lru, &st->lru);
    s->statements_count++;
}

static void send_parse(struct server *s, const struct prepared *p)
{
    char name[PREPARED_NAME];
    struct server_stmt *old = find(s, p);
    if (old != NULL) {
        send_close(s, p);
        drop(s, old);
    }
    add(s, p);
    prepared_name(p, name);
    extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
}

void server_need(struct server *s, const struct prepared *p)
{
    struct server_stmt *st = find(s, p);
    if (st == NULL || is_void(st)) {
        send_parse(s, p);
        expects_push(&s->expects, EXPECT_PARSE, OWNER_NOBODY, p);
        return;
    }
    dlist_remove(&st->lru);
    dlist_push_front(&s->lru, &st->lru);
}

void server_parse(struct server *s, const struct prepared *p, const char *name)
{
    send_parse(s, p);
    expects_push_named(&s->expects, EXPECT_PARSE, p, name);
}

void server_parsed(struct server *s, const struct prepared *p, bool done)
{
    struct server_stmt *st = done ? NULL : find(s, p);
    if (st != NULL) { drop(s, st); }
}

static bool is_on_its_way(const struct server *s, const struct prepared *p)
{
    for (uint32_t i = 0; i < s->expects.count; i++) {
        const struct expect *x = expects_at(&s->expects, i);
        if (x->kind == EXPECT_PARSE && x->prepared == p && !x->unnamed && !x->taken) {
            return true;
        }
    }
    return false;
}

void server_forget_statements(struct server *s)
{
    prepared_unref(&s->unnamed);
    if (s->statements_count == 0) { return; }
    dlist_each (node, &s->lru) {
        struct server_stmt *st = container_of(node, struct server_stmt, lru);
        if (!is_on_its_way(s, st->prepared)) { drop(s, st); }
    }
}
