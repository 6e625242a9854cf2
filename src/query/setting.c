/*
 * Settings are described as set_config() would take them, so that a value can be carried to another
 * server. What cannot be described so pins the session.
 */
#include "query/setting.h"

#include <stdio.h>

#include "base/buf.h"
#include "query/guc.h"
#include "query/quote.h"
#include "query/words.h"

static const PgQuery__AConst *constant_of(const PgQuery__Node *node)
{
    return node != NULL && node->node_case == PG_QUERY__NODE__NODE_A_CONST ? node->a_const : NULL;
}

/* Appends a constant as text; false for what is none. */
static bool put_constant(struct buf *out, const PgQuery__AConst *constant, bool as_identifier)
{
    if (constant == NULL || constant->isnull) { return false; }
    switch ((int)constant->val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL: buf_printf(out, "%d", constant->ival->ival); return true;
    case PG_QUERY__A__CONST__VAL_FVAL:
        buf_put_bytes(out, bytes_str(constant->fval->fval));
        return true;
    case PG_QUERY__A__CONST__VAL_BOOLVAL:
        buf_put_bytes(out, constant->boolval->boolval ? BYTES("true") : BYTES("false"));
        return true;
    case PG_QUERY__A__CONST__VAL_SVAL:
        if (as_identifier) {
            quote_ident_if_needed(out, bytes_str(constant->sval->sval));
        } else {
            buf_put_bytes(out, bytes_str(constant->sval->sval));
        }
        return true;
    default: return false;
    }
}

static const char *join_values(struct facts *f, const PgQuery__VariableSetStmt *set,
                               const char *name)
{
    struct buf joined = {0};
    bool as_identifiers = guc_quotes_its_items(name);
    const char *value = NULL;
    (void)buf_reserve(&joined, 1); /* an empty value is a view too */
    for (size_t i = 0; i < set->n_args; i++) {
        if (i > 0) { buf_put(&joined, ", ", 2); }
        if (!put_constant(&joined, constant_of(set->args[i]), as_identifiers)) { goto out; }
    }
    value = arena_strndup(&f->arena, (const char *)buf_view(&joined).ptr, buf_len(&joined));
out:
    buf_done(&joined);
    return value;
}

void setting_from_set(struct walk *w, const PgQuery__VariableSetStmt *set)
{
    struct facts *f = w->facts;
    if (set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI ||
        set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL) {
        return;
    }
    struct stmt_setting s = {.name = facts_lower(f, set->name), .local = set->is_local};
    bool described = true;
    switch ((int)set->kind) {
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE:
        s.value = join_values(f, set, s.name);
        s.list = set->n_args > 1;
        described = s.value != NULL;
        break;
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_DEFAULT:
    case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET: s.resets = true; break;
    default: /* FROM CURRENT, and what a later parser may add */ described = false; break;
    }
    /* These two decide what other statements may do, so nothing is guessed about their order. */
    if (!s.resets &&
        (strcmp(s.name, "role") == 0 || strcmp(s.name, "session_authorization") == 0)) {
        described = false;
    }
    if (!described && !s.local) { f->pins |= PIN_SETTING; }
    /* CREATE TABLE makes temporary tables when this schema comes first. */
    if (s.value != NULL && strcmp(s.name, "search_path") == 0 &&
        strstr(s.value, "pg_temp") != NULL) {
        f->pins |= PIN_TEMP;
        w->temp_stays = true;
    }
    facts_add_setting(f, s);
}

void setting_from_characteristics(struct walk *w, const PgQuery__VariableSetStmt *set)
{
    struct facts *f = w->facts;
    for (size_t i = 0; i < set->n_args; i++) {
        if (set->args[i]->node_case != PG_QUERY__NODE__NODE_DEF_ELEM) { continue; }
        const PgQuery__DefElem *option = set->args[i]->def_elem;
        const PgQuery__AConst *value = constant_of(option->arg);
        size_t size = sizeof "default_" + strlen(option->defname);
        char *name = arena_alloc(&f->arena, size);
        (void)snprintf(name, size, "default_%s", option->defname);
        struct stmt_setting s = {.name = name};
        if (value != NULL && value->val_case == PG_QUERY__A__CONST__VAL_SVAL) {
            s.value = value->sval->sval;
        } else if (value != NULL && value->val_case == PG_QUERY__A__CONST__VAL_IVAL) {
            s.value = value->ival->ival != 0 ? "on" : "off";
        }
        facts_add_setting(f, s);
    }
    f->pins |= PIN_SETTING;
}

