/*
 * What is cast is harmless when it is no text: told from how it is computed, or, for a column, by
 * its name, which the catalog judges (statement.casts). A domain, or another type of a user's, may
 * be a time below.
 */
#include "query/moment.h"

#include <stdlib.h>

static int compare(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}
#define IS_IN(name, list)                                                                          \
    (bsearch((name), (list), sizeof(list) / sizeof *(list), sizeof *(list), compare) != NULL)

/* PostgreSQL's own that are no time, nor made of times. */
static const char *const timeless[] = {
    "bit",      "bool",    "box",      "bpchar", "bytea",  "char",      "cidr",     "circle",
    "float4",   "float8",  "inet",     "int2",   "int4",   "int4range", "int8",     "int8range",
    "interval", "json",    "jsonb",    "line",   "lseg",   "macaddr",   "macaddr8", "money",
    "name",     "numeric", "numrange", "oid",    "path",   "pg_lsn",    "point",    "polygon",
    "text",     "tsquery", "tsvector", "uuid",   "varbit", "varchar",   "xml",
};

/* Functions named as types. */
static const char *const casting[] = {"date", "time", "timestamp", "timestamptz", "timetz"};

/* Built-in functions whose result is a time, or nothing else than a time given to them. */
static const char *const making[] = {
    "date_bin", "date_trunc", "make_date", "make_time", "make_timestamp", "make_timestamptz",
    "max",      "min",        "timezone",  "to_date",   "to_timestamp",
};

static const char *text_of(const PgQuery__Node *n)
{
    return n->node_case == PG_QUERY__NODE__NODE_STRING ? n->string->sval : "";
}

static bool may_be_time(const PgQuery__TypeName *type)
{
    if (type == NULL || type->n_names == 0) { return true; }
    bool plain = type->n_names == 1 ||
                 (type->n_names == 2 && strcmp(text_of(type->names[0]), "pg_catalog") == 0);
    return !plain || !IS_IN(text_of(type->names[type->n_names - 1]), timeless);
}

static void note_doubt(struct walk *w)
{
    w->facts->flags |= STMT_TIME_LITERAL;
}

static void from_node(struct walk *w, const PgQuery__Node *node);

static void from_list(struct walk *w, PgQuery__Node *const *items, size_t count)
{
    for (size_t i = 0; i < count; i++) { from_node(w, items[i]); }
}

static void from_column(struct walk *w, const PgQuery__ColumnRef *column)
{
    const char *name = column->n_fields == 0 ? "" : text_of(column->fields[column->n_fields - 1]);
    facts_add_name(&w->facts->casts, NULL, name);
}

static void from_expression(struct walk *w, const PgQuery__AExpr *e)
{
    const char *name = e->n_name == 1 ? text_of(e->name[0]) : "";
    bool computes = e->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && name[0] != '\0' &&
                    strchr("+-*/", name[0]) != NULL && name[1] == '\0';
    if (!computes && e->kind != PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF) {
        note_doubt(w);
        return;
    }
    if (e->lexpr != NULL) { from_node(w, e->lexpr); }
    from_node(w, e->rexpr);
}

static void from_call(struct walk *w, const PgQuery__FuncCall *call)
{
    size_t last = call->n_funcname;
    const char *name = last == 0 ? "" : text_of(call->funcname[last - 1]);
    if (!IS_IN(name, making)) { note_doubt(w); }
    bool gives_back = strcmp(name, "max") == 0 || strcmp(name, "min") == 0;
    if (gives_back) { from_list(w, call->args, call->n_args); }
}

/* A cast to a time, below another, is looked at by itself. */
static void from_node(struct walk *w, const PgQuery__Node *node)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_A_CONST:
    case PG_QUERY__NODE__NODE_PARAM_REF:
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION: return;
    case PG_QUERY__NODE__NODE_TYPE_CAST:
        if (!may_be_time(node->type_cast->type_name)) { from_node(w, node->type_cast->arg); }
        return;
    case PG_QUERY__NODE__NODE_COLUMN_REF: from_column(w, node->column_ref); return;
    case PG_QUERY__NODE__NODE_A_EXPR: from_expression(w, node->a_expr); return;
    case PG_QUERY__NODE__NODE_FUNC_CALL: from_call(w, node->func_call); return;
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
        from_list(w, node->coalesce_expr->args, node->coalesce_expr->n_args);
        return;
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
        from_list(w, node->min_max_expr->args, node->min_max_expr->n_args);
        return;
    default: note_doubt(w); return;
    }
}

void moment_from_cast(struct walk *w, const PgQuery__TypeCast *cast)
{
    if (may_be_time(cast->type_name)) { from_node(w, cast->arg); }
}

void moment_from_call(struct walk *w, const char *name, const PgQuery__FuncCall *call)
{
    if (call->n_args == 1 && IS_IN(name, casting)) { from_node(w, call->args[0]); }
}

void moment_from_column(struct walk *w, const PgQuery__TypeName *type)
{
    if (type != NULL && may_be_time(type)) { note_doubt(w); }
}
