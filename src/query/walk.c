/*
 * The walk: a handler for each kind of node that means something, and the descriptors for the rest.
 * WITH names are scoped as PostgreSQL scopes them: taking a table for a WITH name would lose a
 * dependency of a cached answer.
 */
#include "query/walk.h"

#include "query/moment.h"
#include "query/setting.h"
#include "query/words.h"

enum { NAMES_LIMIT = 256 }; /* WITH names visible at one place; bounds the time of a lookup */

/* One WITH clause: names[0..visible) can be seen. Lives on the stack of the walk that opened it. */
struct scope {
    const struct scope *outer;
    const PgQuery__WithClause *with;
    size_t visible;
};

static bool is_with_name(const struct walk *w, const PgQuery__RangeVar *relation)
{
    if (relation->schemaname[0] != '\0' || relation->catalogname[0] != '\0') { return false; }
    for (const struct scope *at = w->scope; at != NULL; at = at->outer) {
        for (size_t i = 0; i < at->visible; i++) {
            const PgQuery__Node *cte = at->with->ctes[i];
            if (cte->node_case == PG_QUERY__NODE__NODE_COMMON_TABLE_EXPR &&
                strcmp(cte->common_table_expr->ctename, relation->relname) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool is_temp_schema(const char *schema)
{
    return strncmp(schema, "pg_temp", 7) == 0 && (schema[7] == '\0' || schema[7] == '_');
}

static void note_schema(struct walk *w, const char *schema)
{
    if (!is_temp_schema(schema)) { return; }
    w->facts->pins |= PIN_TEMP;
    w->temp_stays = true;
}

static void note_persistence(struct walk *w, const PgQuery__RangeVar *relation)
{
    note_schema(w, relation->schemaname);
    if (relation->relpersistence[0] == 't') {
        w->temp = true;
        w->facts->pins |= PIN_TEMP;
    }
}

void walk_target(struct walk *w, const PgQuery__RangeVar *relation)
{
    if (relation == NULL) { return; }
    note_persistence(w, relation);
    /* EXPLAIN without ANALYZE writes nothing, but its answer depends on the table. */
    struct name_list *to = w->plan_only ? &w->facts->reads : &w->facts->writes;
    facts_add_name(to, relation->schemaname, relation->relname);
    w->writes = true;
}

static void walk_field(struct walk *w, const char *message, const ProtobufCFieldDescriptor *field)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t count = *(const size_t *)(const void *)(message + field->quantifier_offset);
        const ProtobufCMessage *const *items =
            *(const ProtobufCMessage *const *const *)(const void *)(message + field->offset);
        for (size_t i = 0; i < count; i++) { walk_message(w, items[i]); }
        return;
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)(const void *)(message + field->quantifier_offset) != field->id) {
        return;
    }
    walk_message(w, *(const ProtobufCMessage *const *)(const void *)(message + field->offset));
}

/* Walks what is in a message, but for two fields that the caller deals with (NULL: none). */
static void walk_fields(struct walk *w, const ProtobufCMessage *message, const void *skip,
                        const void *skip_too)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;
    const char *start = (const char *)message;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &d->fields[i];
        const char *at = start + field->offset;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE && at != skip && at != skip_too) {
            walk_field(w, start, field);
        }
    }
}

/* The queries of a WITH clause, each seeing what it may; then the message that it belongs to. */
static void walk_with(struct walk *w, const ProtobufCMessage *message,
                      PgQuery__WithClause *const *with, const void *skip)
{
    const PgQuery__WithClause *clause = *with;
    if (clause == NULL) {
        walk_fields(w, message, skip, NULL);
        return;
    }
    if (w->names_in_scope + clause->n_ctes > NAMES_LIMIT) {
        w->too_many_names = true;
        return;
    }
    struct scope scope = {.outer = w->scope, .with = clause};
    w->scope = &scope;
    w->names_in_scope += (uint32_t)clause->n_ctes;
    for (size_t i = 0; i < clause->n_ctes; i++) {
        scope.visible = clause->recursive ? clause->n_ctes : i;
        walk_node(w, clause->ctes[i]);
    }
    scope.visible = clause->n_ctes;
    walk_fields(w, message, (const void *)with, skip);
    w->names_in_scope -= (uint32_t)clause->n_ctes;
    w->scope = scope.outer;
}

