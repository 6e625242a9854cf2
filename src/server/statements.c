/*
 * Which prepared statements a server has, least recently used out first. A statement is believed
 * from the moment its Parse is sent; if the server skips that Parse, belief is taken back.
 * PostgreSQL reads literals and names when it parses: what clients with other settings of that kind
 * prepare is another statement, though the text is the same.
 * What SQL is to find stands under the client's own name, so that no text needs to be changed and
 * no answer differs: one such statement per name, made anew where the last client had another.
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
    bool doubtful; /* it may be gone, or another */
    char name[];   /* that a client gave it; empty: it has one of ours */
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

static struct server_stmt *find_named(const struct server *s, const char *name)
{
    struct hlink *link = hmap_find(&s->names, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct server_stmt, link);
}

static void drop(struct server *s, struct server_stmt *st)
{
    hmap_remove(st->name[0] == '\0' ? &s->statements : &s->names, &st->link);
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

/* What is owed last is about the statement of that name: if it is skipped, nobody knows. */
static void keep_name(struct server *s, const char *name)
{
    expects_at(&s->expects, s->expects.count - 1)->name = mem_strdup(name);
}

static void send_close(struct server *s, const struct server_stmt *st)
{
    char ours[PREPARED_NAME];
    if (st->name[0] == '\0') { prepared_name(st->prepared, st->key.context, ours); }
    extended_put_target(&s->stream.out, 'C', 'S', st->name[0] == '\0' ? ours : st->name);
    expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, st->prepared);
    if (st->name[0] == '\0') {
        expect_in(s, st->key.context);
    } else {
        keep_name(s, st->name);
    }
}

