/* Readers and rewriters of the extended protocol's frontend messages, and of Query. */
#include "pgwire/extended.h"

#include "pgwire/compose.h"
#include "pgwire/cursor.h"

enum err extended_read_parse(struct bytes body, struct parse_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct parse_msg m = {0};
    m.name = cursor_str(&c);
    m.text = cursor_text(&c);
    m.types_count = cursor_u16(&c);
    m.types = cursor_take(&c, (size_t)m.types_count * 4).ptr;
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *ret = m;
    return E_OK;
}

/* One parameter: its length, -1 for NULL, and its bytes. */
static struct bytes read_param(struct cursor *c, bool *ret_null)
{
    uint32_t len = cursor_u32(c);
    *ret_null = len == UINT32_MAX;
    if (*ret_null) { return BYTES(""); }
    /* Any other negative length is over INT32_MAX here, which no body has left. */
    return cursor_take(c, len);
}

enum err extended_read_bind(struct bytes body, struct bind_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct bind_msg m = {0};
    m.portal = cursor_str(&c);
    m.statement = cursor_str(&c);
    m.rest = c.left;
    m.formats_count = cursor_u16(&c);
    m.formats = cursor_take(&c, (size_t)m.formats_count * 2).ptr;
    m.params_count = cursor_u16(&c);
    m.params = c.left.ptr;
    for (unsigned i = 0; i < m.params_count && !c.bad; i++) {
        bool null;
        (void)read_param(&c, &null);
    }
    m.results_count = cursor_u16(&c);
    m.results = cursor_take(&c, (size_t)m.results_count * 2).ptr;
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *ret = m;
    return E_OK;
}

bool extended_bind_next(const struct bind_msg *b, struct bind_walk *w, struct bytes *ret,
                        bool *ret_null)
{
    if (w->n >= b->params_count) { return false; }
    const uint8_t *end = b->rest.ptr + b->rest.len;
    const uint8_t *at = w->n == 0 ? b->params : w->at;
    struct cursor c = cursor_of(bytes_of(at, (size_t)(end - at)));
    *ret = read_param(&c, ret_null);
    w->at = c.left.ptr;
    w->n++;
    return true;
}

struct bytes extended_bind_param(const struct bind_msg *b, unsigned n, bool *ret_null)
{
    struct bind_walk w = {0};
    struct bytes value = BYTES("");
    *ret_null = true;
    if (n >= b->params_count) { return value; }
    for (unsigned i = 0; i <= n && extended_bind_next(b, &w, &value, ret_null); i++) {}
    return value;
}

int extended_bind_format(const struct bind_msg *b, unsigned n)
{
    if (b->formats_count == 1) { n = 0; }
    return n < b->formats_count ? get_u16(b->formats + (size_t)n * 2) : 0;
}

enum err extended_read_target(struct bytes body, struct target_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct target_msg m = {0};
    m.kind = cursor_u8(&c);
    m.name = cursor_str(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    if (m.kind != 'S' && m.kind != 'P') { return E_PROTOCOL; }
    *ret = m;
    return E_OK;
}

enum err extended_read_execute(struct bytes body, struct execute_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct execute_msg m = {0};
    m.portal = cursor_str(&c);
    m.max_rows = cursor_u32(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *ret = m;
    return E_OK;
}

enum err extended_read_query(struct bytes body, struct bytes *ret)
{
    struct cursor c = cursor_of(body);
    struct bytes text = cursor_text(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *ret = text;
    return E_OK;
}

void extended_put_parse(struct buf *out, const char *name, struct bytes text, const uint8_t *types,
                        uint16_t types_count)
{
    size_t mark = compose_begin(out, 'P');
    buf_put_str(out, name);
    buf_put_bytes(out, text);
    buf_put_u8(out, 0);
    buf_put_u16(out, types_count);
    buf_put(out, types, (size_t)types_count * 4);
    compose_end(out, mark);
}

void extended_put_bind(struct buf *out, const char *portal, const char *statement,
                       struct bytes rest)
{
    size_t mark = compose_begin(out, 'B');
    buf_put_str(out, portal);
    buf_put_str(out, statement);
    buf_put_bytes(out, rest);
    compose_end(out, mark);
}

void extended_put_execute(struct buf *out, const char *portal)
{
    size_t mark = compose_begin(out, 'E');
    buf_put_str(out, portal);
    buf_put_u32(out, 0);
    compose_end(out, mark);
}

void extended_put_target(struct buf *out, uint8_t type, uint8_t kind, const char *name)
{
    size_t mark = compose_begin(out, type);
    buf_put_u8(out, kind);
    buf_put_str(out, name);
    compose_end(out, mark);
}
