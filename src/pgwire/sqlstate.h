/* One place that says which SQLSTATE an error code is. Source: "PostgreSQL Error Codes". */
#pragma once

#include "base/err.h"

const char *sqlstate_of(enum err e);