static bool is_void(const struct server_stmt *st)
{
    return st->doubtful || st->turn != prepared_turn(st->prepared);
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

static void close_stmt(struct server *s, struct server_stmt *st)
{
    send_close(s, st);
    drop(s, st);
}

static void trim_to(struct server *s, unsigned most)
{
    while (s->statements_count > most) {
        close_stmt(s, container_of(s->lru.prev, struct server_stmt, lru));
    }
}

static struct server_stmt *new_stmt(struct server *s, const struct prepared *p, uint64_t context,
                                    const char *name)
{
    size_t len = strlen(name);
    struct server_stmt *st = mem_zeroed(sizeof *st + len + 1);
    memcpy(st->name, name, len);
    if (p != NULL) {
        st->prepared = prepared_ref(p);
        st->turn = prepared_turn(p);
        st->key = (struct stmt_key){.id = p->id, .context = context};
    }
    dlist_push_front(&s->lru, &st->lru);
    s->statements_count++;
    return st;
}

static struct server_stmt *add(struct server *s, const struct prepared *p, uint64_t context)
{
    struct server_stmt *st = new_stmt(s, p, context, "");
    hmap_insert(&s->statements, &st->link, bytes_of(&st->key, sizeof st->key));
    return st;
}

static void add_named(struct server *s, const struct prepared *p, const char *name)
{
    struct server_stmt *st = new_stmt(s, p, server_context(s), name);
    hmap_insert(&s->names, &st->link, bytes_str(st->name));
}

static void send_parse(struct server *s, const struct prepared *p)
{
    char name[PREPARED_NAME];
    struct server_stmt *old = find(s, p);
    if (old != NULL) { close_stmt(s, old); }
    unsigned most = s->target->max_prepared;
    trim_to(s, most > 0 ? most - 1 : 0);
    (void)add(s, p, server_context(s));
    server_statement_name(s, p, name);
    extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
}

static void use(struct server *s, struct server_stmt *st)
{
    dlist_remove(&st->lru);
    dlist_push_front(&s->lru, &st->lru);
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
    use(s, st);
}

void server_parse(struct server *s, const struct prepared *p, const char *name)
{
    send_parse(s, p);
    expects_push_named(&s->expects, EXPECT_PARSE, p, name);
    expect_in(s, server_context(s));
}

/* A doubtful one stays: before it is made again it is closed, be it there or not. */
static void unparsed(struct server *s, const struct expect *e)
{
    struct server_stmt *st = find_in(s, e->prepared, e->id);
    if (st != NULL && !st->doubtful) { drop(s, st); }
}

static void unclosed(struct server *s, const struct expect *e)
{
    struct server_stmt *st = find_in(s, e->prepared, e->id);
    if (st == NULL) { st = add(s, e->prepared, e->id); }
    st->doubtful = true;
}

void server_skipped(struct server *s, const struct expect *e)
{
    const bool of_a_name = e->owner == OWNER_NOBODY && e->name != NULL;
    if (of_a_name) { server_doubt_name(s, e->name); }
    for (const struct naming *n = e->namings; n != NULL; n = n->next) {
        if (n->what == NAMING_PREPARE || n->what == NAMING_DEALLOCATE) {
            server_doubt_name(s, n->name);
        }
    }
    if (e->kind == EXPECT_PARSE && e->unnamed) { prepared_unref(&s->unnamed); }
    if (e->prepared == NULL || of_a_name) { return; }
    if (e->kind == EXPECT_PARSE && !e->unnamed && !e->taken) { unparsed(s, e); }
    if (e->kind == EXPECT_CLOSE) { unclosed(s, e); }
}

static bool names(const struct expect *x, const char *name)
{
    if (x->owner == OWNER_NOBODY) { return x->name != NULL && strcmp(x->name, name) == 0; }
    for (const struct naming *n = x->namings; n != NULL; n = n->next) {
        if (n->what == NAMING_PREPARE && strcmp(n->name, name) == 0) { return true; }
    }
    return false;
}

static bool is_on_its_way(const struct server *s, const struct server_stmt *st)
{
    for (uint32_t i = 0; i < s->expects.count; i++) {
        const struct expect *x = expects_at(&s->expects, i);
        if (st->name[0] != '\0') {
            if (names(x, st->name)) { return true; }
            continue;
        }
        if (x->kind == EXPECT_PARSE && x->prepared == st->prepared && x->id == st->key.context &&
            !x->unnamed && !x->taken && (x->owner == OWNER_CLIENT || x->name == NULL)) {
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
        if (st->doubtful || !is_on_its_way(s, st)) { drop(s, st); }
    }
}

void server_doubt_statements(struct server *s)
{
    if (s->statements_count == 0) { return; }
    dlist_each (node, &s->lru) { container_of(node, struct server_stmt, lru)->doubtful = true; }
}

/* ---- under the names that clients gave ------------------------------------------------------- */

bool server_has_name(const struct server *s, const char *name, const struct prepared *p)
{
    const struct server_stmt *st = find_named(s, name);
    if (p == NULL || st == NULL) { return p == NULL && st == NULL; }
    return st->prepared == p && st->key.context == server_context(s) && !is_void(st);
}

static void expect_making(struct server *s, enum expect_kind kind, const struct prepared *p,
                          const char *name)
{
    expects_push(&s->expects, kind, OWNER_NOBODY, p);
    keep_name(s, name);
}

/* The text says the name itself. Its portal has one of ours: the client may have an unnamed one. */
static void send_sql(struct server *s, const struct prepared *p, const char *name)
{
    static const char portal[] = PREPARED_PREFIX;
    extended_put_parse(&s->stream.out, "", p->text, NULL, 0);
    expect_making(s, EXPECT_PARSE, p, name);
    expects_at(&s->expects, s->expects.count - 1)->unnamed = true;
    prepared_unref(&s->unnamed);
    extended_put_bind(&s->stream.out, portal, "", BYTES("\0\0\0\0\0\0"));
    expect_making(s, EXPECT_BIND, p, name);
    extended_put_execute(&s->stream.out, portal);
    expect_making(s, EXPECT_EXECUTE, p, name);
    extended_put_target(&s->stream.out, 'C', 'P', portal);
    expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, NULL);
}

void server_need_name(struct server *s, const char *name, const struct prepared *p)
{
    struct server_stmt *st = find_named(s, name);
    if (server_has_name(s, name, p)) {
        if (st != NULL) { use(s, st); }
        return;
    }
    if (st != NULL) { close_stmt(s, st); }
    if (p == NULL) { return; }
    add_named(s, p, name);
    if (p->by_sql) {
        send_sql(s, p, name);
    } else {
        extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
        expect_making(s, EXPECT_PARSE, p, name);
    }
}

void server_assume_name(struct server *s, const char *name, const struct prepared *p)
{
    struct server_stmt *st = find_named(s, name);
    if (st != NULL) { drop(s, st); }
    if (p != NULL) { add_named(s, p, name); }
}

void server_doubt_name(struct server *s, const char *name)
{
    if (find_named(s, name) == NULL) { add_named(s, NULL, name); }
    find_named(s, name)->doubtful = true;
}

void server_named_plan_failed(struct server *s, const char *name)
{
    const struct server_stmt *st = find_named(s, name);
    if (st != NULL && st->prepared != NULL) { prepared_outdated(st->prepared, st->turn); }
}

void server_close_others(struct server *s, bool ours,
                         bool (*is_given)(const void *arg, const char *name), const void *arg)
{
    if (s->statements_count == 0) { return; }
    dlist_each (node, &s->lru) {
        struct server_stmt *st = container_of(node, struct server_stmt, lru);
        if (st->name[0] == '\0' ? ours : !is_given(arg, st->name)) { close_stmt(s, st); }
    }
}

void server_trim_statements(struct server *s)
{
    trim_to(s, s->target->max_prepared);
}
