/*
 * [settings]: values made of who the caller is, put on the server before anything the client runs.
 * A template is text with %{user} %{database} %{client_addr} %{client_port} %{application_name}
 * %{tls_cn} %{startup:NAME} %{tag:NAME}, each with an optional |default; a missing source without
 * default is the empty string, or a refusal when the row is required. An empty source is a missing
 * one. Of several rows for a name the narrowest scope wins, whole: a database's user, a database, a
 * user in any database, all.
 */
#pragma once

#include "base/bytes.h"
#include "base/fault.h"
#include "config/config.h"
#include "query/statement.h"
#include "settings/varset.h"

struct identity; /* the rows that apply to one database and user, compiled; immutable, refcounted */

/* NULL when no row applies. Owner: the caller. */
struct identity *identity_compile(const struct config *cfg, const char *database, const char *user);
struct identity *identity_ref(struct identity *id);
void identity_unref(struct identity **id);
bool identity_uses_tags(const struct identity *id);
/* Is this setting's name one of the rows' (any case)? */
bool identity_protects(const struct identity *id, const char *name);
/* Is %{startup:name} (any case) a source of some row? Then a client may give that startup
 * parameter. */
bool identity_reads_startup(const struct identity *id, const char *name);

struct identity_sources {
    const char *user, *database, *client_addr, *application_name, *tls_cn; /* NULL: missing */
    int client_port;
    const struct varset *startup; /* startup parameters and options */
    struct bytes text;            /* the statement, for tags (sqlcommenter); empty at login */
};

/*
 * Sets each row's value in the edit.
 * Errors: E_DENIED with SQLSTATE 28000 when a required source is missing. Rows that use tags are
 *         skipped when text is empty, required or not.
 */
MUST_USE enum err identity_apply(const struct identity *id, const struct identity_sources *from,
                                 struct varset_edit *edit, struct fault *why);

/*
 * May the client run this? Refused: SET, RESET, set_config() of a protected name, by constant or by
 * bound parameter, ALTER ROLE/SYSTEM/DATABASE SET of one, UPDATE pg_settings, a DO body or CREATE
 * FUNCTION that could do so, a text that was not parsed and could do so; and in a text of several
 * statements, RESET ALL, ROLLBACK or ROLLBACK TO (where tags are used also COMMIT) before the last:
 * it may take back protected settings, and the statements behind it would run without.
 * So: ask at Bind, where names may be bound; and put settings before a BEGIN, not behind it.
 * param: the text value of parameter n (1-based), or NULL when it is NULL, binary, or not known.
 * Errors: E_DENIED with SQLSTATE 42501.
 */
MUST_USE enum err identity_guard(const struct identity *id, const struct statement *s,
                                 struct bytes text, const char *(*param)(void *arg, int n),
                                 void *arg, struct fault *why);
