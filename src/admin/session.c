/* How a command's answer ends. */
#include "admin/session.h"

#include <stdarg.h>
#include <stdio.h>

#include "admin/portal.h"
#include "base/mem.h"
#include "pgwire/compose.h"
#include "pgwire/sqlstate.h"

struct session *session_find(struct office *o, uint32_t id)
{
    struct hlink *link = hmap_find(&o->sessions, bytes_of(&id, sizeof id));
    return link == NULL ? NULL : container_of(link, struct session, link);
}

void session_describe(struct session *s, const struct column *columns, unsigned count)
{
    if (s->portal == NULL) { compose_row_description(session_out(s), columns, count, NULL); }
}

struct buf *session_rows(struct session *s)
{
    return s->portal == NULL ? session_out(s) : portal_rows(s->portal);
}

static void end(struct session *s)
{
    s->busy = false;
    if (!s->running) { admin_resume(s); }
}

void session_complete(struct session *s, const char *tag)
{
    if (s->portal != NULL) {
        portal_complete(s, tag);
    } else {
        compose_complete(session_out(s), tag);
        compose_ready(session_out(s), s->client->status);
    }
    end(s);
}

bool session_is_strict(const struct session *s)
{
    struct config *cfg = registry_config(s->office->front->registry);
    bool strict = cfg->o.pgbouncer_compat == COMPAT_STRICT;
    config_unref(&cfg);
    return strict;
}

static void send_error(struct session *s, const char *sqlstate, const char *message,
                       const char *hint)
{
    bool as_it_is = strcmp(sqlstate, "F0000") == 0 || !session_is_strict(s);
    compose_error(session_out(s), "ERROR", as_it_is ? sqlstate : "08P01", message, hint);
    if (s->portal != NULL) {
        portal_fail(s);
    } else {
        compose_ready(session_out(s), s->client->status);
    }
    end(s);
}

void session_error(struct session *s, const char *sqlstate, const char *fmt, ...)
{
    char message[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    send_error(s, sqlstate, message, NULL);
}

void session_fault(struct session *s, const struct fault *why)
{
    const char *sqlstate = why->sqlstate[0] != '\0' ? why->sqlstate : sqlstate_of(why->code);
    send_error(s, sqlstate, why->text, why->hint);
}

void session_reject(struct session *s, struct bytes text)
{
    enum { MOST = 200 };
    size_t len = text.len;
    if (len > MOST) { /* not in the middle of a character */
        len = MOST;
        while (len > 0 && (text.ptr[len] & 0xc0) == 0x80) { len--; }
    }
    session_error(s, "42601", "invalid command '%.*s', use SHOW HELP;", (int)len,
                  len == 0 ? "" : (const char *)text.ptr);
}
