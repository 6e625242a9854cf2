/*
 * Settings that a statement changed in a way that its text does not tell to the end: by
 * set_config(), in a text of several statements, by SET ROLE. Their names are noted; when the
 * transaction is over the server is asked for their values (pins.c), which are the client's to
 * carry from then on. A name that is not known pins the client for good.
 */
#include "base/mem.h"
#include "query/quote.h"
#include "request/request.h"

static bool is_plain_name(const char *name)
{
    if (name[0] == '\0') { return false; }
    for (; *name != '\0'; name++) {
        bool letter = (*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9');
        if (!letter && *name != '_' && *name != '.' && *name != '-' && *name != '$') {
            return false;
        }
    }
    return true;
}

/* What current_setting() does not tell, or cannot be set again as it tells. */
static bool is_odd(const char *name)
{
    return strcmp(name, "session_authorization") == 0 || strcmp(name, "seed") == 0;
}

static bool has_name(const struct buf *names, const char *name)
{
    struct bytes all = buf_view(names);
    for (size_t at = 0; at < all.len; at += strlen((const char *)all.ptr + at) + 1) {
        if (strcmp((const char *)all.ptr + at, name) == 0) { return true; }
    }
    return false;
}

static void note(struct request *r, const char *given)
{
    enum { NAMES_BYTES = 4096 };
    char *name = given == NULL ? NULL : mem_strdup(given);
    for (char *c = name; c != NULL && *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') { *c = (char)(*c - 'A' + 'a'); }
    }
    if (name == NULL || !is_plain_name(name) || is_odd(name) ||
        buf_len(&r->touched) + strlen(name) > NAMES_BYTES) {
        r->touched_unclear = true;
    } else if (!has_name(&r->touched, name)) {
        buf_put_str(&r->touched, name);
    }
    mem_free(&name);
}

void touched_note(struct request *r, const struct statement *s,
                  const char *(*param)(void *arg, int n), void *arg)
{
    bool early = (s->flags & STMT_RESETS_ALL) != 0 && (s->flags & STMT_RESETS_ALL_LAST) == 0;
    if (early) { r->touched_unclear = true; }
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *set = &s->settings[i];
        if (set->reads || set->local) { continue; }
        note(r, set->name_param == 0 ? set->name : param(arg, set->name_param));
    }
}

void touched_note_all(struct request *r, const struct varset *v)
{
    for (size_t i = 0; i < varset_count(v); i++) { note(r, varset_at(v, i)->name); }
}

void touched_forget(struct request *r)
{
    buf_clear(&r->touched);
    r->touched_unclear = false;
}

/* One row per name: the value, or NULL where it is what the session began with. A name without a
   row in pg_settings is one that the client made up, or the role. */
void touched_put_question(const struct request *r, struct buf *out)
{
    static const char before[] =
        "SELECT n, CASE WHEN s.source IS NULL OR s.source OPERATOR(pg_catalog.=) 'session' THEN "
        "pg_catalog.current_setting(n, true) END FROM pg_catalog.unnest(ARRAY[";
    static const char after[] =
        "]::pg_catalog.text[]) n LEFT JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) "
        "OPERATOR(pg_catalog.=) n";
    struct bytes all = buf_view(&r->touched);
    buf_put_bytes(out, BYTES(before));
    for (size_t at = 0; at < all.len; at += strlen((const char *)all.ptr + at) + 1) {
        if (at > 0) { buf_put_u8(out, ','); }
        quote_literal(out, bytes_str((const char *)all.ptr + at));
    }
    buf_put_bytes(out, BYTES(after));
}

void touched_hear(struct request *r, struct bytes name, struct bytes value)
{
    struct client *c = r->client;
    char *n = mem_strndup((const char *)name.ptr, name.len);
    char *v = value.ptr == NULL ? NULL : mem_strndup((const char *)value.ptr, value.len);
    bool began = varset_get(c->base, n) != NULL; /* then "none" is a choice */
    if (v != NULL && !began && strcmp(n, "role") == 0 && strcmp(v, "none") == 0) { mem_free(&v); }
    const struct varset *now = varset_ref(r->server->now);
    varset_put(&now, n, v != NULL ? v : varset_get(r->server->begun, n));
    server_settle(r->server, now);
    varset_unref(&now);
    /* RESET goes back to what the client gave at its start. */
    varset_put(&c->in_tx, n, v != NULL ? v : varset_get(c->base, n));
    varset_unref(&c->wanted);
    c->wanted = varset_ref(c->in_tx);
    mem_free(&n);
    mem_free(&v);
}
