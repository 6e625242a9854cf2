/*
 * Read: from the client's bytes to a unit. A Query is one; extended messages are one up to Sync or
 * Flush. What is too long to wait for is passed on unread.
 */
#include "pgwire/frame.h"
#include "request/request.h"

/* Does the batch have the form whose answer can be made up from a stored result? */
struct form {
    unsigned at; /* 0 start, 1 parsed, 2 bound, 3 described, 4 executed, 5 synced, 9 another form */
    const char *portal;
};

static void advance(struct form *f, bool allowed, unsigned to)
{
    f->at = allowed ? to : 9;
}

static enum err take_message(struct unit *u, struct form *f, uint8_t type, struct bytes body)
{
    struct parse_msg parse;
    struct bind_msg bind;
    struct target_msg target;
    struct execute_msg execute;
    enum err e = E_OK;
    switch (type) {
    case 'P':
        e = extended_read_parse(body, &parse);
        if (e != E_OK) { return e; }
        if (!u->has_parse) { u->parse = parse; }
        u->has_parse = true;
        advance(f, f->at == 0, 1);
        break;
    case 'B':
        e = extended_read_bind(body, &bind);
        if (e != E_OK) { return e; }
        if (!u->has_bind) { u->bind = bind; }
        u->has_bind = true;
        f->portal = bind.portal;
        advance(f, f->at == 0 || (f->at == 1 && strcmp(bind.statement, u->parse.name) == 0), 2);
        break;
    case 'D':
    case 'C':
        e = extended_read_target(body, &target);
        if (e != E_OK) { return e; }
        advance(f,
                type == 'D' && f->at == 2 && target.kind == 'P' &&
                    strcmp(target.name, f->portal) == 0,
                3);
        u->described = u->described || type == 'D';
        break;
    case 'E':
        e = extended_read_execute(body, &execute);
        if (e != E_OK) { return e; }
        u->executes++;
        advance(f,
                (f->at == 2 || f->at == 3) && execute.max_rows == 0 &&
                    strcmp(execute.portal, f->portal) == 0,
                4);
        break;
    case 'S':
        u->sync = true;
        advance(f, f->at == 4, 5);
        break;
    default: break; /* Flush */
    }
    return e;
}

/* A Bind too long to wait for: its names come first and must be known, the rest is passed on. */
static enum err read_long_bind(struct bytes in, struct frame f, struct unit *u, struct fault *why)
{
    const char *text = (const char *)in.ptr + FRAME_HEADER;
    size_t room = UNIT_PREFIX - FRAME_HEADER;
    size_t portal = strnlen(text, room);
    size_t statement = portal < room ? strnlen(text + portal + 1, room - portal - 1) : room;
    if (portal + statement + 2 > room) {
        return fault_set(why, E_PROTOCOL, "malformed message of type B");
    }
    u->kind = UNIT_STREAM;
    u->type = 'B';
    u->size = f.size;
    u->raw = in;
    u->portal = text;
    u->statement = text + portal + 1;
    u->skip = FRAME_HEADER + portal + statement + 2;
    return E_OK;
}

static enum err read_batch(struct bytes in, struct unit *u, struct fault *why)
{
    struct form form = {0};
    size_t at = 0;
    bool ended = false;
    for (;;) {
        struct frame f;
        struct bytes rest = bytes_skip(in, at);
        enum err e = frame_peek(rest, &f);
        if (e == E_PROTOCOL) { return fault_set(why, E_PROTOCOL, "invalid message length"); }
        bool batch = e == E_OK && strchr("PBDECHS", f.type) != NULL && f.type != '\0';
        if (e == E_OK && !batch && at > 0) {
            break;
        } /* something else follows: send what there is */
        if (e == E_AGAIN || f.size > rest.len) {
            const bool too_long = e == E_OK && f.size > UNIT_MOST;
            if (too_long && f.type != 'B' && f.type != 'P') {
                return fault_set(why, E_PROTOCOL, "message of type %c with %u bytes", f.type,
                                 f.size);
            }
            if (too_long && f.type == 'P' && f.size > UNIT_PARSE_MOST) {
                return fault_state(why, E_LIMIT, "54000", "statement of %u bytes is too long",
                                   f.size);
            }
            if (at == 0 && too_long && f.type == 'B' && rest.len >= UNIT_PREFIX) {
                return read_long_bind(rest, f, u, why);
            }
            if (at > 0 && (too_long || at > UNIT_MOST)) { break; }
            return E_AGAIN;
        }
        if (take_message(u, &form, f.type, frame_body(rest, f)) != E_OK) {
            return fault_set(why, E_PROTOCOL, "malformed message of type %c", f.type);
        }
        at += f.size;
        ended = f.type == 'S' || f.type == 'H';
        if (ended || at > UNIT_MOST) { break; }
    }
    u->cut = !ended;
    u->kind = UNIT_BATCH;
    u->raw = bytes_of(in.ptr, at);
    u->size = at;
    u->plain = form.at == 5;
    return E_OK;
}

enum err unit_read(struct bytes in, struct unit *ret, struct fault *why)
{
    struct frame f;
    *ret = (struct unit){0};
    enum err e = frame_peek(in, &f);
    if (e == E_PROTOCOL) { return fault_set(why, E_PROTOCOL, "invalid message length"); }
    if (e != E_OK) { return e; }
    switch (f.type) {
    case 'Q':
    case 'F':
        ret->kind = f.type == 'Q' ? UNIT_QUERY : UNIT_FUNCTION;
        ret->size = f.size;
        if (f.size > in.len) {
            if (f.size <= UNIT_MOST) { return E_AGAIN; }
            ret->kind = UNIT_STREAM;
            ret->type = f.type;
            ret->raw = in;
            return E_OK;
        }
        ret->raw = bytes_of(in.ptr, f.size);
        if (f.type == 'Q' && extended_read_query(frame_body(in, f), &ret->text) != E_OK) {
            return fault_set(why, E_PROTOCOL, "malformed message of type Q");
        }
        return E_OK;
    case 'P':
    case 'B':
    case 'D':
    case 'E':
    case 'C':
    case 'H':
    case 'S': return read_batch(in, ret, why);
    default: return fault_set(why, E_PROTOCOL, "invalid frontend message type %u", f.type);
    }
}
