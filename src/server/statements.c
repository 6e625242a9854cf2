/*
 * Which prepared statements a server has, least recently used out first. A statement is believed
 * from the moment its Parse is sent; if the server skips that Parse, belief is taken back.
 * PostgreSQL reads literals and names when it parses: what clients with other settings of that kind
 * prepare is another statement, though the text is the same.
 */
#include "server/server.h"

#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/extended.h"

struct stmt_key {
    uint64_t id, context;
};

struct server_stmt {
    struct hlink link;
    struct dlist lru;
    const struct prepared *prepared;
    struct stmt_key key;
    uint32_t turn; /* of its plan */
};

uint64_t server_context(const struct server *s)
{
    return s->odd_context != 0 ? s->odd_context : varset_context(s->now);
}

static struct server_stmt *find_in(const struct server *s, const struct prepared *p,
                                   uint64_t context)
{
    struct stmt_key key = {.id = p->id, .context = context};
    struct hlink *link = hmap_find(&s->statements, bytes_of(&key, sizeof key));
    return link == NULL ? NULL : container_of(link, struct server_stmt, link);
}

static struct server_stmt *find(const struct server *s, const struct prepared *p)
{
    return find_in(s, p, server_context(s));
}

static void drop(struct server *s, struct server_stmt *st)
{
    hmap_remove(&s->statements, &st->link);
    dlist_remove(&st->lru);
    prepared_unref(&st->prepared);
    mem_free(&st);
    s->statements_count--;
}

void server_statement_name(const struct server *s, const struct prepared *p,
                           char name[PREPARED_NAME])
{
    prepared_name(p, server_context(s), name);
}

static void expect_in(struct server *s, uint64_t context)
{
    expects_at(&s->expects, s->expects.count - 1)->id = context;
}

static void send_close(struct server *s, const struct server_stmt *st)
{
    char name[PREPARED_NAME];
    prepared_name(st->prepared, st->key.context, name);
    extended_put_target(&s->stream.out, 'C', 'S', name);
    expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, st->prepared);
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
    dlist_each (node, &s->lru) {
        const struct server_stmt *st = container_of(node, struct server_stmt, lru);
        if (st->key.id == id) { prepared_outdated(st->prepared, st->turn); }
    }
}

static void add(struct server *s, const struct prepared *p)
{
    while (s->statements_count > 0 && s->statements_count >= s->target->max_prepared) {
        struct server_stmt *oldest = container_of(s->lru.prev, struct server_stmt, lru);
        send_close(s, oldest);
        drop(s, oldest);
    }
    struct server_stmt *st = mem_new(struct server_stmt);
    st->prepared = prepared_ref(p);
    st->turn = prepared_turn(p);
    st->key = (struct stmt_key){.id = p->id, .context = server_context(s)};
    hmap_insert(&s->statements, &st->link, bytes_of(&st->key, sizeof st->key));
    dlist_push_front(&s->lru, &st->lru);
    s->statements_count++;
}

static void send_parse(struct server *s, const struct prepared *p)
{
    char name[PREPARED_NAME];
    struct server_stmt *old = find(s, p);
    if (old != NULL) {
        send_close(s, old);
        drop(s, old);
    }
    add(s, p);
    server_statement_name(s, p, name);
    extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
}

void server_need(struct server *s, const struct prepared *p)
{
    struct server_stmt *st = find(s, p);
    if (st == NULL || is_void(st)) {
        send_parse(s, p);
        expects_push(&s->expects, EXPECT_PARSE, OWNER_NOBODY, p);
        expect_in(s, server_context(s));
        return;
    }
    dlist_remove(&st->lru);
    dlist_push_front(&s->lru, &st->lru);
}

void server_parse(struct server *s, const struct prepared *p, const char *name)
{
    send_parse(s, p);
    expects_push_named(&s->expects, EXPECT_PARSE, p, name);
    expect_in(s, server_context(s));
}

void server_unparsed(struct server *s, const struct prepared *p, uint64_t context)
{
    struct server_stmt *st = find_in(s, p, context);
    if (st != NULL) { drop(s, st); }
}

static bool is_on_its_way(const struct server *s, const struct server_stmt *st)
{
    for (uint32_t i = 0; i < s->expects.count; i++) {
        const struct expect *x = expects_at(&s->expects, i);
        if (x->kind == EXPECT_PARSE && x->prepared == st->prepared && x->id == st->key.context &&
            !x->unnamed && !x->taken) {
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
        if (!is_on_its_way(s, st)) { drop(s, st); }
    }
}
