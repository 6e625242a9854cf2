/* An empty source counts as a missing one: an empty user id must not pass for a user's. */
#include "settings/template.h"

#include <assert.h>

struct template template_compile(struct arena *memory, const char *text)
{
    struct template t = {0};
    struct bytes rest = bytes_str(arena_strdup(memory, text)), all = rest;
    struct source_part part;
    while (source_next(&rest, &part, NULL) == E_OK) { t.count++; }
    assert(rest.len == 0);
    t.parts = arena_array(memory, struct source_part, t.count);
    for (size_t i = 0; i < t.count; i++) {
        enum err e = source_next(&all, &t.parts[i], NULL);
        assert(e == E_OK);
        (void)e;
        t.uses_tags |= t.parts[i].kind == SOURCE_TAG;
    }
    return t;
}

static const char *startup_value(const struct identity_sources *from, struct bytes name)
{
    if (from->startup == NULL) { return NULL; }
    for (size_t i = 0; i < varset_count(from->startup); i++) {
        const struct varset_item *item = varset_at(from->startup, i);
        if (strlen(item->name) != name.len) { continue; }
        size_t at = 0;
        while (at < name.len) {
            uint8_t c = name.ptr[at];
            if (c >= 'A' && c <= 'Z') { c |= 0x20; }
            if ((uint8_t)item->name[at] != c) { break; }
            at++;
        }
        if (at == name.len) { return item->value; }
    }
    return NULL;
}

/* Appends what the source holds; nothing when it is missing. */
static void put_source(const struct source_part *part, const struct identity_sources *from,
                       const struct tags *tags, struct buf *out)
{
    const char *text = NULL;
    switch (part->kind) {
    case SOURCE_TEXT: buf_put_bytes(out, part->arg); break;
    case SOURCE_USER: text = from->user; break;
    case SOURCE_DATABASE: text = from->database; break;
    case SOURCE_CLIENT_ADDR: text = from->client_addr; break;
    case SOURCE_CLIENT_PORT:
        if (from->client_port > 0) { buf_printf(out, "%d", from->client_port); }
        break;
    case SOURCE_APPLICATION_NAME: text = from->application_name; break;
    case SOURCE_TLS_CN: text = from->tls_cn; break;
    case SOURCE_STARTUP: text = startup_value(from, part->arg); break;
    case SOURCE_TAG:
        if (!tags_get(tags, part->arg, out)) { return; }
        break;
    }
    buf_put_bytes(out, bytes_str(text));
}

bool template_fill(const struct template *t, const struct identity_sources *from,
                   const struct tags *tags, struct buf *out)
{
    bool complete = true;
    for (size_t i = 0; i < t->count; i++) {
        size_t before = buf_len(out);
        put_source(&t->parts[i], from, tags, out);
        if (buf_len(out) > before) { continue; }
        buf_put_bytes(out, t->parts[i].fallback);
        complete &= t->parts[i].has_fallback;
    }
    return complete;
}
