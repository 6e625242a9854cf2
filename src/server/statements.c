/*
 * Which prepared statements a server has, least recently used out first. A statement is believed
 * from the moment its Parse is sent; if the server skips that Parse, belief is taken back.
 * What a client prepared under other settings than those of now is prepared under those.
 * What SQL is to find stands under the client's own name, so that no text needs to be changed and
 * no answer differs: one such statement per name, made anew where the last client had another.
 */
#include "server/server.h"

#include <string.h>

#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/extended.h"

struct server_stmt {
    struct hlink link;
    struct dlist lru;
    const struct prepared *prepared;
    uint64_t id;
    uint32_t turn; /* of its plan */
    bool doubtful; /* it may be gone, or another */
    char name[];   /* that a client gave it; empty: it has one of ours */
};

static struct server_stmt *find(const struct server *s, const struct prepared *p)
{
    struct hlink *link = hmap_find(&s->statements, bytes_of(&p->id, sizeof p->id));
    return link == NULL ? NULL : container_of(link, struct server_stmt, link);
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

/* What is owed last is about the statement of that name: if it is skipped, nobody knows. */
static void keep_name(struct server *s, const char *name)
{
    expects_at(&s->expects, s->expects.count - 1)->name = mem_strdup(name);
}

static void send_close(struct server *s, const struct server_stmt *st)
{
    char ours[PREPARED_NAME];
    if (st->name[0] == '\0') { prepared_name(st->prepared, ours); }
    extended_put_target(&s->stream.out, 'C', 'S', st->name[0] == '\0' ? ours : st->name);
    expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, st->prepared);
    if (st->name[0] != '\0') { keep_name(s, st->name); }
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
        if (st->id == id) { prepared_outdated(st->prepared, st->turn); }
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

static struct server_stmt *new_stmt(struct server *s, const struct prepared *p, const char *name)
{
    size_t len = strlen(name);
    struct server_stmt *st = mem_zeroed(sizeof *st + len + 1);
    memcpy(st->name, name, len);
    if (p != NULL) {
        st->prepared = prepared_ref(p);
        st->turn = prepared_turn(p);
        st->id = p->id;
    }
    dlist_push_front(&s->lru, &st->lru);
    s->statements_count++;
    return st;
}

static struct server_stmt *add(struct server *s, const struct prepared *p)
{
    struct server_stmt *st = new_stmt(s, p, "");
    hmap_insert(&s->statements, &st->link, bytes_of(&st->id, sizeof st->id));
    return st;
}

static void add_named(struct server *s, const struct prepared *p, const char *name)
{
    struct server_stmt *st = new_stmt(s, p, name);
    hmap_insert(&s->names, &st->link, bytes_str(st->name));
}

static void make_room(struct server *s, const struct prepared *p)
{
    struct server_stmt *old = find(s, p);
    if (old != NULL) { close_stmt(s, old); }
    unsigned most = s->target->max_prepared;
    trim_to(s, most > 0 ? most - 1 : 0);
    (void)add(s, p);
}

/* ---- as it was read -------------------------------------------------------------------------- */

static void expect_ours(struct server *s, enum expect_kind kind, const struct prepared *p)
{
    expects_push(&s->expects, kind, OWNER_NOBODY, p);
    if (kind == EXPECT_PARSE) { expects_at(&s->expects, s->expects.count - 1)->unnamed = true; }
}

/*
 * A setting around the Parse of p. Under a name of its own: the client may have an unnamed
 * statement, and an unnamed portal. An error of it is the client's to read, as one of p would be.
 */
static void put_setting(struct server *s, const char *text, const struct prepared *p)
{
    static const char own[] = PREPARED_PREFIX;
    struct buf *out = &s->stream.out;
    extended_put_parse(out, own, bytes_str(text), NULL, 0);
    expect_ours(s, EXPECT_PARSE, p);
    extended_put_bind(out, own, own, BYTES("\0\0\0\0\0\0"));
    expect_ours(s, EXPECT_BIND, p);
    extended_put_execute(out, own);
    expect_ours(s, EXPECT_EXECUTE, p);
    extended_put_target(out, 'C', 'P', own);
    expect_ours(s, EXPECT_CLOSE, NULL);
    extended_put_target(out, 'C', 'S', own);
    expect_ours(s, EXPECT_CLOSE, NULL);
}

static void put_settings(struct server *s, const struct varset *from, const struct varset *to,
                         const struct prepared *p)
{
    struct buf texts = {0};
    struct settings_change change = varset_diff(from, to, true, &texts);
    const char *text = (const char *)texts.data;
    for (unsigned i = 0; i < change.statements; i++) {
        put_setting(s, text, p);
        text += strlen(text) + 1;
    }
    buf_done(&texts);
}

/* The settings under which p is to be read; one reference. In a failed transaction nothing can be
   set, and nothing prepared that it would matter to. */
static const struct varset *settings_for(const struct server *s, const struct prepared *p)
{
    bool matters = p->reading.settings != NULL && s->status != 'E';
    return matters ? varset_read_as(s->now, p->reading.settings) : varset_ref(s->now);
}

static void send_parse(struct server *s, const struct prepared *p, const char *name)
{
    const struct varset *as = settings_for(s, p);
    put_settings(s, s->now, as, p);
    extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
    expects_push(&s->expects, EXPECT_PARSE, OWNER_NOBODY, p);
    if (name[0] == '\0') { expects_at(&s->expects, s->expects.count - 1)->unnamed = true; }
    put_settings(s, as, s->now, p);
    varset_unref(&as);
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
        char name[PREPARED_NAME];
        make_room(s, p);
        prepared_name(p, name);
        send_parse(s, p, name);
        return;
    }
    use(s, st);
}

void server_need_unnamed(struct server *s, const struct prepared *p)
{
    if (s->unnamed == p && p != NULL) { return; }
    if (p == NULL) {
        extended_put_target(&s->stream.out, 'C', 'S', "");
        expects_push(&s->expects, EXPECT_CLOSE, OWNER_NOBODY, NULL);
    } else {
        send_parse(s, p, "");
    }
    prepared_unref(&s->unnamed);
    s->unnamed = p == NULL ? NULL : prepared_ref(p);
}

void server_parse(struct server *s, const struct prepared *p, const char *name)
{
    char ours[PREPARED_NAME];
    make_room(s, p);
    prepared_name(p, ours);
    extended_put_parse(&s->stream.out, ours, p->text, p->types, p->types_count);
    expects_push_named(&s->expects, EXPECT_PARSE, p, name);
}

/* A doubtful one stays: before it is made again it is closed, be it there or not. */
static void unparsed(struct server *s, const struct expect *e)
{
    struct server_stmt *st = find(s, e->prepared);
    if (st != NULL && !st->doubtful) { drop(s, st); }
}

static void unclosed(struct server *s, const struct expect *e)
{
    struct server_stmt *st = find(s, e->prepared);
    if (st == NULL) { st = add(s, e->prepared); }
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
        if (x->kind == EXPECT_PARSE && x->prepared == st->prepared && !x->unnamed && !x->taken &&
            (x->owner == OWNER_CLIENT || x->name == NULL)) {
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
    return st->prepared == p && !is_void(st);
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
    const struct varset *as = settings_for(s, p);
    put_settings(s, s->now, as, p);
    if (p->by_sql) {
        send_sql(s, p, name);
    } else {
        extended_put_parse(&s->stream.out, name, p->text, p->types, p->types_count);
        expect_making(s, EXPECT_PARSE, p, name);
    }
    put_settings(s, as, s->now, p);
    varset_unref(&as);
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
