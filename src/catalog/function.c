/*
 * Functions by name. For built-ins the volatility of pg_proc is the measure, corrected where it
 * says too little: a STABLE function may look at the server it runs on, the clock, or the session.
 * For users' functions the words of the body are searched: crude, and wrong only to the safe side,
 * because every way to change a session or a table has a word that gives it away.
 */
#include "catalog/function.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

/* list is sorted. */
static bool is_in(const char *name, const char *const *list, size_t count)
{
    return bsearch(name, list, count, sizeof *list, compare) != NULL;
}
#define IS_IN(name, list) is_in((name), (list), sizeof(list) / sizeof((list)[0]))

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* ---- built-ins */

/* STABLE only because output, input or text search settings decide, and those are in the key. */
static const char *const settings_only[] = {
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "length",
    "make_timestamptz",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
};

/* They run a text given as an argument, or whatever is in a table. */
static const char *const text_runners[] = {
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
};

/* STABLE within one server, but not the same on each: its address, its backends, its counters,
   transaction ids (which a replica cannot hand out). */
static bool tells_the_server(const char *name)
{
    return begins(name, "pg_") || begins(name, "txid_") || begins(name, "inet_");
}

struct call function_builtin(const char *name, char volatility)
{
    if (IS_IN(name, text_runners)) {
        return (struct call){.taints = true, .writes = true, .reads = true};
    }
    if (volatility == 'i') { return (struct call){.replica = true, .cacheable = true}; }
    if (volatility != 's') { return (struct call){0}; }
    return (struct call){.replica = !tells_the_server(name),
                         .cacheable = IS_IN(name, settings_only)};
}

/* ---- words */

static const char *skip_quoted(const char *at, char quote, bool escapes)
{
    for (at++; *at != '\0'; at++) {
        if (escapes && *at == '\\' && at[1] != '\0') {
            at++;
        } else if (*at == quote) {
            return at + 1;
        }
    }
    return at;
}

