/*
 * Casts that may read the clock: a text like 'now' or '10:00 today', cast to a time, means another
 * one whenever it is cast. Constants and parameters are looked at where they stand; here is looked
 * for casts of what tables hold. Private to query/.
 */
#pragma once

#include "query/walk.h"

void moment_from_cast(struct walk *w, const PgQuery__TypeCast *cast);
/* date(x) is a cast, too. */
void moment_from_call(struct walk *w, const char *name, const PgQuery__FuncCall *call);
/* A type that is given to what a function or a document returns. */
void moment_from_column(struct walk *w, const PgQuery__TypeName *type);
