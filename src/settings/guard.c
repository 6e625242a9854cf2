/*
 * A protected setting is one that pgusher wrote for this caller: nothing the caller sends may
 * change it, or undo the transaction it was written in and then go on in the same text. What the
 * parser saw (statement.h) is judged by names; what it could not see (a body, a text too long to
 * parse) is refused when it so much as mentions the means, or could hide them.
 */
#include "settings/identity.h"

#include <string.h>
#include <strings.h>

#include "settings/scan.h"

static const char hint_row[] = "It is a row of [settings]: pgusher sets it for each caller.";
static const char hint_body[] = "Settings of [settings] are set by pgusher only; run this on a "
                                "direct connection.";

static enum err refuse_name(struct fault *why, const char *name)
{
    enum err e =
        fault_state(why, E_DENIED, "42501", "permission denied to change setting \"%.100s\"", name);
    fault_hint(why, "%s", hint_row);
    return e;
}

static enum err refuse(struct fault *why, const char *what)
{
    enum err e = fault_state(why, E_DENIED, "42501",
                             "permission denied: %s could change a protected setting", what);
    fault_hint(why, "%s", hint_body);
    return e;
}

static enum err guard_names(const struct identity *id, const struct statement *s,
                            const char *(*param)(void *arg, int n), void *arg, struct fault *why)
{
    for (uint32_t i = 0; i < s->settings_count; i++) {
        const struct stmt_setting *set = &s->settings[i];
        if (set->reads) { continue; }
        const char *name = set->name;
        if (name == NULL && set->name_param > 0 && param != NULL) {
            name = param(arg, set->name_param);
        }
        if (name == NULL) { return refuse(why, "a setting whose name is not known beforehand"); }
        if (identity_protects(id, name)) { return refuse_name(why, name); }
    }
    return E_OK;
}

/* Functions that run a text of SQL they are given. */
static bool runs_text(const char *name)
{
    static const char *const names[] = {
        "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
        "ts_stat",      "ts_rewrite",         "xpath_table",
        NULL,
    };
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcasecmp(names[i], name) == 0) { return true; }
    }
    return strncasecmp(name, "crosstab", strlen("crosstab")) == 0;
}

static enum err guard_functions(const struct statement *s, struct fault *why)
{
    for (uint32_t i = 0; i < s->functions_count; i++) {
        if (runs_text(s->functions[i].name)) {
            return refuse(why, "a function that runs a text of SQL");
        }
    }
    return E_OK;
}

/*
 * What a transaction wrote goes when it is rolled back, the protected settings included; the rest
 * of the text would then run with older ones. COMMIT of a failed transaction is such a rollback
 * too, which matters where the settings change from statement to statement.
 */
static bool ends_transaction(struct scan_token first, bool commit_too)
{
    if (scan_is(first, "rollback") || scan_is(first, "abort")) { return true; }
    return commit_too && (scan_is(first, "commit") || scan_is(first, "end"));
}

static enum err guard_order(const struct identity *id, const struct statement *s, struct bytes text,
                            struct fault *why)
{
    if (s->kind != STMT_MULTI && s->kind != STMT_UNKNOWN) { return E_OK; }
    if ((s->flags & STMT_RESETS_ALL) != 0 && (s->flags & STMT_RESETS_ALL_LAST) == 0) {
        return refuse(why, "RESET ALL or DISCARD ALL before other statements");
    }
    bool first = true, ended = false;
    while (true) {
        struct scan_token t = scan_next(&text);
        switch (t.kind) {
        case SCAN_END: return E_OK;
        case SCAN_DOUBT: return refuse(why, "a text that cannot be told apart");
        case SCAN_COMMENT: break;
        case SCAN_SEMICOLON: first = true; break;
        case SCAN_WORD:
        case SCAN_STRING:
        case SCAN_IDENT:
        case SCAN_OTHER:
            if (first && ended) {
                return refuse(why, "a statement behind the end of a transaction in one text");
            }
            if (first) { ended = ends_transaction(t, identity_uses_tags(id)); }
            first = false;
            break;
        }
    }
}

static bool mentions_any(struct bytes text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (scan_mentions(text, *words)) { return true; }
    }
    return false;
}

/*
 * Could a word be spelled so that scan_mentions() misses it? By U&"" and U&'', by \x, \u and octal
 * escapes in E'', by a string continued on the next line, or by a language that is not read here.
 */
