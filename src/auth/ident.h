/*
 * auth_ident_file: which system user (of a unix socket, or of a certificate) may log in as which
 * database user. Immutable after load. Source: PostgreSQL manual, "User Name Maps".
 */
#pragma once

#include "base/bytes.h"
#include "base/fault.h"

struct ident;

/* Errors: E_CONFIG with "FILE:LINE: ...", name standing for the file. */
MUST_USE enum err ident_parse(struct bytes text, const char *name, struct ident **ret,
                              struct fault *why);
void ident_free(struct ident **i);

/* Is there such a map? i NULL: there is none. */
bool ident_has(const struct ident *i, const char *map);
/*
 * May the system user log in as the database user? map NULL: only under the same name. Regular
 * expressions are POSIX extended ones, found anywhere unless they have ^ and $, and match by case.
 */
bool ident_allows(const struct ident *i, const char *map, const char *system_user,
                  const char *user);
