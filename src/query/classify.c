/*
 * One case for each kind of statement that is special, and doubt for the rest: a statement that
 * nobody listed changes the catalog as far as we know.
 */
#include "query/classify.h"

#include "query/setting.h"
#include "query/walk.h"
#include "query/words.h"

enum { NAMED_MOST = 500 };          /* each is compared with all before it */
enum { CURSOR_WITH_HOLD = 0x0020 }; /* CURSOR_OPT_HOLD in PostgreSQL's parsenodes.h */

/* What one statement is; flags that hold for the whole text go to the facts at once. */
struct verdict {
    enum stmt_kind kind;
    bool reads_only, fusible;
    const char *name;
};

static const char *name_or_null(const char *name)
{
    return name == NULL || name[0] == '\0' ? NULL : name;
}

static struct verdict walked(struct walk *w, const PgQuery__Node *node, enum stmt_kind kind)
{
    walk_node(w, node);
    return (struct verdict){.kind = kind};
}

/* A change of the catalog, or what may be one. */
static struct verdict ddl(struct walk *w, const PgQuery__Node *node)
{
    w->facts->flags |= STMT_WRITES_ALL;
    return walked(w, node, STMT_DDL);
}

static struct verdict select_like(struct walk *w, const PgQuery__Node *node)
{
    walk_node(w, node);
    return (struct verdict){
        .kind = STMT_SELECT, .reads_only = !w->writes && !w->locks, .fusible = true};
}

static bool returns_rows(const PgQuery__Node *node)
{
    switch (node->node_case) {
    case PG_QUERY__NODE__NODE_INSERT_STMT: return node->insert_stmt->n_returning_list > 0;
    case PG_QUERY__NODE__NODE_UPDATE_STMT: return node->update_stmt->n_returning_list > 0;
    case PG_QUERY__NODE__NODE_DELETE_STMT: return node->delete_stmt->n_returning_list > 0;
    default: return false;
    }
}

static struct verdict modify(struct walk *w, const PgQuery__Node *node)
{
    walk_node(w, node);
    if (returns_rows(node)) { w->facts->flags |= STMT_RETURNING; }
    return (struct verdict){.kind = STMT_MODIFY, .fusible = true};
}

static struct verdict copy(struct walk *w, const PgQuery__Node *node)
{
    const PgQuery__CopyStmt *copy = node->copy_stmt;
    bool over_the_wire = !copy->is_program && copy->filename[0] == '\0';
    if (!copy->is_from) {
        walk_node(w, node);
        return (struct verdict){.kind = over_the_wire ? STMT_COPY_TO : STMT_UTILITY,
                                .reads_only = over_the_wire && !w->writes && !w->locks,
                                .fusible = true};
    }
    walk_target(w, copy->relation);
    walk_node(w, copy->where_clause);
    if (!over_the_wire) { w->facts->flags |= STMT_WRITES_ALL; }
    return (struct verdict){.kind = over_the_wire ? STMT_COPY_FROM : STMT_UTILITY, .fusible = true};
}

static struct verdict transaction(struct walk *w, const PgQuery__TransactionStmt *t)
{
    uint32_t *flags = &w->facts->flags;
    struct verdict v = {.kind = STMT_UTILITY,
                        .name = t->gid[0] != '\0' ? t->gid : t->savepoint_name};
    if (t->chain) { *flags |= STMT_CHAIN; }
    switch ((int)t->kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START:
        v.kind = STMT_BEGIN;
        if ((int)t->kind == PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START) {
            *flags |= STMT_BEGIN_START;
        }
        for (size_t i = 0; i < t->n_options; i++) {
            const PgQuery__Node *option = t->options[i];
            if (option->node_case != PG_QUERY__NODE__NODE_DEF_ELEM ||
                strcmp(option->def_elem->defname, "transaction_read_only") != 0) {
                *flags |= STMT_BEGIN_OPTIONS;
                continue;
            }
            const PgQuery__Node *arg = option->def_elem->arg;
            bool on = arg != NULL && arg->node_case == PG_QUERY__NODE__NODE_A_CONST &&
                      arg->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL &&
                      arg->a_const->ival->ival != 0;
            *flags &= ~(uint32_t)STMT_BEGIN_READ_ONLY; /* the last one counts */
            if (on) { *flags |= STMT_BEGIN_READ_ONLY; }
        }
        break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: v.kind = STMT_COMMIT; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK: v.kind = STMT_ROLLBACK; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT: v.kind = STMT_SAVEPOINT; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE: v.kind = STMT_RELEASE; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO:
        v.kind = STMT_ROLLBACK_TO;
        *flags |= STMT_ROLLS_BACK_TO;
        break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
        v.kind = STMT_PREPARE_TRANSACTION;
        break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED:
        v.kind = STMT_COMMIT_PREPARED;
        *flags |= STMT_WRITES_ALL; /* whatever that transaction wrote */
        break;
    default: *flags |= STMT_WRITES_ALL; break;
    }
    return v;
}

