/*
 * Two sorted sets side by side. The order of the statements matters in three places:
 *   - client_encoding says how the server reads the messages after it;
 *   - SET SESSION AUTHORIZATION undoes SET ROLE;
 *   - a setting that only the login user may change cannot be changed under another role.
 */
#include "settings/varset.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "query/guc.h"
#include "query/quote.h"

struct diff {
    struct buf *texts;
    struct settings_change change;
    const char *encoding; /* client_encoding that the values are in; NULL: the server's default */
};

/* What SET would cut: NAMEDATALEN - 1. */
enum { LONGEST_IDENTIFIER = 63 };

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text >= 0x80) { return false; }
    }
    return true;
}

/* A backslash may be the second byte of a character in SJIS, BIG5, GBK, UHC, GB18030 and JOHAB.
 * Of the encodings with other names only these are known to be free of that. */
static bool is_plain_encoding(const char *encoding)
{
    static const char *const plain[] = {"utf8",      "utf-8",  "unicode",
                                        "sql_ascii", "latin1", "latin9"};
    if (encoding == NULL) { return true; }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcasecmp(plain[i], encoding) == 0) { return true; }
    }
    return false;
}

static bool has_long_part(const char *name)
{
    while (true) {
        size_t len = strcspn(name, ".");
        if (len > LONGEST_IDENTIFIER) { return true; }
        if (name[len] == '\0') { return false; }
        name += len + 1;
    }
}

/* Would SET name TO 'value' take a list's value as it is? Only if it is one name that needs no
 * quotes. */
static bool is_one_plain_name(const char *value)
{
    struct buf quoted = {0};
    quote_ident_if_needed(&quoted, bytes_str(value));
    bool plain = value[0] != '\0' && bytes_equal(buf_view(&quoted), bytes_str(value));
    buf_done(&quoted);
    return plain;
}

static void put(struct diff *d, const char *text)
{
    buf_put_bytes(d->texts, bytes_str(text));
}

static void put_name(struct diff *d, const char *name)
{
    while (true) {
        size_t len = strcspn(name, ".");
        quote_ident(d->texts, bytes_of(name, len));
        if (name[len] == '\0') { return; }
        put(d, ".");
        name += len + 1;
    }
}

/* The text as an expression of ASCII characters only: the bytes in hex, read in the client's
 * encoding. */
static void put_decoded(struct diff *d, const char *text)
{
    put(d, "pg_catalog.convert_from(pg_catalog.decode('");
    for (; *text != '\0'; text++) { buf_printf(d->texts, "%02x", (unsigned char)*text); }
    put(d, "', 'hex'), ");
    quote_literal(d->texts, bytes_str(d->encoding));
    put(d, ")");
}

static void put_value(struct diff *d, const char *value)
{
    if (is_ascii(value) || is_plain_encoding(d->encoding)) {
        quote_literal(d->texts, bytes_str(value));
    } else {
        put_decoded(d, value);
    }
}

static void close_statement(struct diff *d)
{
    buf_put_u8(d->texts, 0);
    d->change.statements++;
}

/* value NULL: back to the default. */
static void put_call(struct diff *d, const char *name, const char *value)
{
    put(d, "SELECT pg_catalog.set_config(");
    put_value(d, name);
    put(d, ", ");
    if (value == NULL) {
        put(d, "NULL");
    } else {
        put_value(d, value);
    }
    put(d, ", false)");
    close_statement(d);
    d->change.snapshot = true;
}

static void set(struct diff *d, const char *name, const char *value)
{
    bool readable =
        is_plain_encoding(d->encoding) || (is_ascii(name) && (value == NULL || is_ascii(value)));
    if (!readable || has_long_part(name)) { return put_call(d, name, value); }
    if (value == NULL) {
        put(d, "RESET ");
        put_name(d, name);
        return close_statement(d);
    }
    if (guc_quotes_its_items(name) && !is_one_plain_name(value)) {
        return put_call(d, name, value);
    }
    put(d, "SET ");
    put_name(d, name);
    put(d, " TO ");
    quote_literal(d->texts, bytes_str(value));
    close_statement(d);
}

static bool differs(const char *have, const char *want, bool certain)
{
    if (have == NULL && want == NULL) { return false; }
    return !certain || have == NULL || want == NULL || strcmp(have, want) != 0;
}

static bool is_special(const char *name)
{
    return strcmp(name, "client_encoding") == 0 || strcmp(name, "role") == 0 ||
           strcmp(name, "session_authorization") == 0;
}

/* The settings that are neither special nor equal. d NULL: does one of them exist whose name has no
 * dot, so that the role may matter? */
static bool walk(struct diff *d, const struct varset *have, const struct varset *want, bool certain)
{
    size_t h = 0, w = 0;
    while (h < varset_count(have) || w < varset_count(want)) {
        const struct varset_item *a = h < varset_count(have) ? varset_at(have, h) : NULL;
        const struct varset_item *b = w < varset_count(want) ? varset_at(want, w) : NULL;
        int order = 1;
        if (a != NULL) { order = b == NULL ? -1 : strcmp(a->name, b->name); }
        if (order > 0) { a = NULL; }
        if (order < 0) { b = NULL; }
        h += a != NULL;
        w += b != NULL;
        assert(a != NULL || b != NULL);
        const char *name = a == NULL ? b->name : a->name, *value = b == NULL ? NULL : b->value;
        if (is_special(name) || !differs(a == NULL ? NULL : a->value, value, certain)) { continue; }
        if (d != NULL) {
            set(d, name, value);
        } else if (strchr(name, '.') == NULL) {
            return true;
        }
    }
    return false;
}

struct settings_change varset_diff(const struct varset *have, const struct varset *want,
                                   bool certain, struct buf *texts)
{
    struct diff d = {.texts = texts, .encoding = varset_get(want, "client_encoding")};
    if (have == want && certain) { return d.change; }
    if (differs(varset_get(have, "client_encoding"), d.encoding, certain)) {
        set(&d, "client_encoding", d.encoding);
    }
    const char *role_have = varset_get(have, "role"), *role = varset_get(want, "role");
    const char *user = varset_get(want, "session_authorization");
    bool user_differs = differs(varset_get(have, "session_authorization"), user, certain);
    bool leave_role = role_have != NULL && (user_differs || differs(role_have, role, certain) ||
                                            walk(NULL, have, want, certain));
    if (leave_role) { set(&d, "role", NULL); }
    if (user_differs) { set(&d, "session_authorization", user); }
    (void)walk(&d, have, want, certain);
    if (role != NULL && (leave_role || user_differs || differs(role_have, role, certain))) {
        set(&d, "role", role);
    }
    return d.change;
}
