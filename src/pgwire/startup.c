/* Reads the first packet of a connection and the options parameter in it. */
#include "pgwire/startup.h"

#include <inttypes.h>

#include "base/buf.h"

enum {
    HEADER = 8, /* length, then version or request code */
    CODE_CANCEL = 80877102,
    CODE_SSL = 80877103,
    CODE_GSSENC = 80877104,
    CANCEL_KEY_MIN = 4,
    CANCEL_KEY_MAX = 256,
};

/* Parameters are pairs of texts; an empty name closes them, and the packet with them. */
static bool params_well_formed(struct bytes body)
{
    size_t at = 0;
    while (at < body.len && body.ptr[at] != 0) {
        for (int part = 0; part < 2; part++) {
            const uint8_t *zero = at < body.len ? memchr(body.ptr + at, 0, body.len - at) : NULL;
            if (zero == NULL) { return false; }
            at = (size_t)(zero - body.ptr) + 1;
        }
    }
    return at + 1 == body.len;
}

/* Is this a code we serve, and is the length one it can have? */
static enum err check_header(uint32_t size, uint32_t code, struct fault *why)
{
    uint32_t major = code >> 16;
    switch (code) {
    case CODE_SSL:
    case CODE_GSSENC:
        if (size != HEADER) {
            return fault_set(why, E_PROTOCOL, "invalid length of encryption request: %" PRIu32,
                             size);
        }
        return E_OK;
    case CODE_CANCEL:
        if (size < HEADER + 4 + CANCEL_KEY_MIN || size > HEADER + 4 + CANCEL_KEY_MAX) {
            return fault_set(why, E_PROTOCOL, "invalid length of cancel request: %" PRIu32, size);
        }
        return E_OK;
    default:
        if (major == 2) { return fault_set(why, E_PROTOCOL, "old V2 protocol not supported"); }
        if (major != 3) {
            return fault_state(why, E_PROTOCOL, "0A000",
                               "unsupported frontend protocol %" PRIu32 ".%" PRIu32, major,
                               code & 0xffff);
        }
        return E_OK;
    }
}

enum err startup_read(struct bytes in, struct startup *ret, struct fault *why)
{
    if (in.len < 4) { return E_AGAIN; }
    uint32_t size = get_u32(in.ptr);
    if (size < HEADER || size > STARTUP_MAX) {
        return fault_set(why, E_PROTOCOL, "invalid length of startup packet: %" PRIu32, size);
    }
    if (in.len < HEADER) { return E_AGAIN; }
    uint32_t code = get_u32(in.ptr + 4);
    /* Before waiting for the body: what cannot be served need not be sent. */
    enum err e = check_header(size, code, why);
    if (e != E_OK) { return e; }
    if (in.len < size) { return E_AGAIN; }

    struct startup s = {.size = size};
    struct bytes body = bytes_of(in.ptr + HEADER, size - HEADER);
    switch (code) {
    case CODE_SSL: s.kind = STARTUP_SSL; break;
    case CODE_GSSENC: s.kind = STARTUP_GSSENC; break;
    case CODE_CANCEL:
        s.kind = STARTUP_CANCEL;
        s.cancel_pid = get_u32(body.ptr);
        s.cancel_key = bytes_skip(body, 4);
        break;
    default:
        if (!params_well_formed(body)) {
            return fault_set(why, E_PROTOCOL,
                             "invalid startup packet layout: expected terminator as last byte");
        }
        s.kind = STARTUP_LOGIN;
        s.version = code;
        s.params = bytes_of(body.ptr, body.len - 1);
        break;
    }
    *ret = s;
    return E_OK;
}

bool startup_next(const struct startup *s, size_t *at, const char **name, const char **value)
{
    if (*at >= s->params.len) { return false; }
    const char *params = (const char *)s->params.ptr;
    const char *n = params + *at;
    const char *v = n + strlen(n) + 1;
    *at = (size_t)(v - params) + strlen(v) + 1;
    *name = n;
    *value = v;
    return true;
}

/* The C locale's, as the server sees a startup packet before any locale matters. */
static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Appends the next word with its escapes undone, and a zero. False at the end of the options. */
static bool read_word(const char *options, size_t *at, struct buf *text)
{
    size_t i = *at;
    while (is_space(options[i])) { i++; }
    bool any = options[i] != '\0';
    for (bool escaped = false; options[i] != '\0' && (escaped || !is_space(options[i])); i++) {
        if (options[i] == '\\' && !escaped) {
            escaped = true;
            continue;
        }
        escaped = false;
        buf_put_u8(text, (uint8_t)options[i]);
    }
    *at = i;
    if (any) { buf_put_u8(text, 0); }
    return any;
}

enum err startup_option(const char *options, size_t *at, struct buf *text, const char **name,
                        const char **value)
{
    buf_clear(text);
    if (!read_word(options, at, text)) { return E_EOF; }
    const char *word = buf_text(text);
    if (strcmp(word, "-c") == 0) {
        buf_clear(text);
        if (!read_word(options, at, text)) { return E_SYNTAX; }
    } else if (word[0] == '-' && (word[1] == 'c' || word[1] == '-')) {
        buf_consume(text, 2);
    } else {
        return E_SYNTAX;
    }

    char *setting = (char *)(text->data + text->start);
    char *equal = strchr(setting, '=');
    if (equal == NULL || equal == setting) { return E_SYNTAX; }
    *equal = '\0';
    /* A dash may stand for an underscore, as on the server's command line. */
    for (char *c = setting; *c != '\0'; c++) {
        if (*c == '-') { *c = '_'; }
    }
    *name = setting;
    *value = equal + 1;
    return E_OK;
}
