/* Quotes are doubled; everything else is left alone. */
#include "query/quote.h"

#include <stdlib.h>

static void put_doubled(struct buf *out, struct bytes text, char quote, bool double_backslash)
{
    uint8_t *to = buf_reserve(out, text.len * 2 + 4);
    size_t len = 0;
    to[len++] = (uint8_t)quote;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (c == (uint8_t)quote || (c == '\\' && double_backslash)) { to[len++] = c; }
        to[len++] = c;
    }
    to[len++] = (uint8_t)quote;
    out->end += len;
}

void quote_literal(struct buf *out, struct bytes text)
{
    bool escaped = text.len > 0 && memchr(text.ptr, '\\', text.len) != NULL;
    /* The space keeps the E from joining a word before it. */
    if (escaped) { buf_put(out, " E", 2); }
    put_doubled(out, text, '\'', escaped);
}

void quote_ident(struct buf *out, struct bytes text)
{
    put_doubled(out, text, '"', false);
}

/*
 * PostgreSQL's keywords that are not unreserved, sorted. Manual: "SQL Key Words". A word of a later
 * release that is missing here only costs a pair of quotes in the wrong place of an output.
 */
static const char *const keywords[] = {"all",
                                       "analyse",
                                       "analyze",
                                       "and",
                                       "any",
                                       "array",
                                       "as",
                                       "asc",
                                       "asymmetric",
                                       "authorization",
                                       "between",
                                       "bigint",
                                       "binary",
                                       "bit",
                                       "boolean",
                                       "both",
                                       "case",
                                       "cast",
                                       "char",
                                       "character",
                                       "check",
                                       "coalesce",
                                       "collate",
                                       "collation",
                                       "column",
                                       "concurrently",
                                       "constraint",
                                       "create",
                                       "cross",
                                       "current_catalog",
                                       "current_date",
                                       "current_role",
                                       "current_schema",
                                       "current_time",
                                       "current_timestamp",
                                       "current_user",
                                       "dec",
                                       "decimal",
                                       "default",
                                       "deferrable",
                                       "desc",
                                       "distinct",
                                       "do",
                                       "else",
                                       "end",
                                       "except",
                                       "exists",
                                       "extract",
                                       "false",
                                       "fetch",
                                       "float",
                                       "for",
                                       "foreign",
                                       "freeze",
                                       "from",
                                       "full",
                                       "grant",
                                       "greatest",
                                       "group",
                                       "grouping",
                                       "having",
                                       "ilike",
                                       "in",
                                       "initially",
                                       "inner",
                                       "inout",
                                       "int",
                                       "integer",
                                       "intersect",
                                       "interval",
                                       "into",
                                       "is",
                                       "isnull",
                                       "join",
                                       "json",
                                       "json_array",
                                       "json_arrayagg",
                                       "json_exists",
                                       "json_object",
                                       "json_objectagg",
                                       "json_query",
                                       "json_scalar",
                                       "json_serialize",
                                       "json_table",
                                       "json_value",
                                       "lateral",
                                       "leading",
                                       "least",
                                       "left",
                                       "like",
                                       "limit",
                                       "localtime",
                                       "localtimestamp",
                                       "merge_action",
                                       "national",
                                       "natural",
                                       "nchar",
                                       "none",
                                       "normalize",
                                       "not",
                                       "notnull",
                                       "null",
                                       "nullif",
                                       "numeric",
                                       "offset",
                                       "on",
                                       "only",
                                       "or",
                                       "order",
                                       "out",
                                       "outer",
                                       "overlaps",
                                       "overlay",
                                       "placing",
                                       "position",
                                       "precision",
                                       "primary",
                                       "real",
                                       "references",
                                       "returning",
                                       "right",
                                       "row",
                                       "select",
                                       "session_user",
                                       "setof",
                                       "similar",
                                       "smallint",
                                       "some",
                                       "substring",
                                       "symmetric",
                                       "system_user",
                                       "table",
                                       "tablesample",
                                       "then",
                                       "time",
                                       "timestamp",
                                       "to",
                                       "trailing",
                                       "treat",
                                       "trim",
                                       "true",
                                       "union",
                                       "unique",
                                       "user",
                                       "using",
                                       "values",
                                       "varchar",
                                       "variadic",
                                       "verbose",
                                       "when",
                                       "where",
                                       "window",
                                       "with",
                                       "xmlattributes",
                                       "xmlconcat",
                                       "xmlelement",
                                       "xmlexists",
                                       "xmlforest",
                                       "xmlnamespaces",
                                       "xmlparse",
                                       "xmlpi",
                                       "xmlroot",
                                       "xmlserialize",
                                       "xmltable"};

static int compare_word(const void *key, const void *entry)
{
    const struct bytes *word = key;
    const char *keyword = *(const char *const *)entry;
    int order = strncmp((const char *)word->ptr, keyword, word->len);
    return order != 0 ? order : -(int)(unsigned char)keyword[word->len];
}

static bool is_plain(struct bytes text)
{
    if (text.len == 0 || (text.ptr[0] >= '0' && text.ptr[0] <= '9')) { return false; }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) { return false; }
    }
    return bsearch(&text, keywords, sizeof keywords / sizeof keywords[0], sizeof keywords[0],
                   compare_word) == NULL;
}

void quote_ident_if_needed(struct buf *out, struct bytes text)
{
    if (is_plain(text)) {
        buf_put_bytes(out, text);
    } else {
        quote_ident(out, text);
    }
}
