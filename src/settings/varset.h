/*
 * An immutable set of settings, name to value, sorted by lower-case name. Sets are interned: equal
 * sets are one object, so comparing two is comparing pointers, and a thousand idle clients with the
 * same settings hold one. Any thread; reference counts are atomic.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/buf.h"

struct varset;

struct varset_item {
    const char *name; /* lower case, as PostgreSQL compares names */
    const char *value;
};

const struct varset *varset_empty(void); /* needs no unref, but allows it */
const struct varset *varset_ref(const struct varset *v);
void varset_unref(const struct varset **v);
size_t varset_count(const struct varset *v);
const struct varset_item *varset_at(const struct varset *v, size_t i);
/* The part of it that says how PostgreSQL reads a text. Lives as long as v does. */
const struct varset *varset_reading(const struct varset *v);
/* v, but with that part of another. One reference for the caller. */
const struct varset *varset_read_as(const struct varset *v, const struct varset *reading);
/* NULL when the set has no such name. */
const char *varset_get(const struct varset *v, const char *name);

/*
 * Edits: start from a set, change, build. An edit holds a reference to the set it started from and
 * copies only what it changes: one that changes nothing costs no allocation and no lock.
 */
struct varset_edit {
    const struct varset *from;
    struct varset_item *items; /* from's own until the first change */
    size_t count, room;
};
void varset_edit_begin(struct varset_edit *e, const struct varset *from);
/* Names in any case; NULL is no value: it removes. */
void varset_edit_set(struct varset_edit *e, const char *name, const char *value);
void varset_edit_remove(struct varset_edit *e, const char *name);
/* The value as edited so far, or NULL; valid until the next change. */
const char *varset_edit_get(const struct varset_edit *e, const char *name);
/* The interned set (one reference for the caller); the edit is empty afterwards. */
const struct varset *varset_edit_end(struct varset_edit *e);
void varset_edit_drop(struct varset_edit *e);
/* The slot's set with this value; its reference is exchanged. */
void varset_put(const struct varset **slot, const char *name, const char *value);

/*
 * The statements that bring a server from `have` to `want`: appended to texts, each closed by a
 * zero. SET "a"."b" TO 'value'   |  RESET "a"."b"   |  SELECT pg_catalog.set_config('search_path',
 * 'a, b', false) The last form only where SET would say something else: list settings whose SET
 * would quote the list as one name, names whose parts an identifier would cut, and values whose
 * bytes a quoted literal could not carry in the client's encoding. Each must be a message of its
 * own, in this order: client_encoding comes first, as it says how the server reads the next
 * message; then RESET of role, session_authorization, all others, role. certain = false: the server
 * may differ from `have`: every name of `want` is set again.
 */
struct settings_change {
    unsigned statements;
    bool snapshot; /* a SELECT is among them: it would precede SET TRANSACTION */
};
struct settings_change varset_diff(const struct varset *have, const struct varset *want,
                                   bool certain, struct buf *texts);
