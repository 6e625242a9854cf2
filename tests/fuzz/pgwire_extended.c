/*
 * The first byte chooses a reader, the rest is the body. What was read is written again under its
 * own name and must give the same bytes.
 */
#include <assert.h>

#include "pgwire/extended.h"
#include "pgwire/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct buf *out, struct bytes body)
{
    assert(buf_len(out) == body.len + FRAME_HEADER);
    assert(bytes_equal(bytes_skip(buf_view(out), FRAME_HEADER), body));
    buf_done(out);
}

static void read_bind(struct bytes body)
{
    struct bind_msg m;
    struct buf out = {0};
    if (extended_read_bind(body, &m) != E_OK) { return; }
    struct bind_walk w = {0};
    struct bytes value = {0};
    bool null = false;
    const uint8_t *before = m.params;
    while (extended_bind_next(&m, &w, &value, &null)) {
        assert(value.len <= body.len && (!null || value.len == 0));
        assert(w.at == before + 4 + value.len);
        before = w.at;
        int format = extended_bind_format(&m, w.n - 1);
        assert(format >= 0 && format <= UINT16_MAX);
    }
    assert(w.n == m.params_count && before + 2 == m.results);
    assert(m.results + (size_t)m.results_count * 2 == body.ptr + body.len);
    if (m.params_count > 0) {
        bool last_null = false;
        struct bytes last = extended_bind_param(&m, m.params_count - 1u, &last_null);
        assert(last_null == null && bytes_equal(last, value));
    }
    extended_put_bind(&out, m.portal, m.statement, m.rest);
    check_same(&out, body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) { return 0; }
    struct bytes body = bytes_of(data + 1, size - 1);
    struct buf out = {0};
    switch (data[0]) {
    case 'P': {
        struct parse_msg m;
        if (extended_read_parse(body, &m) != E_OK) { break; }
        extended_put_parse(&out, m.name, m.text, m.types, m.types_count);
        check_same(&out, body);
        break;
    }
    case 'B': read_bind(body); break;
    case 'D':
    case 'C': {
        struct target_msg m;
        if (extended_read_target(body, &m) != E_OK) { break; }
        extended_put_target(&out, data[0], m.kind, m.name);
        check_same(&out, body);
        break;
    }
    case 'E': {
        struct execute_msg m;
        if (extended_read_execute(body, &m) == E_OK) { assert(strlen(m.portal) + 5 == body.len); }
        break;
    }
    default: {
        struct bytes text;
        if (extended_read_query(body, &text) == E_OK) { assert(text.len + 1 == body.len); }
        break;
    }
    }
    return 0;
}