static bool may_hide_words(struct bytes text)
{
    for (size_t i = 0; i + 2 < text.len; i++) {
        const uint8_t *p = text.ptr + i;
        if ((p[0] == 'U' || p[0] == 'u') && p[1] == '&' && (p[2] == '\'' || p[2] == '"')) {
            return true;
        }
        if (p[0] == '\\' && strchr("xuU01234567", p[1]) != NULL && p[1] != '\0') { return true; }
    }
    bool after_string = false, after_language = false;
    while (true) {
        struct scan_token t = scan_next(&text);
        if (t.kind == SCAN_END) { return false; }
        if (t.kind == SCAN_DOUBT || (after_string && t.kind == SCAN_STRING)) { return true; }
        if (t.kind == SCAN_COMMENT) { continue; }
        if (after_language) {
            struct scan_token word = {.kind = SCAN_WORD, .inside = t.inside};
            if (!scan_is(word, "sql") && !scan_is(word, "plpgsql")) { return true; }
        }
        after_string = t.kind == SCAN_STRING;
        after_language = scan_is(t, "language");
    }
}

/* Functions that run a text they are given: what is in it may be put together in many ways. */
static const char *const runners[] = {
    "ts_stat",     "ts_rewrite", "query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema",
    "xpath_table", "crosstab",   NULL,
};

static enum err guard_body(struct bytes text, struct fault *why)
{
    static const char *const words[] = {
        "set_config", "set", "reset", "execute", "discard", "rollback", NULL,
    };
    if (mentions_any(text, words) || mentions_any(text, runners)) {
        return refuse(why, "the body");
    }
    if (may_hide_words(text)) { return refuse(why, "a body that can hide what it does"); }
    return E_OK;
}

/* Statements that change settings only through a function they name. */
static bool is_query(struct scan_token first)
{
    static const char *const words[] = {"select", "insert", "update",  "delete", "merge", "with",
                                        "values", "table",  "explain", "copy",   "show",  NULL};
    if (first.kind == SCAN_OTHER) { return first.inside.ptr[0] == '('; }
    for (size_t i = 0; words[i] != NULL; i++) {
        if (scan_is(first, words[i])) { return true; }
    }
    return false;
}

static enum err guard_unparsed(struct bytes text, struct fault *why)
{
    static const char *const means[] = {
        "set_config",
        "pg_settings",
        NULL,
    };
    if (mentions_any(text, means) || mentions_any(text, runners)) {
        return refuse(why, "a text that was not parsed");
    }
    bool first = true;
    for (struct bytes rest = text;;) {
        struct scan_token t = scan_next(&rest);
        if (t.kind == SCAN_END) { return E_OK; }
        if (t.kind == SCAN_DOUBT) { return refuse(why, "a text that cannot be told apart"); }
        /* U&"..." can be any function's name */
        if (t.kind == SCAN_IDENT && t.unicode) { return refuse(why, "a text that was not parsed"); }
        if (t.kind == SCAN_COMMENT) { continue; }
        if (first && t.kind != SCAN_SEMICOLON && !is_query(t)) { return guard_body(text, why); }
        first = t.kind == SCAN_SEMICOLON;
    }
}

enum err identity_guard(const struct identity *id, const struct statement *s, struct bytes text,
                        const char *(*param)(void *arg, int n), void *arg, struct fault *why)
{
    if (id == NULL) { return E_OK; }
    enum err e = guard_names(id, s, param, arg, why);
    if (e == E_OK) { e = guard_functions(s, why); }
    bool transactions = (s->flags & (STMT_TRANSACTION | STMT_RESETS_ALL | STMT_ROLLS_BACK_TO)) != 0;
    if (e == E_OK && (transactions || s->kind == STMT_UNKNOWN)) {
        e = guard_order(id, s, text, why);
    }
    /* PREPARE hides its statement from EXECUTE only: its names were judged above */
    bool body = (s->flags & STMT_DYNAMIC_BODY) != 0 && s->kind != STMT_PREPARE;
    if (e == E_OK && body) { e = guard_body(text, why); }
    if (e == E_OK && s->kind == STMT_UNKNOWN) { e = guard_unparsed(text, why); }
    if (e == E_OK && s->kind == STMT_DDL && scan_mentions(text, "set_config")) {
        e = refuse(why, "a definition that calls set_config");
    }
    return e;
}