static void see_relation(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__RangeVar *relation = (const PgQuery__RangeVar *)m;
    note_persistence(w, relation);
    if (relation->alias != NULL) { walk_message(w, &relation->alias->base); }
    if (is_with_name(w, relation)) { return; }
    if (strcmp(relation->relname, "pg_prepared_statements") == 0) {
        w->facts->flags |= STMT_LISTS_NAMES;
    }
    facts_add_name(&w->facts->reads, relation->schemaname, relation->relname);
}

static void see_into(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__IntoClause *into = (const PgQuery__IntoClause *)m;
    walk_target(w, into->rel);
    if (into->rel != NULL && into->rel->relpersistence[0] == 't' &&
        into->on_commit != PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DROP) {
        w->temp_stays = true;
    }
    /* A new table can hide another of the same name. */
    if (!w->plan_only) { w->facts->flags |= STMT_WRITES_ALL; }
    walk_fields(w, m, (const void *)&into->rel, NULL);
}

static void see_select(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__SelectStmt *select = (const PgQuery__SelectStmt *)m;
    if (select->n_locking_clause > 0) {
        w->locks = true;
        w->facts->flags |= STMT_LOCKS_ROWS;
    }
    if ((select->limit_count != NULL || select->limit_offset != NULL) &&
        select->n_sort_clause == 0) {
        w->facts->flags |= STMT_LIMIT_UNORDERED;
    }
    walk_with(w, m, &select->with_clause, NULL);
}

static void see_insert(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__InsertStmt *insert = (const PgQuery__InsertStmt *)m;
    walk_target(w, insert->relation);
    walk_with(w, m, &insert->with_clause, (const void *)&insert->relation);
}

static void see_update(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__UpdateStmt *update = (const PgQuery__UpdateStmt *)m;
    walk_target(w, update->relation);
    if (update->relation != NULL && strcmp(update->relation->relname, "pg_settings") == 0) {
        facts_add_setting(w->facts, (struct stmt_setting){.by_function = true});
        w->facts->pins |= PIN_SETTING;
    }
    walk_with(w, m, &update->with_clause, (const void *)&update->relation);
}

static void see_delete(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__DeleteStmt *gone = (const PgQuery__DeleteStmt *)m;
    walk_target(w, gone->relation);
    walk_with(w, m, &gone->with_clause, (const void *)&gone->relation);
}

static void see_merge(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__MergeStmt *merge = (const PgQuery__MergeStmt *)m;
    walk_target(w, merge->relation);
    walk_with(w, m, &merge->with_clause, (const void *)&merge->relation);
}

/* FOR UPDATE OF names aliases, not tables. */
static void see_nothing(struct walk *w, const ProtobufCMessage *m)
{
    (void)w;
    (void)m;
}

static const char *string_at(PgQuery__Node *const *list, size_t count, size_t i)
{
    bool is_string = i < count && list[i]->node_case == PG_QUERY__NODE__NODE_STRING;
    return is_string ? list[i]->string->sval : "";
}

static const struct {
    const char *name;
    uint32_t pin;
} pinning_functions[] = {
    {"pg_advisory_lock", PIN_ADVISORY},
    {"pg_advisory_lock_shared", PIN_ADVISORY},
    {"pg_try_advisory_lock", PIN_ADVISORY},
    {"pg_try_advisory_lock_shared", PIN_ADVISORY},
    {"nextval", PIN_SEQUENCE},
    {"setval", PIN_SEQUENCE},
    {"setseed", PIN_SEED},
};

static bool is_reg_type(const char *name)
{
    static const char *const types[] = {"class",    "proc",       "procedure", "oper",
                                        "operator", "type",       "role",      "namespace",
                                        "config",   "dictionary", "collation"};
    if (strncmp(name, "reg", 3) != 0) { return false; }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(name + 3, types[i]) == 0) { return true; }
    }
    return false;
}

static void see_call(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__FuncCall *call = (const PgQuery__FuncCall *)m;
    size_t count = call->n_funcname;
    const char *name = count > 0 ? string_at(call->funcname, count, count - 1) : "";
    const char *schema = count > 1 ? string_at(call->funcname, count, count - 2) : "";
    facts_add_name(&w->facts->functions, schema, name);
    if (is_reg_type(name)) { w->facts->flags |= STMT_REG_CAST; }
    if (strcmp(name, "pg_prepared_statement") == 0) { w->facts->flags |= STMT_LISTS_NAMES; }
    if (!w->plan_only && (strcmp(name, "lastval") == 0 || strcmp(name, "currval") == 0)) {
        w->facts->flags |= STMT_OWN_SEQUENCE;
    }
    if (!w->plan_only && (strncmp(name, "pg_advisory_unlock", 18) == 0 ||
                          strncmp(name, "pg_try_advisory_lock", 20) == 0)) {
        w->facts->flags |= STMT_FREES;
    }
    if (!w->plan_only && strcmp(name, "pg_notify") == 0) { w->facts->flags |= STMT_NOTIFIES; }
    moment_from_call(w, name, call);
    note_schema(w, schema);
    if (!setting_from_call(w, schema, name, call) && !w->plan_only) {
        for (size_t i = 0; i < sizeof pinning_functions / sizeof pinning_functions[0]; i++) {
            if (strcmp(name, pinning_functions[i].name) == 0) {
                w->facts->pins |= pinning_functions[i].pin;
            }
        }
    }
    walk_fields(w, m, (const void *)&call->funcname, NULL);
}

