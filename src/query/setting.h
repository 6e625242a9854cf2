/* Settings that a text reads or changes. Private to query/. */
#pragma once

#include "query/walk.h"

/* SET and RESET, also inside ALTER ROLE, ALTER DATABASE, ALTER SYSTEM and CREATE FUNCTION. */
void setting_from_set(struct walk *w, const PgQuery__VariableSetStmt *set);
/* SET SESSION CHARACTERISTICS AS TRANSACTION: the defaults it sets. */
void setting_from_characteristics(struct walk *w, const PgQuery__VariableSetStmt *set);
/* set_config() and current_setting(); false for any other function. */
bool setting_from_call(struct walk *w, const char *schema, const char *name,
                       const PgQuery__FuncCall *call);