static const char *skip_comment(const char *at)
{
    int depth = 0;
    do {
        if (at[0] == '/' && at[1] == '*') {
            depth++;
            at += 2;
        } else if (at[0] == '*' && at[1] == '/') {
            depth--;
            at += 2;
        } else {
            at++;
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/*
 * "name", as it is; one spelled with escapes may be any: then a word that may do anything. Only the
 * quote is passed over: in a dollar-quoted text it may be no name, and what follows be code.
 */
static const char *take_quoted(const char *at, bool escapes, struct word *ret)
{
    size_t len = 0;
    at++;
    for (const char *c = at; *c != '\0' && len + 1 < sizeof ret->text; c++) {
        if (*c == '"' && *++c != '"') { break; }
        ret->text[len++] = *c;
    }
    ret->text[len] = '\0';
    if (escapes) { (void)strcpy(ret->text, "execute"); }
    return at;
}

/* A word; a $ belongs to it, but for that of the closing of the dollar-quoted text around it. */
static const char *take_plain(const char *at, const char *end, struct word *ret)
{
    size_t len = 0;
    for (; at != end && (is_word(*at) || *at == '$'); at++) {
        if (len + 1 < sizeof ret->text) { ret->text[len++] = (char)tolower((unsigned char)*at); }
    }
    ret->text[len] = '\0';
    return at;
}

/* After these a new statement begins. */
static bool opens(const char *word)
{
    static const char *const openers[] = {"atomic", "begin", "do", "else", "loop", "then"};
    return IS_IN(word, openers);
}

struct words words_of(const char *text)
{
    return (struct words){.at = text, .started = true};
}

/* The length of a dollar quote's opening or closing, as $$ or $tag$; 0: it is none. */
static size_t dollar_tag(const char *at)
{
    if (*at != '$' || isdigit((unsigned char)at[1])) { return 0; }
    size_t len = 1;
    while (is_word(at[len])) { len++; }
    return at[len] == '$' ? len + 1 : 0;
}

/* Where the text behind this opening ends. */
static const char *dollar_end(const char *at, size_t tag)
{
    for (const char *c = at + tag; *c != '\0'; c++) {
        if (*c == '$' && strncmp(c, at, tag) == 0) { return c; }
    }
    return at + strlen(at);
}

/* 'text' with escapes. */
static bool is_literal(const struct words *w, const char *at)
{
    return w->quoted == NULL && (*at == 'e' || *at == 'E') && at[1] == '\'';
}

/* What is no word, one thing at a time. */
static const char *pass_over(struct words *w, const char *at)
{
    if (w->quoted != NULL && at >= w->quoted) { /* its closing */
        w->quoted = NULL;
        w->started = true;
        return at + (*at == '\0' ? 0 : dollar_tag(at));
    }
    if (w->quoted == NULL) {
        size_t tag = dollar_tag(at);
        if (tag > 0) {
            w->quoted = dollar_end(at, tag);
            w->started = true;
            return at + tag;
        }
        if (at[0] == '-' && at[1] == '-') { return at + strcspn(at, "\n"); }
        if (at[0] == '/' && at[1] == '*') { return skip_comment(at); }
        if (*at == '\'') {
            w->started = false;
            return skip_quoted(at, '\'', false);
        }
        if (is_literal(w, at)) {
            w->started = false;
            return skip_quoted(at + 1, '\'', true);
        }
    }
    if (*at == ';' || *at == '>' || w->quoted != NULL) { /* also: after a label */
        w->started = true;
    } else if (!isspace((unsigned char)*at)) {
        w->started = false;
    }
    return at + 1;
}

bool function_next_word(struct words *w, struct word *ret)
{
    const char *at = w->at;
    for (;;) {
        bool closes = w->quoted != NULL && at >= w->quoted;
        if (*at == '\0') {
            w->at = at;
            return false;
        }
        if (!closes && (*at == 'u' || *at == 'U') && at[1] == '&' && at[2] == '"') {
            at = take_quoted(at + 2, true, ret);
            break;
        }
        if (!closes && *at == '"') {
            at = take_quoted(at, false, ret);
            w->started = false;
            if (ret->text[0] != '\0') { break; }
        } else if (!closes && is_word(*at) && !is_literal(w, at)) {
            at = take_plain(at, w->quoted, ret);
            break;
        } else {
            at = pass_over(w, at);
        }
    }
    ret->starts = w->started;
    w->started = opens(ret->text);
    w->at = at;
    return true;
}

/* ---- bodies */

/* Anywhere in a body, these may change the session, or run a text that does. */
static const char *const tainting[] = {
    "call",    "dblink_connect", "discard",    "execute", "listen", "load",      "pg_temp",
    "prepare", "reset",          "set_config", "setseed", "temp",   "temporary", "unlisten",
};

/* Anywhere in a body, these may write a table, or run a text that does. */
static const char *const writing[] = {
    "alter",   "call",   "copy",  "create",  "dblink_exec", "delete", "drop",
    "execute", "insert", "merge", "refresh", "truncate",    "update",
};

static const char *const sequence_functions[] = {"nextval", "setval"};

/* Their functions do what their documentation says; none changes a session or writes a table. */
static const char *const plain_extensions[] = {
    "bloom",         "btree_gin", "btree_gist", "citext",    "cube",    "earthdistance",
    "fuzzystrmatch", "hstore",    "intarray",   "ltree",     "pg_trgm", "pgcrypto",
    "postgis",       "seg",       "unaccent",   "uuid-ossp", "vector",
};

static struct body scan(const char *text, bool sql)
{
    struct body b = {.reads = true};
    struct word w;
    struct words words = words_of(text);
    while (function_next_word(&words, &w)) {
        bool set = strcmp(w.text, "set") == 0 && w.starts;
        if (IS_IN(w.text, text_runners)) {
            return (struct body){.taints = true, .writes = true, .reads = true};
        }
        if (set || IS_IN(w.text, tainting) || strstr(w.text, "advisory") != NULL) {
            b.taints = true;
        }
        /* SELECT ... INTO makes a table in SQL, and fills a variable in PL/pgSQL. */
        b.sequences = b.sequences || IS_IN(w.text, sequence_functions);
        if (IS_IN(w.text, writing) || (sql && strcmp(w.text, "into") == 0)) { b.writes = true; }
    }
    return b;
}

struct body function_body(const struct function_source *f)
{
    bool sql = strcmp(f->language, "sql") == 0;
    if (sql || strcmp(f->language, "plpgsql") == 0) { return scan(f->text, sql); }
    bool compiled = strcmp(f->language, "c") == 0 || strcmp(f->language, "internal") == 0;
    if (!compiled) { return (struct body){.taints = true, .writes = true, .reads = true}; }
    if (strcmp(f->name, "set_limit") == 0) {
        return (struct body){.taints = true};
    } /* of pg_trgm */
    if (IS_IN(f->extension, plain_extensions) || f->volatility != 'v') { return (struct body){0}; }
    return (struct body){.taints = true, .writes = true, .reads = true};
}
