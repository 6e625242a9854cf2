/*
 * Settings before the request, in the same write. Each is Parse, Bind, Execute of a SET on the
 * unnamed statement; no Sync follows, so PostgreSQL skips the client's request when one of them
 * fails ("Extended Query", error recovery), and undoes them when the request fails, both in one
 * implicit transaction.
 */
#include <string.h>

#include "pgwire/compose.h"
#include "server/server.h"

void server_prelude_text(struct server *s, const char *text)
{
    compose_statement(&s->stream.out, text);
    expects_push(&s->expects, EXPECT_PARSE, OWNER_NOBODY, NULL);
    expects_push(&s->expects, EXPECT_BIND, OWNER_NOBODY, NULL);
    expects_push(&s->expects, EXPECT_EXECUTE, OWNER_NOBODY, NULL);
    prepared_unref(&s->unnamed);
}

unsigned server_prelude(struct server *s, const struct varset *want)
{
    if (s->now == want && s->sure) { return 0; }
    struct buf texts = {0};
    struct settings_change change = varset_diff(s->now, want, s->sure, &texts);
    const char *text = (const char *)texts.data;
    for (unsigned i = 0; i < change.statements; i++) {
        server_prelude_text(s, text);
        text += strlen(text) + 1;
    }
    buf_done(&texts);
    for (size_t i = 0; i < varset_count(want); i++) {
        const char *name = varset_at(want, i)->name;
        if (strchr(name, '.') != NULL) { varset_put(&s->customs, name, ""); }
    }
    server_assume(s, want);
    s->sure = true;
    return change.statements;
}
