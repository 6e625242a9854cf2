/*
 * Walks a syntax tree and collects what it names. Nodes that need no care are walked by
 * protobuf-c's descriptors, so that an expression inside a node nobody thought of is still seen.
 * Private to query/.
 */
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include "query/facts.h"

struct scope; /* the WITH names that are visible */

struct walk {
    struct facts *facts;
    const struct scope *scope;
    uint32_t names_in_scope;
    uint32_t inside; /* sub-selects in FROM and WITH around */
    bool plan_only;  /* under EXPLAIN without ANALYZE: nothing is run */
    /* of the statement at hand: */
    bool writes, locks;
    bool temp, temp_stays; /* makes a temporary table; one that outlives the transaction */
    bool too_many_names;   /* gave up: the facts are not complete */
};

/* Walks a message of any type; NULL is fine. */
void walk_message(struct walk *w, const ProtobufCMessage *message);
/* Notes a relation as written. */
void walk_target(struct walk *w, const PgQuery__RangeVar *relation);

static inline void walk_node(struct walk *w, const PgQuery__Node *node)
{
    walk_message(w, node == NULL ? NULL : &node->base);
}
