/*
 * Pins: why a client keeps its server. A statement that makes what cannot be carried pins when it
 * succeeds; some of what it makes outlives its failure too. Whether the reasons still last is not
 * counted here but asked of the server, at the end of a transaction in which something was done
 * that may have ended one (enum stmt_flag, STMT_FREES): the answer is exact whatever functions,
 * rules or savepoints did. In the same way what was set is read back (touched.c). A client's next
 * statement waits for that answer.
 */
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/response.h"
#include "request/request.h"

/* What the server can be asked about. The rest lasts until DISCARD ALL or the client's end. */
enum { PINS_ASKED = PIN_TEMP | PIN_HOLD | PIN_ADVISORY };

/* What ROLLBACK and an error do not undo. */
enum { PINS_LASTING = PIN_ADVISORY | PIN_LOAD | PIN_SEED | PIN_SEQUENCE | PIN_PREPARE };

/* What DISCARD ALL does not undo on the server. */
enum { PINS_INDELIBLE = PIN_LOAD | PIN_SEED };

/* What is in the schema of temporary things depends on it in pg_depend: that is how the server
   itself finds it. Every name is qualified, as the search_path is the client's. */
static const char question[] =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) "
    "'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid OPERATOR(pg_catalog.=) "
    "pg_catalog.pg_my_temp_schema()), "
    "EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable), "
    "EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND "
    "pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";

static bool counts(const struct client *c)
{
    return c->account->mode != POOL_SESSION;
}

void pins_keep(struct request *r, uint32_t pins)
{
    struct client *c = r->client;
    if (pins == 0) { return; }
    if (c->pins == 0) { c->pinned_us = loop_now(c->front->loop); }
    c->pins |= pins;
    if (r->server != NULL && (pins & PIN_TEMP) != 0) { r->server->had_temp = true; }
    if (r->server != NULL && counts(c)) { (void)pool_pin(r->server, true); }
}

enum err pins_reserve(struct request *r, struct fault *why)
{
    struct client *c = r->client;
    struct facts *f = &r->facts;
    if (f->pins == 0 || c->pins != 0 || c->status == 'E' || !counts(c)) { return E_OK; }
    if (pool_pin(r->server, false)) { return E_OK; }
    if (f->pins == PIN_SEQUENCE) { /* its values stay known as long as nobody else takes some */
        f->pins = 0;
        return E_OK;
    }
    (void)fault_state(why, E_LIMIT, "53300", "too many clients keep a server of this pool");
    fault_hint(why,
               "This statement would be one more, over max_pinned_servers: SHOW PINS tells why "
               "the others do.");
    return E_LIMIT;
}

void pins_discarded(struct request *r)
{
    struct client *c = r->client;
    if ((c->pins & PINS_INDELIBLE) != 0) { r->server->close_needed = true; }
    c->pins = counts(c) ? 0 : PIN_SESSION;
    c->settings_unclear = false;
    c->sequences_on = 0;
    /* It is the first of what is under way: what that pins comes after it. Settings of the
       session's start are carried again. */
    r->pins &= ~(uint32_t)PIN_STARTUP;
}

void pins_settle(struct request *r, bool failed)
{
    struct client *c = r->client;
    if (!failed && (r->resets & RESET_SEQUENCES) != 0) {
        c->sequences_on = 0;
        c->pins &= ~(uint32_t)PIN_SEQUENCE;
    }
    uint32_t pins = r->pins;
    if (failed && !r->partly) {
        /* What has an unknown effect and failed may have taken a lock. */
        if ((pins & PIN_UNKNOWN) != 0) { pins |= PIN_ADVISORY; }
        pins &= PINS_LASTING;
    }
    pins_keep(r, pins);
    c->settings_unclear =
        (c->pins & PIN_SETTING) != 0 && (c->settings_unclear || r->touched_unclear);
    r->frees = r->frees || (failed && c->pins != 0);
    r->pins = 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool has_temp_path(const struct client *c)
{
    const char *path = varset_get(c->wanted, "search_path");
    return path != NULL && strstr(path, "pg_temp") != NULL;
}

void pins_ask(struct request *r)
{
    struct client *c = r->client;
    struct server *s = r->server;
    if (s == NULL || s->expects.count > 0) { return; } /* at the next time that it is idle */
    if (s->status != 'I' || r->retelling) { return; }
    bool pins = r->frees && (c->pins & PINS_ASKED) != 0 && counts(c);
    bool settings = (c->pins & PIN_SETTING) != 0 && !c->settings_unclear && counts(c) &&
                    buf_len(&r->touched) > 0;
    if (!pins) { r->frees = false; }
    if (!settings) { touched_forget(r); }
    if (!pins && !settings) { return; }
    struct buf text = {0};
    if (pins) { buf_put_bytes(&text, bytes_str(question)); }
    if (pins && settings) { buf_put_u8(&text, ';'); }
    if (settings) { touched_put_question(r, &text); }
    r->asking = r->settings_sent = true;
    r->pins_found = c->pins; /* until told otherwise */
    prepared_unref(&s->unnamed);
    s->requested_us = loop_now(s->stream.loop);
    compose_query(&s->stream.out, buf_text(&text));
    buf_done(&text);
    expects_push(&s->expects, EXPECT_QUERY, OWNER_NOBODY, NULL);
    stream_flush(&s->stream);
}

void pins_hear(struct request *r, struct bytes row)
{
    static const uint32_t asked[] = {PIN_TEMP, PIN_HOLD, PIN_ADVISORY};
    enum { ASKED = sizeof asked / sizeof *asked };
    struct bytes fields[ASKED];
    unsigned count = 0;
    if (response_read_row(row, fields, ASKED, &count) != E_OK) { return; }
    if (count == 2) { touched_hear(r, fields[0], fields[1]); }
    if (count != ASKED) { return; }
    uint32_t found = r->client->pins & ~(uint32_t)PINS_ASKED;
    for (unsigned i = 0; i < ASKED; i++) {
        if (!bytes_equal(fields[i], BYTES("f"))) { found |= asked[i] & r->client->pins; }
    }
    if (has_temp_path(r->client)) { found |= r->client->pins & PIN_TEMP; }
    r->pins_found = found;
}

void pins_heard(struct request *r, bool failed)
{
    r->asking = false;
    if (failed) { return; } /* cancelled, or out of time: it stays as it is until the next time */
    r->client->pins = r->pins_found;
    if (buf_len(&r->touched) > 0) { r->client->pins &= ~(uint32_t)PIN_SETTING; }
    r->frees = false;
    touched_forget(r);
}