/* An argument of a call: a constant, or a parameter, within any casts. */
struct argument {
    const PgQuery__AConst *constant;
    int param;
};

static struct argument argument_of(const PgQuery__Node *node)
{
    while (node != NULL && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
        node = node->type_cast->arg;
    }
    struct argument a = {.constant = constant_of(node)};
    if (node != NULL && node->node_case == PG_QUERY__NODE__NODE_PARAM_REF) {
        a.param = node->param_ref->number;
    }
    return a;
}

static const char *text_of(struct argument a)
{
    bool text = a.constant != NULL && a.constant->val_case == PG_QUERY__A__CONST__VAL_SVAL;
    return text ? a.constant->sval->sval : NULL;
}

/* Is a value a cast that may change its text, like '1.0'::int? */
static bool keeps_text(const PgQuery__Node *node)
{
    for (; node != NULL && node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST;
         node = node->type_cast->arg) {
        const PgQuery__TypeName *type = node->type_cast->type_name;
        if (type == NULL || type->n_names == 0 || type->n_array_bounds > 0) { return false; }
        const PgQuery__Node *last = type->names[type->n_names - 1];
        if (last->node_case != PG_QUERY__NODE__NODE_STRING ||
            strcmp(last->string->sval, "text") != 0) {
            return false;
        }
    }
    return true;
}

static bool is_true(struct argument a)
{
    if (a.constant != NULL && a.constant->val_case == PG_QUERY__A__CONST__VAL_BOOLVAL) {
        return a.constant->boolval->boolval;
    }
    const char *text = text_of(a);
    return text != NULL && (word_is(bytes_str(text), "t") || word_is(bytes_str(text), "true"));
}

/* Named and variadic arguments may come in any order. */
static bool is_positional(const PgQuery__FuncCall *call)
{
    for (size_t i = 0; i < call->n_args; i++) {
        if (call->args[i]->node_case == PG_QUERY__NODE__NODE_NAMED_ARG_EXPR) { return false; }
    }
    return !call->func_variadic;
}

static void name_from_argument(struct facts *f, struct stmt_setting *s, const PgQuery__Node *node)
{
    struct argument a = argument_of(node);
    const char *text = keeps_text(node) ? text_of(a) : NULL;
    if (text != NULL) { s->name = facts_lower(f, text); }
    s->name_param = keeps_text(node) ? a.param : 0;
}

static void set_config(struct walk *w, const char *schema, const PgQuery__FuncCall *call)
{
    struct facts *f = w->facts;
    struct stmt_setting s = {.by_function = true};
    bool builtin = schema[0] == '\0' || strcmp(schema, "pg_catalog") == 0;
    if (builtin && call->n_args == 3 && is_positional(call)) {
        const PgQuery__Node *value = call->args[1];
        name_from_argument(f, &s, call->args[0]);
        if (keeps_text(value)) {
            struct argument a = argument_of(value);
            s.value = text_of(a);
            s.value_param = a.param;
            s.resets = a.constant != NULL && a.constant->isnull;
        }
        s.local = is_true(argument_of(call->args[2]));
    }
    if (!s.local) { f->pins |= PIN_SETTING; }
    facts_add_setting(f, s);
}

bool setting_from_call(struct walk *w, const char *schema, const char *name,
                       const PgQuery__FuncCall *call)
{
    if (strcmp(name, "set_config") == 0) {
        if (!w->plan_only) { set_config(w, schema, call); }
        return true;
    }
    if (strcmp(name, "current_setting") == 0) {
        struct stmt_setting s = {.by_function = true, .reads = true};
        if (call->n_args > 0 && is_positional(call)) {
            name_from_argument(w->facts, &s, call->args[0]);
        }
        facts_add_setting(w->facts, s);
        return true;
    }
    return false;
}