static void see_type(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__TypeName *type = (const PgQuery__TypeName *)m;
    if (type->n_names > 0 &&
        is_reg_type(string_at(type->names, type->n_names, type->n_names - 1))) {
        w->facts->flags |= STMT_REG_CAST;
    }
    walk_fields(w, m, NULL, NULL);
}

static void see_cast(struct walk *w, const ProtobufCMessage *m)
{
    moment_from_cast(w, (const PgQuery__TypeCast *)m);
    walk_fields(w, m, NULL, NULL);
}

static void see_table_column(struct walk *w, const ProtobufCMessage *m)
{
    moment_from_column(w, ((const PgQuery__RangeTableFuncCol *)m)->type_name);
    walk_fields(w, m, NULL, NULL);
}

/* ---- names that columns get */

static void note_aliases(struct walk *w, PgQuery__Node *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        facts_add_name(&w->facts->aliases, NULL, string_at(names, count, i));
    }
}

static void see_alias(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__Alias *alias = (const PgQuery__Alias *)m;
    note_aliases(w, alias->colnames, alias->n_colnames);
    walk_fields(w, m, NULL, NULL);
}

static void see_target(struct walk *w, const ProtobufCMessage *m)
{
    const char *name = ((const PgQuery__ResTarget *)m)->name;
    if (w->inside > 0 && name[0] != '\0') { facts_add_name(&w->facts->aliases, NULL, name); }
    walk_fields(w, m, NULL, NULL);
}

static void see_inside(struct walk *w, const ProtobufCMessage *m)
{
    w->inside++;
    walk_fields(w, m, NULL, NULL);
    w->inside--;
}

static void see_with_query(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__CommonTableExpr *with = (const PgQuery__CommonTableExpr *)m;
    note_aliases(w, with->aliascolnames, with->n_aliascolnames);
    see_inside(w, m);
}

static void see_range_function(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__RangeFunction *function = (const PgQuery__RangeFunction *)m;
    w->facts->renames = true;
    for (size_t i = 0; i < function->n_coldeflist; i++) {
        const PgQuery__Node *column = function->coldeflist[i];
        if (column->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF) {
            moment_from_column(w, column->column_def->type_name);
        }
    }
    walk_fields(w, m, NULL, NULL);
}

static void see_constant(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__AConst *constant = (const PgQuery__AConst *)m;
    if (constant->val_case == PG_QUERY__A__CONST__VAL_SVAL &&
        word_moves_in_time(bytes_str(constant->sval->sval))) {
        w->facts->flags |= STMT_TIME_LITERAL;
    }
}

static void see_column(struct walk *w, const ProtobufCMessage *m)
{
    static const char *const system_columns[] = {"ctid", "xmin", "xmax",
                                                 "cmin", "cmax", "tableoid"};
    const PgQuery__ColumnRef *column = (const PgQuery__ColumnRef *)m;
    for (size_t i = 0; i < column->n_fields; i++) {
        const char *field = string_at(column->fields, column->n_fields, i);
        for (size_t s = 0; s < sizeof system_columns / sizeof system_columns[0]; s++) {
            if (strcmp(field, system_columns[s]) == 0) { w->facts->flags |= STMT_SYSTEM_COLUMN; }
        }
    }
    /* A function without brackets since PostgreSQL 16; a column to this parser. */
    if (column->n_fields == 1 && strcmp(string_at(column->fields, 1, 0), "system_user") == 0) {
        w->facts->flags |= STMT_USER;
    }
}

static void see_value_function(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__SQLValueFunction *function = (const PgQuery__SQLValueFunction *)m;
    bool time = function->op >= PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_DATE &&
                function->op <= PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_LOCALTIMESTAMP_N;
    w->facts->flags |= time ? STMT_TIME : STMT_USER;
}

