/*
 * Statements without a name that come again and again are kept prepared under names of ours, so
 * that PostgreSQL parses and plans them once. The client's Parse is answered when its Bind has
 * shown that PostgreSQL would have taken it; an error that comes instead is had anew, outside of
 * transactions, from the batch as it came (again.c), as an error of the Parse's could not be told
 * from the Bind's. So nothing may have gone before it that is not done, and nothing goes behind it
 * until then: who sends many at once, or is in a transaction, has each of them parsed.
 */
#include "base/hmap.h"
#include "pgwire/frame.h"
#include "request/request.h"

/* A temporary table may hide another. Who does not know the catalog does not know either what plans
   have folded into them. */
static bool may_keep(const struct request *r)
{
    const struct client *c = r->client;
    const struct server *s = r->server;
    const struct statement *st = r->facts.only;
    return c->account->database->config->o.prepare_unnamed && s->target->max_prepared > 0 &&
           !r->as_it_is && r->sole && !r->followed && !r->batch_open && c->status == 'I' &&
           r->unit.raw.len <= AGAIN_MOST && (c->pins & ~(uint32_t)PIN_SESSION) == 0 &&
           !r->writes_all && s->odd_reading == 0 && !r->facts.unknown && st != NULL &&
           (st->kind == STMT_SELECT || st->kind == STMT_MODIFY) && st->pins == 0 &&
           (st->flags & STMT_WRITES_ALL) == 0 && r->facts.judged->lasting;
}

/*
 * What is seen often enough among those that share its slot; else NULL. Another catalog is another
 * statement: names in it may mean other things, of which a plan that was made learns nothing.
 */
static const struct prepared *find_hot(struct request *r, const struct prepared *p)
{
    const struct known *k = desk_known(r->desk, r->client->account->database);
    if (k->catalog == NULL) { return NULL; }
    uint64_t hash = hmap_hash(p->text) + k->id;
    struct warm *w = &r->desk->warm[hash % WARM_SLOTS];
    if (w->hash != hash) {
        if (w->count > 0 && --w->count > 0) { return NULL; }
        prepared_unref(&w->kept);
        *w = (struct warm){.hash = hash, .count = 1};
        return NULL;
    }
    if (w->count < WARM_MOST) { w->count++; }
    if (w->count < WARM_ENOUGH) { return NULL; }
    struct reading how = p->reading;
    how.catalog = catalog_version(k->catalog);
    if (!prepared_is(w->kept, p->text, p->types, p->types_count, how)) {
        prepared_unref(&w->kept);
        w->kept = prepared_intern(p->text, p->types, p->types_count, how);
    }
    return w->kept;
}

void kept_forget(struct desk *d)
{
    for (size_t i = 0; i < WARM_SLOTS; i++) { prepared_unref(&d->warm[i].kept); }
}

bool kept_is_bound(const struct request *r)
{
    const struct expect *x = expects_head(&r->server->expects);
    return !r->kept || x == NULL || !x->held;
}

bool kept_send(struct request *r, const struct prepared *p)
{
    const struct prepared *kept = may_keep(r) ? find_hot(r, p) : NULL;
    if (kept == NULL) { return false; }
    struct server *s = r->server;
    const struct unit *u = &r->unit;
    char name[PREPARED_NAME];
    server_need(s, kept);
    prepared_name(kept, name);
    expects_push_fake(&s->expects, '1', p, "");
    expects_at(&s->expects, s->expects.count - 1)->held = true;
    extended_put_bind(&s->stream.out, u->bind.portal, name, u->bind.rest);
    expects_push_use(&s->expects, EXPECT_BIND, kept->id, "");
    /* All behind the Bind is as it came. */
    const uint8_t *behind = u->bind.rest.ptr + u->bind.rest.len;
    stream_put(&s->stream, bytes_of(behind, (size_t)(u->raw.ptr + u->raw.len - behind)));
    r->kept = true;
    return true;
}
