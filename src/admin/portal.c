/* Statements and portals by name, and the five messages about them. */
#include "admin/portal.h"

#include <stdio.h>

#include "admin/recode.h"
#include "admin/show.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/extended.h"
#include "pgwire/frame.h"

enum { NAMES_MOST = 1000 };
enum { TYPE_INT2 = 21, TYPE_VARCHAR = 1043, TYPE_NAME = 19, TYPE_UNKNOWN = 705 };

struct statement_entry { /* what Parse made */
    struct hlink link;
    struct arena memory;
    struct command command;
    struct bytes text;
    unsigned parameters;
    uint32_t types[COMMAND_WORDS];
    char name[];
};

struct portal { /* what Bind made */
    struct hlink link;
    struct arena memory;
    struct command command;
    struct bytes text;
    const struct column *columns; /* NULL: it answers no rows */
    unsigned columns_count;
    bool *binary; /* by column */
    bool started;
    char *tag;     /* the command is done; rows may be left */
    uint32_t most; /* rows that this Execute asked for; 0: all */
    struct buf rows;
    char name[];
};

/* ---- names ----------------------------------------------------------------------------------- */

static struct statement_entry *find_statement(const struct session *s, const char *name)
{
    struct hlink *link = hmap_find(&s->statements, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct statement_entry, link);
}

static struct portal *find_portal(const struct session *s, const char *name)
{
    struct hlink *link = hmap_find(&s->portals, bytes_str(name));
    return link == NULL ? NULL : container_of(link, struct portal, link);
}

static void drop_statement(struct session *s, struct statement_entry *st)
{
    if (st == NULL) { return; }
    hmap_remove(&s->statements, &st->link);
    arena_done(&st->memory);
    mem_free(&st);
}

static void drop_portal(struct session *s, struct portal *p)
{
    if (p == NULL) { return; }
    hmap_remove(&s->portals, &p->link);
    arena_done(&p->memory);
    buf_done(&p->rows);
    mem_free(&p->tag);
    mem_free(&p);
}

static void drop_portals(struct session *s)
{
    hmap_each (link, &s->portals) { drop_portal(s, container_of(link, struct portal, link)); }
}

void portal_end(struct session *s)
{
    if (s->client->status == 'I') { drop_portals(s); }
}

bool portal_deallocate(struct session *s, const char *name)
{
    if (name != NULL) {
        struct statement_entry *st = find_statement(s, name);
        drop_statement(s, st);
        return st != NULL;
    }
    hmap_each (link, &s->statements) {
        drop_statement(s, container_of(link, struct statement_entry, link));
    }
    return true;
}

void portal_forget(struct session *s)
{
    drop_portals(s);
    (void)portal_deallocate(s, NULL);
    hmap_done(&s->portals);
    hmap_done(&s->statements);
}

/* ---- Parse ----------------------------------------------------------------------------------- */

static enum err check_parse(const struct session *s, const struct parse_msg *m,
                            const struct statement_entry *st, struct fault *why)
{
    if (m->types_count > COMMAND_WORDS) { return fault_set(why, E_SYNTAX, "too many parameters"); }
    if (command_is(&st->command, 0, "SHOW") && st->command.count > 1 &&
        st->command.words[1].kind == WORD_PARAMETER) {
        return fault_set(why, E_REFUSED, "what is to be shown cannot be a parameter");
    }
    if (m->name[0] != '\0' && find_statement(s, m->name) != NULL) {
        return fault_state(why, E_EXISTS, "42P05", "prepared statement \"%.60s\" already exists",
                           m->name);
    }
    if (s->statements.count >= NAMES_MOST) {
        return fault_state(why, E_LIMIT, "53400", "too many prepared statements");
    }
    return E_OK;
}

static enum err take_parse(struct session *s, struct bytes body, struct fault *why)
{
    struct parse_msg m;
    enum err e = extended_read_parse(body, &m);
    if (e != E_OK) { return fault_set(why, e, "malformed Parse message"); }
    size_t len = strlen(m.name) + 1;
    struct statement_entry *st = mem_zeroed(sizeof *st + len);
    memcpy(st->name, m.name, len);
    st->text = arena_bytes(&st->memory, m.text);
    e = command_parse(m.text, &st->memory, &st->command, why);
    if (e == E_OK) { e = check_parse(s, &m, st, why); }
    if (e != E_OK) {
        arena_done(&st->memory);
        mem_free(&st);
        return e;
    }
    st->parameters = command_parameters(&st->command);
    if (m.types_count > st->parameters) { st->parameters = m.types_count; }
    for (unsigned i = 0; i < st->parameters; i++) {
        uint32_t type = i < m.types_count ? get_u32(m.types + 4 * (size_t)i) : 0;
        st->types[i] = type == 0 || type == TYPE_UNKNOWN ? (uint32_t)COLUMN_TEXT : type;
    }
    drop_statement(s, find_statement(s, st->name));
    hmap_insert(&s->statements, &st->link, bytes_str(st->name));
    compose_bare(session_out(s), '1');
    return E_OK;
}

/* ---- Bind ------------------------------------------------------------------------------------ */