/* SET transaction_isolation = ... is another way to write SET TRANSACTION. */
static bool belongs_to_transaction(const char *name)
{
    struct bytes n = bytes_str(name);
    return word_is(n, "transaction_isolation") || word_is(n, "transaction_read_only") ||
           word_is(n, "transaction_deferrable");
}

static struct verdict set(struct walk *w, const PgQuery__VariableSetStmt *set)
{
    uint32_t first = w->facts->settings.count;
    setting_from_set(w, set);
    switch ((int)set->kind) {
    case PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI:
        if (strcmp(set->name, "SESSION CHARACTERISTICS") != 0) {
            return (struct verdict){.kind = STMT_SET_TRANSACTION};
        }
        setting_from_characteristics(w, set);
        return (struct verdict){.kind = STMT_SET_CHARACTERISTICS};
    case PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL:
        w->facts->flags |= STMT_RESETS_ALL;
        return (struct verdict){.kind = STMT_RESET_ALL};
    default: break;
    }
    if (belongs_to_transaction(set->name)) {
        w->facts->settings.items[first].local = true;
        return (struct verdict){.kind = STMT_SET_TRANSACTION};
    }
    if (set->is_local) { return (struct verdict){.kind = STMT_SET_LOCAL}; }
    bool reset = set->kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET;
    return (struct verdict){.kind = reset ? STMT_RESET : STMT_SET};
}

static struct verdict show(struct walk *w, const PgQuery__VariableShowStmt *show)
{
    facts_add_setting(
        w->facts, (struct stmt_setting){.name = facts_lower(w->facts, show->name), .reads = true});
    return (struct verdict){.kind = STMT_SHOW, .reads_only = true, .fusible = true};
}

static struct verdict discard(struct walk *w, const PgQuery__DiscardStmt *discard)
{
    switch ((int)discard->target) {
    case PG_QUERY__DISCARD_MODE__DISCARD_ALL:
        w->facts->flags |= STMT_RESETS_ALL | STMT_FORGETS;
        facts_add_named(w->facts, (struct stmt_named){.what = NAMING_FORGET});
        return (struct verdict){.kind = STMT_DISCARD_ALL, .name = "all"};
    case PG_QUERY__DISCARD_MODE__DISCARD_PLANS:
        return (struct verdict){.kind = STMT_DISCARD, .name = "plans"};
    case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES:
        return (struct verdict){.kind = STMT_DISCARD, .name = "sequences"};
    default:
        w->facts->flags |= STMT_FREES;
        return (struct verdict){.kind = STMT_DISCARD, .name = "temp"};
    }
}

static struct verdict prepare(struct walk *w, const PgQuery__PrepareStmt *prepare)
{
    struct facts *f = w->facts;
    uint32_t settings = f->settings.count, pins = f->pins;
    walk_node(w, prepare->query);
    if (w->writes || w->locks || f->settings.count != settings || f->pins != pins) {
        f->flags |= STMT_DYNAMIC_BODY;
    }
    facts_add_named(f, (struct stmt_named){.what = NAMING_PREPARE, .name = prepare->name});
    return (struct verdict){.kind = STMT_PREPARE, .name = prepare->name};
}

static struct verdict declare(struct walk *w, const PgQuery__DeclareCursorStmt *declare)
{
    walk_node(w, declare->query);
    if ((declare->options & CURSOR_WITH_HOLD) != 0) { w->facts->pins |= PIN_HOLD; }
    return (struct verdict){.kind = STMT_DECLARE, .name = declare->portalname};
}

static bool is_off(const PgQuery__Node *arg)
{
    if (arg == NULL) { return false; }
    if (arg->node_case == PG_QUERY__NODE__NODE_INTEGER) { return arg->integer->ival == 0; }
    if (arg->node_case != PG_QUERY__NODE__NODE_STRING) { return false; }
    struct bytes text = bytes_str(arg->string->sval);
    return word_is(text, "off") || word_is(text, "false");
}

/* Any ANALYZE that is not plainly off counts. */
static bool runs_its_query(const PgQuery__ExplainStmt *explain)
{
    for (size_t i = 0; i < explain->n_options; i++) {
        const PgQuery__Node *option = explain->options[i];
        if (option->node_case == PG_QUERY__NODE__NODE_DEF_ELEM &&
            strcmp(option->def_elem->defname, "analyze") == 0 && !is_off(option->def_elem->arg)) {
            return true;
        }
    }
    return false;
}

