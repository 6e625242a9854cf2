/* A [settings] value compiled: its parts in order. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "config/source.h"
#include "settings/identity.h"
#include "settings/tags.h"

struct template
{
    struct source_part *parts; /* pointing into text copied to the arena */
    size_t count;
    bool uses_tags;
};

/* The text was checked at load: it cannot fail. */
struct template template_compile(struct arena *memory, const char *text);
/* Appends the value; false when a source without default is missing or empty (it adds nothing). */
MUST_USE bool template_fill(const struct template *t, const struct identity_sources *from,
                            const struct tags *tags, struct buf *out);