static const char *print_number(struct arena *memory, int64_t n)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)n);
    return arena_strdup(memory, text);
}

/* A parameter's value as text; NULL: its type has a binary form that is not known here. */
static const char *value_text(struct arena *memory, uint32_t type, bool binary, struct bytes v)
{
    bool plain = type == COLUMN_TEXT || type == TYPE_VARCHAR || type == TYPE_NAME;
    if (!binary || plain) { return arena_strndup(memory, (const char *)v.ptr, v.len); }
    if (type == TYPE_INT2 && v.len == 2) { return print_number(memory, (int16_t)get_u16(v.ptr)); }
    if (type == COLUMN_INT4 && v.len == 4) { return print_number(memory, (int32_t)get_u32(v.ptr)); }
    if (type == COLUMN_INT8 && v.len == 8) {
        uint64_t n = (uint64_t)get_u32(v.ptr) << 32 | get_u32(v.ptr + 4);
        return print_number(memory, (int64_t)n);
    }
    return NULL;
}

static enum err read_values(const struct bind_msg *m, const struct statement_entry *st,
                            struct arena *memory, const char **values, struct fault *why)
{
    if (m->params_count != st->parameters) {
        return fault_set(why, E_PROTOCOL,
                         "bind message supplies %u parameters, but prepared statement \"%.60s\" "
                         "requires %u",
                         m->params_count, m->statement, st->parameters);
    }
    struct bind_walk walk = {0};
    struct bytes value;
    bool null;
    for (unsigned i = 0; i < st->parameters && extended_bind_next(m, &walk, &value, &null); i++) {
        if (null) {
            return fault_state(why, E_REFUSED, "22004", "parameter $%u must not be null", i + 1);
        }
        if (value.len > 0 && memchr(value.ptr, 0, value.len) != NULL &&
            extended_bind_format(m, i) == 0) {
            return fault_state(why, E_REFUSED, "22021", "a zero byte in parameter $%u", i + 1);
        }
        values[i] = value_text(memory, st->types[i], extended_bind_format(m, i) != 0, value);
        if (values[i] == NULL) {
            return fault_set(why, E_REFUSED,
                             "the console does not read binary parameters of type %u",
                             st->types[i]);
        }
    }
    return E_OK;
}

static enum err read_formats(const struct bind_msg *m, struct portal *p, struct fault *why)
{
    p->binary = arena_array(&p->memory, bool, p->columns_count + 1);
    if (m->results_count > 1 && m->results_count != p->columns_count) {
        return fault_set(why, E_PROTOCOL,
                         "bind message has %u result formats but query has %u columns",
                         m->results_count, p->columns_count);
    }
    for (unsigned i = 0; i < p->columns_count && m->results_count > 0; i++) {
        uint16_t format = get_u16(m->results + 2 * (size_t)(m->results_count == 1 ? 0 : i));
        if (format > 1) {
            return fault_state(why, E_PROTOCOL, "22023", "unsupported format code: %u", format);
        }
        p->binary[i] = format == 1 && recode_knows(p->columns[i].type);
    }
    return E_OK;
}

static enum err take_bind(struct session *s, struct bytes body, struct fault *why)
{
    struct bind_msg m;
    const char *values[COMMAND_WORDS] = {0};
    enum err e = extended_read_bind(body, &m);
    if (e != E_OK) { return fault_set(why, e, "malformed Bind message"); }
    const struct statement_entry *st = find_statement(s, m.statement);
    if (st == NULL) {
        return fault_state(why, E_NOTFOUND, "26000", "prepared statement \"%.60s\" does not exist",
                           m.statement);
    }
    if (m.portal[0] != '\0' && find_portal(s, m.portal) != NULL) {
        return fault_state(why, E_EXISTS, "42P03", "cursor \"%.60s\" already exists", m.portal);
    }
    if (s->portals.count >= NAMES_MOST) {
        return fault_state(why, E_LIMIT, "53400", "too many portals");
    }
    drop_portal(s, find_portal(s, m.portal));
    size_t len = strlen(m.portal) + 1;
    struct portal *p = mem_zeroed(sizeof *p + len);
    memcpy(p->name, m.portal, len);
    hmap_insert(&s->portals, &p->link, bytes_str(p->name));
    e = read_values(&m, st, &p->memory, values, why);
    if (e == E_OK) {
        p->text = arena_bytes(&p->memory, st->text);
        p->command = command_bind(&st->command, values);
        for (unsigned i = 0; i < p->command.count; i++) { /* the statement may go before it */
            struct word *w = &p->command.words[i];
            w->text = arena_strdup(&p->memory, w->text);
        }
        p->columns = show_columns_of(s, &p->command, &p->columns_count);
        e = read_formats(&m, p, why);
    }
    if (e != E_OK) {
        drop_portal(s, p);
        return e;
    }
    compose_bare(session_out(s), '2');
    return E_OK;
}

/* ---- Describe, Close ------------------------------------------------------------------------- */

static void describe(struct buf *out, const struct column *columns, unsigned count,
                     const bool *binary)
{
    if (columns == NULL) {
        compose_bare(out, 'n');
    } else {
        compose_row_description(out, columns, count, binary);
    }
}

