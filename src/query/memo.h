/*
 * The memory of what texts are: by exact text, and by shape for texts that differ only in literals.
 * One per worker, no lock; bounded in entries and bytes, least recently used out first.
 * An entry also keeps, for the layer above, one opaque judgement per (catalog version, key).
 */
#pragma once

#include <stdint.h>

#include "query/statement.h"

struct memo;

/*
 * What the memo knows of one text, shared by all texts of its shape.
 * Valid until the next memo_find(); keep it with memo_hold().
 */
struct memo_entry {
    struct statement *statement;
    void *judgement;            /* owned by the entry; freed by the function given to memo_new() */
    uint64_t judgement_version; /* the caller's stamp of what the judgement was made from */
    uint64_t shape; /* hash of the literal-free text; 0 when the scanner would not say */
};

struct memo *memo_new(size_t max_entries, size_t max_bytes, size_t max_inspect_bytes,
                      void (*free_judgement)(void *judgement));
/* Entries that are held stay valid. */
void memo_free(struct memo **m);

/*
 * The entry of a text: found by text, else by shape, else parsed. Never fails.
 * A text longer than max_inspect_bytes gets a shared STMT_UNKNOWN entry and is not kept.
 */
struct memo_entry *memo_find(struct memo *m, struct bytes text);

/* Keeps an entry valid, on the memo's own thread, until it is dropped. */
struct memo_entry *memo_hold(struct memo_entry *e);
/* Gives back what memo_hold() returned; clears the pointer, NULL is fine. */
void memo_drop(struct memo_entry **e);

struct memo_stats {
    uint64_t text_hits, shape_hits, parses, evictions;
    size_t entries, bytes;
};
struct memo_stats memo_stats(const struct memo *m);