static struct verdict statement(struct walk *w, const PgQuery__Node *node);

static struct verdict explain(struct walk *w, const PgQuery__ExplainStmt *explain)
{
    struct verdict v = {.kind = STMT_EXPLAIN, .fusible = true};
    if (!runs_its_query(explain)) {
        w->plan_only = true;
        walk_node(w, explain->query);
        w->plan_only = false;
        v.reads_only = explain->query != NULL &&
                       explain->query->node_case == PG_QUERY__NODE__NODE_SELECT_STMT &&
                       !w->writes && !w->locks;
        return v;
    }
    struct verdict inner = statement(w, explain->query);
    v.reads_only = inner.reads_only;
    v.fusible = inner.kind == STMT_SELECT || inner.kind == STMT_MODIFY;
    return v;
}

static struct verdict body(struct walk *w, const PgQuery__Node *node, enum stmt_kind kind)
{
    w->facts->flags |= STMT_WRITES_ALL | STMT_DYNAMIC_BODY;
    return walked(w, node, kind);
}

static struct verdict truncate(struct walk *w, const PgQuery__TruncateStmt *truncate)
{
    for (size_t i = 0; i < truncate->n_relations; i++) {
        if (truncate->relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR) {
            walk_target(w, truncate->relations[i]->range_var);
        }
    }
    w->facts->flags |= STMT_WRITES_ALL;
    return (struct verdict){.kind = STMT_DDL};
}

static struct verdict deallocate(struct walk *w, const PgQuery__DeallocateStmt *deallocate)
{
    const char *name = name_or_null(deallocate->name);
    if (name == NULL) { w->facts->flags |= STMT_FORGETS; }
    facts_add_named(w->facts,
                    (struct stmt_named){.what = name == NULL ? NAMING_FORGET : NAMING_DEALLOCATE,
                                        .name = name});
    return (struct verdict){.kind = STMT_DEALLOCATE, .name = name};
}

/* Statements with a name and an effect on the session, none on tables. */
static struct verdict session(struct walk *w, const PgQuery__Node *node)
{
    switch ((int)node->node_case) {
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT: return deallocate(w, node->deallocate_stmt);
    case PG_QUERY__NODE__NODE_LISTEN_STMT:
        facts_add_channel(w->facts, (struct stmt_channel){.name = node->listen_stmt->conditionname,
                                                          .listens = true});
        return (struct verdict){.kind = STMT_LISTEN, .name = node->listen_stmt->conditionname};
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT:
        facts_add_channel(w->facts, (struct stmt_channel){
                                        .name = name_or_null(node->unlisten_stmt->conditionname)});
        return (struct verdict){.kind = STMT_UNLISTEN, .name = node->unlisten_stmt->conditionname};
    case PG_QUERY__NODE__NODE_NOTIFY_STMT:
        w->facts->flags |= STMT_NOTIFIES;
        return (struct verdict){.kind = STMT_NOTIFY, .name = node->notify_stmt->conditionname};
    case PG_QUERY__NODE__NODE_FETCH_STMT:
        return (struct verdict){.kind = STMT_FETCH, .name = node->fetch_stmt->portalname};
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
        w->facts->flags |= STMT_FREES;
        return (struct verdict){.kind = STMT_FETCH, .name = node->close_portal_stmt->portalname};
    default: /* LOAD */
        w->facts->pins |= PIN_LOAD;
        return (struct verdict){.kind = STMT_LOAD, .name = node->load_stmt->filename};
    }
}