static enum err take_describe(struct session *s, struct bytes body, struct fault *why)
{
    struct target_msg m;
    struct buf *out = session_out(s);
    enum err e = extended_read_target(body, &m);
    if (e != E_OK) { return fault_set(why, e, "malformed Describe message"); }
    if (m.kind == 'P') {
        const struct portal *p = find_portal(s, m.name);
        if (p == NULL) {
            return fault_state(why, E_NOTFOUND, "34000", "portal \"%.60s\" does not exist", m.name);
        }
        describe(out, p->columns, p->columns_count, p->binary);
        return E_OK;
    }
    const struct statement_entry *st = find_statement(s, m.name);
    if (st == NULL) {
        return fault_state(why, E_NOTFOUND, "26000", "prepared statement \"%.60s\" does not exist",
                           m.name);
    }
    size_t mark = compose_begin(out, 't');
    buf_put_u16(out, (uint16_t)st->parameters);
    for (unsigned i = 0; i < st->parameters; i++) { buf_put_u32(out, st->types[i]); }
    compose_end(out, mark);
    unsigned count = 0;
    const struct column *columns = show_columns_of(s, &st->command, &count);
    describe(out, columns, count, NULL);
    return E_OK;
}

static enum err take_close(struct session *s, struct bytes body, struct fault *why)
{
    struct target_msg m;
    enum err e = extended_read_target(body, &m);
    if (e != E_OK) { return fault_set(why, e, "malformed Close message"); }
    if (m.kind == 'P') {
        drop_portal(s, find_portal(s, m.name));
    } else {
        drop_statement(s, find_statement(s, m.name));
    }
    compose_bare(session_out(s), '3');
    return E_OK;
}

/* ---- Execute --------------------------------------------------------------------------------- */

static bool is_binary(const struct portal *p)
{
    for (unsigned i = 0; i < p->columns_count; i++) {
        if (p->binary[i]) { return true; }
    }
    return false;
}

static void put_row(struct buf *out, const struct portal *p, struct bytes row, bool binary)
{
    if (!binary) {
        buf_put_bytes(out, row);
        return;
    }
    struct frame f;
    enum err e = frame_peek(row, &f);
    size_t mark = compose_begin(out, 'D');
    if (e == E_OK) { recode_row(frame_body(row, f), p->columns, p->columns_count, p->binary, out); }
    compose_end(out, mark);
}

/* Rows up to the Execute's limit, then what ends its answer. */
static void send_rows(struct session *s, struct portal *p)
{
    struct buf *out = session_out(s);
    bool binary = is_binary(p);
    struct frame f;
    uint32_t sent = 0;
    while ((p->most == 0 || sent < p->most) && frame_peek(buf_view(&p->rows), &f) == E_OK) {
        put_row(out, p, bytes_of(buf_view(&p->rows).ptr, f.size), binary);
        buf_consume(&p->rows, f.size);
        sent++;
    }
    if (buf_len(&p->rows) > 0) {
        compose_bare(out, 's');
    } else {
        buf_release(&p->rows);
        compose_complete(out, p->tag);
    }
}

static enum err take_execute(struct session *s, struct bytes body, struct fault *why)
{
    struct execute_msg m;
    enum err e = extended_read_execute(body, &m);
    if (e != E_OK) { return fault_set(why, e, "malformed Execute message"); }
    struct portal *p = find_portal(s, m.portal);
    if (p == NULL) {
        return fault_state(why, E_NOTFOUND, "34000", "portal \"%.60s\" does not exist", m.portal);
    }
    p->most = m.max_rows > INT32_MAX ? 0 : m.max_rows;
    if (p->command.count == 0) {
        compose_bare(session_out(s), 'I');
    } else if (p->tag != NULL) {
        if (p->columns == NULL) {
            return fault_state(why, E_REFUSED, "55000", "portal \"%.60s\" cannot be run", m.portal);
        }
        send_rows(s, p);
    } else {
        s->portal = p;
        admin_run(s, &p->command, p->text);
    }
    return E_OK;
}

void portal_complete(struct session *s, const char *tag)
{
    struct portal *p = s->portal;
    s->portal = NULL;
    p->tag = mem_strdup(tag);
    send_rows(s, p);
}

void portal_fail(struct session *s)
{
    struct portal *p = s->portal;
    s->portal = NULL;
    drop_portal(s, p);
    s->client->skip_to_sync = true;
}

struct buf *portal_rows(struct portal *p)
{
    return &p->rows;
}

void portal_take(struct session *s, uint8_t type, struct bytes body)
{
    struct fault why;
    enum err e = E_OK;
    switch (type) {
    case 'P': e = take_parse(s, body, &why); break;
    case 'B': e = take_bind(s, body, &why); break;
    case 'D': e = take_describe(s, body, &why); break;
    case 'E': e = take_execute(s, body, &why); break;
    default: e = take_close(s, body, &why); break;
    }
    if (e == E_OK) { return; }
    compose_fault(session_out(s), "ERROR", &why);
    s->client->skip_to_sync = true;
}
