/* All facts of a statement as one line of text, so that a test can say what it expects in one
 * string. */
#pragma once

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "query/statement.h"

static const char *const told_kinds[] = {
    [STMT_EMPTY] = "EMPTY",
    [STMT_MULTI] = "MULTI",
    [STMT_UNKNOWN] = "UNKNOWN",
    [STMT_SELECT] = "SELECT",
    [STMT_MODIFY] = "MODIFY",
    [STMT_COPY_FROM] = "COPY_FROM",
    [STMT_COPY_TO] = "COPY_TO",
    [STMT_BEGIN] = "BEGIN",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_SAVEPOINT] = "SAVEPOINT",
    [STMT_RELEASE] = "RELEASE",
    [STMT_ROLLBACK_TO] = "ROLLBACK_TO",
    [STMT_PREPARE_TRANSACTION] = "PREPARE_TRANSACTION",
    [STMT_COMMIT_PREPARED] = "COMMIT_PREPARED",
    [STMT_SET] = "SET",
    [STMT_SET_LOCAL] = "SET_LOCAL",
    [STMT_SET_TRANSACTION] = "SET_TRANSACTION",
    [STMT_SET_CHARACTERISTICS] = "SET_CHARACTERISTICS",
    [STMT_RESET] = "RESET",
    [STMT_RESET_ALL] = "RESET_ALL",
    [STMT_SHOW] = "SHOW",
    [STMT_EXPLAIN] = "EXPLAIN",
    [STMT_PREPARE] = "PREPARE",
    [STMT_EXECUTE] = "EXECUTE",
    [STMT_DEALLOCATE] = "DEALLOCATE",
    [STMT_DISCARD_ALL] = "DISCARD_ALL",
    [STMT_DISCARD] = "DISCARD",
    [STMT_LISTEN] = "LISTEN",
    [STMT_UNLISTEN] = "UNLISTEN",
    [STMT_NOTIFY] = "NOTIFY",
    [STMT_DECLARE] = "DECLARE",
    [STMT_FETCH] = "FETCH",
    [STMT_LOCK] = "LOCK",
    [STMT_DO] = "DO",
    [STMT_CALL] = "CALL",
    [STMT_LOAD] = "LOAD",
    [STMT_DDL] = "DDL",
    [STMT_UTILITY] = "UTILITY",
};

static const char *const told_flags[] = {
    "reads_only",    "locks_rows",    "writes_all", "time",        "user",      "moving",
    "system_column", "sample",        "unordered",  "reg",         "fusible",   "params",
    "read_only",     "options",       "chain",      "transaction", "body",      "resets_all",
    "resets_last",   "rolls_back_to", "temp_drop",  "backslash",   "forgets",   "own_sequence",
    "frees",         "start",         "notifies",   "lists_names", "returning",
};

static const char *const told_namings[] = {
    [NAMING_PREPARE] = "prepare",
    [NAMING_EXECUTE] = "execute",
    [NAMING_DEALLOCATE] = "deallocate",
    [NAMING_FORGET] = "forget",
};

static const char *const told_pins[] = {
    "TEMP",     "HOLD",     "LISTEN", "PREPARE", "LOAD",
    "ADVISORY", "SEQUENCE", "SEED",   "SETTING", "UNKNOWN",
};

static inline void tell_bits(struct buf *out, uint32_t bits, const char *const *names)
{
    for (unsigned i = 0; i < 32; i++) {
        if ((bits >> i & 1) != 0) { buf_printf(out, " %s", names[i]); }
    }
}

static inline void tell_names(struct buf *out, const char *what, const struct stmt_name *names,
                              uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, " %s:", what);
        if (names[i].schema != NULL) { buf_printf(out, "%s.", names[i].schema); }
        buf_printf(out, "%s", names[i].name);
    }
}

static inline void tell_setting(struct buf *out, const struct stmt_setting *s)
{
    buf_printf(out, " {%s", s->reads ? "reads " : s->resets ? "resets " : "");
    if (s->local) { buf_printf(out, "local "); }
    if (s->by_function) { buf_printf(out, "called "); }
    if (s->list) { buf_printf(out, "list "); }
    if (s->name_param != 0) { buf_printf(out, "$%d", s->name_param); }
    buf_printf(out, "%s", s->name != NULL ? s->name : s->name_param != 0 ? "" : "?");
    if (s->value_param != 0) { buf_printf(out, "=$%d", s->value_param); }
    if (s->value != NULL) { buf_printf(out, "=%s", s->value); }
    buf_printf(out, "}");
}

static inline void tell_named(struct buf *out, const struct stmt_named *n)
{
    buf_printf(out, " [%s%s%s", told_namings[n->what], n->name == NULL ? "" : " ",
               n->name == NULL ? "" : n->name);
    if (n->start > 0) { buf_printf(out, " at %u", n->start); }
    if (n->len != UINT32_MAX) { buf_printf(out, " of %u", n->len); }
    buf_put_u8(out, ']');
}

/* KIND flags PINS reads:a writes:b calls:c casts:d {settings} [named] name'n'. The caller frees. */
static inline char *tell_statement(const struct statement *s)
{
    struct buf out = {0};
    buf_printf(&out, "%s", told_kinds[s->kind]);
    tell_bits(&out, s->flags, told_flags);
    tell_bits(&out, s->pins, told_pins);
    tell_names(&out, "reads", s->reads, s->reads_count);
    tell_names(&out, "writes", s->writes, s->writes_count);
    tell_names(&out, "calls", s->functions, s->functions_count);
    tell_names(&out, "casts", s->casts, s->casts_count);
    for (uint32_t i = 0; i < s->settings_count; i++) { tell_setting(&out, &s->settings[i]); }
    for (uint32_t i = 0; i < s->channels_count; i++) {
        const struct stmt_channel *c = &s->channels[i];
        buf_printf(&out, " %s:%s", c->listens ? "on" : "off", c->name == NULL ? "*" : c->name);
    }
    for (uint32_t i = 0; i < s->named_count; i++) { tell_named(&out, &s->named[i]); }
    if (s->name != NULL) { buf_printf(&out, " name'%s'", s->name); }
    char *text = mem_strdup(buf_text(&out));
    buf_done(&out);
    return text;
}

static inline char *tell_text(struct bytes text)
{
    struct statement *s = query_parse(text, SIZE_MAX);
    char *told = tell_statement(s);
    statement_unref(&s);
    return told;
}
