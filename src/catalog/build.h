/*
 * Makes a catalog from facts given in any order; relations are named by OID, and a fact about an
 * OID that never turns up as a relation is left out. Control thread.
 */
#pragma once

#include "catalog/function.h"
#include "config/config.h"

struct build;

struct build *build_new(void);
void build_free(struct build **b);

void build_relation(struct build *b, uint32_t oid, const char *schema, const char *name, char kind,
                    char persistence, bool row_security);
/* A view reads that relation. */
void build_reads(struct build *b, uint32_t view, uint32_t relation);
/* A view's or materialized view's query; a reference is taken. */
void build_definition(struct build *b, uint32_t view, struct statement *definition);
void build_parent(struct build *b, uint32_t child, uint32_t parent);
/* A foreign key of `referencing` that changes it when `referenced` loses or changes a row. */
void build_cascade(struct build *b, uint32_t referenced, uint32_t referencing);
/* A policy that decides what SELECT sees: `SELECT expression`, parsed. A reference is taken. */
void build_policy(struct build *b, uint32_t relation, struct statement *expression);
void build_policy_reads(struct build *b, uint32_t relation, uint32_t other);
/* A column of it takes its default from a sequence, or is an identity. */
void build_sequence(struct build *b, uint32_t relation);
/* A rule other than a view's own. */
void build_rule(struct build *b, uint32_t relation);

/* What a relation makes the server call, beyond what texts show. */
enum build_when {
    BUILD_TRIGGER,  /* a user's trigger, on writing */
    BUILD_WRITE,    /* a default or check, on writing */
    BUILD_VIEW,     /* on reading a view: a user's function or operator */
    BUILD_POLICY,   /* on reading or writing under a policy: likewise */
    BUILD_COMPUTED, /* a user's function of its row type: t.f means f(t) */
};
void build_calls(struct build *b, uint32_t relation, enum build_when when, const char *function);

void build_builtin(struct build *b, const char *name, char volatility);
void build_function(struct build *b, const struct function_source *source);
/* A user's operator, cast or base type, and its function. */
void build_unnamed(struct build *b, const char *name, const char *language, char volatility);
/* A domain's check: `SELECT expression`, parsed. */
void build_domain(struct build *b, const char *name, struct statement *check);
/* Every column of that name is a time or a number. */
void build_time_column(struct build *b, const char *name);

/* version: of the content, rules left out; they are mixed in here. Frees the build. */
struct catalog *build_finish(struct build **b, const struct config *cfg, uint64_t version);
