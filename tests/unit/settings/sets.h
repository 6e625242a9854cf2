/* Sets of settings, spelled out: SET("name", "value", ...). */
#pragma once

#include "settings/varset.h"

static const struct varset *make(const char *const *pairs)
{
    struct varset_edit e;
    varset_edit_begin(&e, varset_empty());
    for (; *pairs != NULL; pairs += 2) { varset_edit_set(&e, pairs[0], pairs[1]); }
    return varset_edit_end(&e);
}

#define SET(...) make((const char *const[]){__VA_ARGS__, NULL})
