/* Where the parts of a [settings] value come from: text and %{SOURCE|default}. Pure. */
#pragma once

#include <stdbool.h>

#include "base/bytes.h"
#include "base/fault.h"

enum source_kind {
    SOURCE_TEXT, /* arg is the text */
    SOURCE_USER,
    SOURCE_DATABASE,
    SOURCE_CLIENT_ADDR,
    SOURCE_CLIENT_PORT,
    SOURCE_APPLICATION_NAME,
    SOURCE_TLS_CN,
    SOURCE_STARTUP, /* arg is the parameter's name */
    SOURCE_TAG,     /* arg is the tag's name */
};

struct source_part {
    enum source_kind kind;
    struct bytes arg;
    struct bytes fallback;
    bool has_fallback;
};

/*
 * The next part of the template, which moves behind it.
 * Errors: E_EOF at the end; E_CONFIG with the reason.
 * Owner:  the part points into the template.
 */
MUST_USE enum err source_next(struct bytes *rest, struct source_part *ret, struct fault *why);