static struct verdict statement(struct walk *w, const PgQuery__Node *node)
{
    struct verdict v;
    switch (node == NULL ? 0 : (int)node->node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT: return select_like(w, node);
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
    case PG_QUERY__NODE__NODE_MERGE_STMT: return modify(w, node);
    case PG_QUERY__NODE__NODE_COPY_STMT: return copy(w, node);
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return transaction(w, node->transaction_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return set(w, node->variable_set_stmt);
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
        return (struct verdict){.kind = STMT_SET_TRANSACTION};
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT: return show(w, node->variable_show_stmt);
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: return explain(w, node->explain_stmt);
    case PG_QUERY__NODE__NODE_PREPARE_STMT: return prepare(w, node->prepare_stmt);
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
        v = walked(w, node, STMT_EXECUTE);
        v.name = node->execute_stmt->name;
        return v;
    case PG_QUERY__NODE__NODE_DISCARD_STMT: return discard(w, node->discard_stmt);
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: return declare(w, node->declare_cursor_stmt);
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT:
    case PG_QUERY__NODE__NODE_LISTEN_STMT:
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT:
    case PG_QUERY__NODE__NODE_NOTIFY_STMT:
    case PG_QUERY__NODE__NODE_FETCH_STMT:
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
    case PG_QUERY__NODE__NODE_LOAD_STMT: return session(w, node);
    case PG_QUERY__NODE__NODE_LOCK_STMT: return walked(w, node, STMT_LOCK);
    case PG_QUERY__NODE__NODE_DO_STMT: w->facts->pins |= PIN_UNKNOWN; return body(w, node, STMT_DO);
    case PG_QUERY__NODE__NODE_CALL_STMT:
        w->facts->pins |= PIN_UNKNOWN;
        w->facts->flags |= STMT_WRITES_ALL;
        return walked(w, node, STMT_CALL);
    case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT: return body(w, node, STMT_DDL);
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT: return truncate(w, node->truncate_stmt);
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT:
        walk_target(w, node->refresh_mat_view_stmt->relation);
        w->facts->flags |= STMT_WRITES_ALL;
        return (struct verdict){.kind = STMT_DDL};
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
    case PG_QUERY__NODE__NODE_CHECK_POINT_STMT: return walked(w, node, STMT_UTILITY);
    case PG_QUERY__NODE__NODE_DROP_STMT:
    case PG_QUERY__NODE__NODE_DROP_OWNED_STMT: w->facts->flags |= STMT_FREES; return ddl(w, node);
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
    case 0: w->facts->flags |= STMT_WRITES_ALL; return walked(w, node, STMT_UTILITY);
    default: return ddl(w, node);
    }
}

/* In a text of several statements, a change of settings is not followed one by one. */
static bool changes_session(enum stmt_kind kind, bool last)
{
    return kind == STMT_SET || kind == STMT_RESET || kind == STMT_SET_CHARACTERISTICS ||
           (!last && (kind == STMT_RESET_ALL || kind == STMT_DISCARD_ALL));
}

/* Where it stands in the text; a length of 0 is the parser's word for all that is left. */
static void note_place(struct facts *f, uint32_t first, const PgQuery__RawStmt *raw)
{
    for (uint32_t i = first; i < f->named.count; i++) {
        f->named.items[i].start = (uint32_t)raw->stmt_location;
        f->named.items[i].len = raw->stmt_len > 0 ? (uint32_t)raw->stmt_len : UINT32_MAX;
    }
}

bool classify(struct facts *f, const PgQuery__ParseResult *tree)
{
    struct walk w = {.facts = f};
    bool reads_only = true, fusible = true, temp = false, temp_stays = false;
    bool transaction_inside = false, changes = false, resets_early = false, resets_last = false;
    for (size_t i = 0; i < tree->n_stmts; i++) {
        bool last = i + 1 == tree->n_stmts;
        w.writes = w.locks = w.temp = w.temp_stays = false;
        uint32_t named = f->named.count;
        struct verdict v = statement(&w, tree->stmts[i]->stmt);
        note_place(f, named, tree->stmts[i]);
        reads_only = reads_only && v.reads_only;
        fusible = fusible && v.fusible;
        temp = temp || w.temp;
        temp_stays = temp_stays || w.temp_stays;
        transaction_inside |= v.kind >= STMT_BEGIN && v.kind <= STMT_COMMIT_PREPARED;
        changes = changes || changes_session(v.kind, last);
        bool resets = v.kind == STMT_RESET_ALL || v.kind == STMT_DISCARD_ALL;
        resets_early = resets_early || (resets && !last);
        resets_last = resets;
        f->kind = v.kind;
        f->name = name_or_null(v.name);
    }
    if (w.too_many_names || f->named.count > NAMED_MOST) { return false; }
    facts_check_casts(f);
    f->count = (uint32_t)tree->n_stmts;
    if (f->count == 0) {
        f->kind = STMT_EMPTY;
        return true;
    }
    if (reads_only) { f->flags |= STMT_READS_ONLY; }
    if (fusible) { f->flags |= STMT_FUSIBLE; }
    if (temp && !temp_stays) { f->flags |= STMT_TEMP_DROP; }
    if (resets_last && !resets_early) { f->flags |= STMT_RESETS_ALL_LAST; }
    if (f->count > 1) {
        f->kind = STMT_MULTI;
        f->name = NULL;
        if (transaction_inside) { f->flags |= STMT_TRANSACTION; }
        if (changes) { f->pins |= PIN_SETTING; }
    }
    return true;
}