static void see_param(struct walk *w, const ProtobufCMessage *m)
{
    (void)m;
    w->facts->flags |= STMT_HAS_PARAMS;
}

static void see_sample(struct walk *w, const ProtobufCMessage *m)
{
    w->facts->flags |= STMT_SAMPLE;
    walk_fields(w, m, NULL, NULL);
}

/* Names of objects that are no relations: functions, types, what is dropped. */
static void see_string(struct walk *w, const ProtobufCMessage *m)
{
    note_schema(w, ((const PgQuery__String *)m)->sval);
}

static void see_create_table(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__CreateStmt *create = (const PgQuery__CreateStmt *)m;
    if (create->relation != NULL && create->relation->relpersistence[0] == 't' &&
        create->oncommit != PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DROP) {
        w->temp_stays = true;
    }
    walk_fields(w, m, NULL, NULL);
}

/* Temporary views and sequences stay for the session. */
static void see_temp_stayer(struct walk *w, const ProtobufCMessage *m)
{
    const PgQuery__RangeVar *relation = m->descriptor == &pg_query__view_stmt__descriptor
                                            ? ((const PgQuery__ViewStmt *)m)->view
                                            : ((const PgQuery__CreateSeqStmt *)m)->sequence;
    if (relation != NULL && relation->relpersistence[0] == 't') { w->temp_stays = true; }
    walk_fields(w, m, NULL, NULL);
}

static void see_set(struct walk *w, const ProtobufCMessage *m)
{
    setting_from_set(w, (const PgQuery__VariableSetStmt *)m);
}

static void see_execute(struct walk *w, const ProtobufCMessage *m)
{
    w->writes = true;
    if (!w->plan_only) { w->facts->flags |= STMT_WRITES_ALL; }
    const char *name = ((const PgQuery__ExecuteStmt *)m)->name;
    facts_add_named(w->facts, (struct stmt_named){.what = NAMING_EXECUTE, .name = name});
    walk_fields(w, m, NULL, NULL);
}

static const struct {
    const ProtobufCMessageDescriptor *type;
    void (*see)(struct walk *w, const ProtobufCMessage *m);
} handlers[] = {
    {&pg_query__a__const__descriptor, see_constant},
    {&pg_query__column_ref__descriptor, see_column},
    {&pg_query__string__descriptor, see_string},
    {&pg_query__range_var__descriptor, see_relation},
    {&pg_query__select_stmt__descriptor, see_select},
    {&pg_query__func_call__descriptor, see_call},
    {&pg_query__type_name__descriptor, see_type},
    {&pg_query__type_cast__descriptor, see_cast},
    {&pg_query__range_table_func_col__descriptor, see_table_column},
    {&pg_query__alias__descriptor, see_alias},
    {&pg_query__res_target__descriptor, see_target},
    {&pg_query__range_subselect__descriptor, see_inside},
    {&pg_query__common_table_expr__descriptor, see_with_query},
    {&pg_query__range_function__descriptor, see_range_function},
    {&pg_query__param_ref__descriptor, see_param},
    {&pg_query__sqlvalue_function__descriptor, see_value_function},
    {&pg_query__insert_stmt__descriptor, see_insert},
    {&pg_query__update_stmt__descriptor, see_update},
    {&pg_query__delete_stmt__descriptor, see_delete},
    {&pg_query__merge_stmt__descriptor, see_merge},
    {&pg_query__into_clause__descriptor, see_into},
    {&pg_query__locking_clause__descriptor, see_nothing},
    {&pg_query__range_table_sample__descriptor, see_sample},
    {&pg_query__create_stmt__descriptor, see_create_table},
    {&pg_query__view_stmt__descriptor, see_temp_stayer},
    {&pg_query__create_seq_stmt__descriptor, see_temp_stayer},
    {&pg_query__variable_set_stmt__descriptor, see_set},
    {&pg_query__execute_stmt__descriptor, see_execute},
};

void walk_message(struct walk *w, const ProtobufCMessage *message)
{
    if (message == NULL || w->too_many_names) { return; }
    if (message->descriptor == &pg_query__node__descriptor) {
        /* The members of the union are all pointers to messages. */
        const PgQuery__Node *node = (const PgQuery__Node *)message;
        if (node->node_case == PG_QUERY__NODE__NODE__NOT_SET) { return; }
        message = (const ProtobufCMessage *)node->alias;
        if (message == NULL) { return; }
    }
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        if (message->descriptor == handlers[i].type) {
            handlers[i].see(w, message);
            return;
        }
    }
    walk_fields(w, message, NULL, NULL);
}
