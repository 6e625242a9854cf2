/*
 * In a failed transaction PostgreSQL runs and prepares only what may end it, but still describes
 * all that it has prepared. A server that comes to have the client's statements one by one must
 * refuse, and describe, the same.
 */
#include "pgwire/extended.h"
#include "request/request.h"

static const struct statement *statement_of(const struct request *r, struct bytes text)
{
    const struct known *k = desk_known(r->desk, r->client->account->database);
    return memo_find(k->memo, text)->statement;
}

bool failed_refuses(const struct request *r, struct bytes text)
{
    if (r->client->status != 'E') { return false; }
    switch (statement_of(r, text)->kind) {
    case STMT_COMMIT:
    case STMT_ROLLBACK:
    case STMT_ROLLBACK_TO:
    case STMT_PREPARE_TRANSACTION:
    case STMT_EMPTY: return false;
    default: return true;
    }
}

/* Neither rows nor, but for those that the client declared, parameters. */
static bool is_bare(const struct statement *s)
{
    switch (s->kind) {
    case STMT_MULTI:
    case STMT_UNKNOWN:
    case STMT_SELECT:
    case STMT_SHOW:
    case STMT_EXPLAIN:
    case STMT_EXECUTE:
    case STMT_FETCH:
    case STMT_CALL:
    case STMT_UTILITY: return false;
    case STMT_MODIFY: return (s->flags & (STMT_RETURNING | STMT_HAS_PARAMS)) == 0;
    default: return true;
    }
}

bool failed_describe(struct request *r, const char *name, const struct prepared *p)
{
    struct server *s = r->server;
    bool has = name[0] == '\0' ? s->unnamed == p : s->target->max_prepared == 0 || server_has(s, p);
    if (has || !failed_refuses(r, p->text) || !is_bare(statement_of(r, p->text))) { return false; }
    extended_put_parse(&s->stream.out, "", BYTES("ROLLBACK"), p->types, p->types_count);
    expects_push(&s->expects, EXPECT_PARSE, OWNER_NOBODY, NULL);
    prepared_unref(&s->unnamed);
    extended_put_target(&s->stream.out, 'D', 'S', "");
    expects_push_use(&s->expects, EXPECT_DESCRIBE, 0, name);
    return true;
}
