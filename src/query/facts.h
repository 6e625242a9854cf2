/*
 * A statement in the making: lists that grow while the tree is walked, whose strings point into the
 * tree or the arena, copied into one block at the end. Private to query/.
 */
#pragma once

#include "base/arena.h"
#include "query/statement.h"

struct name_list {
    struct stmt_name *items;
    uint32_t count, cap;
};

struct setting_list {
    struct stmt_setting *items;
    uint32_t count, cap;
};

struct named_list {
    struct stmt_named *items;
    uint32_t count, cap;
};

struct channel_list {
    struct stmt_channel *items;
    uint32_t count, cap;
};

struct facts {
    struct arena arena; /* strings that the tree does not hold */
    enum stmt_kind kind;
    uint32_t count, flags, pins;
    struct name_list reads, writes, functions, casts;
    struct name_list aliases; /* what sub-selects call their columns; not in the statement */
    bool renames;             /* columns have names that are nowhere in the text */
    struct setting_list settings;
    struct channel_list channels;
    struct named_list named;
    const char *name;
    struct bytes error;
};

/* Adds a name unless it is among the latest ones; an empty schema is none. */
void facts_add_name(struct name_list *list, const char *schema, const char *name);
/* Casts of columns that are not what their name says are doubtful. Once, at the end. */
void facts_check_casts(struct facts *f);
void facts_add_setting(struct facts *f, struct stmt_setting setting);
void facts_add_channel(struct facts *f, struct stmt_channel channel);
/* EXECUTE of a name counts once while no other than EXECUTE stands between. */
void facts_add_named(struct facts *f, struct stmt_named named);
/* A copy of the text in lower case, as PostgreSQL compares settings' names: ASCII only. */
const char *facts_lower(struct facts *f, const char *text);
/* Frees the lists. */
void facts_drop_lists(struct facts *f);
/* The statement in one block; the facts are freed. */
struct statement *facts_finish(struct facts *f);

/* What a statement takes, for the memo's books. */
size_t statement_size(const struct statement *s);
