/* Readers of backend messages. */
#include "pgwire/response.h"

#include "pgwire/cursor.h"

enum { KEY_MIN = 4, KEY_MAX = 256 };

/* A list of names, each closed by a zero, and an empty one at the end. */
static bool names_well_formed(struct bytes data)
{
    struct cursor c = cursor_of(data);
    while (!c.bad && cursor_text(&c).len > 0) {}
    return cursor_end(&c) == E_OK;
}

static bool auth_data_fits(uint32_t code, struct bytes data)
{
    switch (code) {
    case AUTH_REQ_OK:
    case AUTH_REQ_PASSWORD: return data.len == 0;
    case AUTH_REQ_MD5: return data.len == 4;
    case AUTH_REQ_SASL: return names_well_formed(data);
    default: return true; /* opaque here: SASL's own reader judges, or nobody reads it */
    }
}

enum err response_read_auth(struct bytes body, struct auth_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct auth_msg m = {0};
    m.code = cursor_u32(&c);
    m.data = cursor_rest(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    if (!auth_data_fits(m.code, m.data)) { return E_PROTOCOL; }
    *ret = m;
    return E_OK;
}

enum err response_read_notification(struct bytes body, struct notification_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct notification_msg m = {.pid = cursor_u32(&c)};
    m.channel = cursor_str(&c);
    m.payload = cursor_str(&c);
    enum err e = cursor_end(&c);
    if (e == E_OK) { *ret = m; }
    return e;
}

enum err response_read_parameter(struct bytes body, const char **name, const char **value)
{
    struct cursor c = cursor_of(body);
    const char *n = cursor_str(&c);
    const char *v = cursor_str(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *name = n;
    *value = v;
    return E_OK;
}

enum err response_read_key(struct bytes body, uint32_t *pid, struct bytes *key)
{
    struct cursor c = cursor_of(body);
    uint32_t id = cursor_u32(&c);
    struct bytes rest = cursor_rest(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    if (rest.len < KEY_MIN || rest.len > KEY_MAX) { return E_PROTOCOL; }
    *pid = id;
    *key = rest;
    return E_OK;
}

enum err response_read_ready(struct bytes body, uint8_t *status)
{
    struct cursor c = cursor_of(body);
    uint8_t s = cursor_u8(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    if (s != 'I' && s != 'T' && s != 'E') { return E_PROTOCOL; }
    *status = s;
    return E_OK;
}

enum err response_read_complete(struct bytes body, const char **tag)
{
    struct cursor c = cursor_of(body);
    const char *text = cursor_str(&c);
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *tag = text;
    return E_OK;
}

enum err response_read_row(struct bytes body, struct bytes *fields, unsigned room,
                           unsigned *ret_count)
{
    struct cursor c = cursor_of(body);
    unsigned count = cursor_u16(&c);
    for (unsigned i = 0; i < count && !c.bad; i++) {
        uint32_t len = cursor_u32(&c);
        struct bytes field = len == UINT32_MAX ? (struct bytes){0} : cursor_take(&c, len);
        if (i < room) { fields[i] = field; }
    }
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    *ret_count = count;
    return E_OK;
}

enum err response_read_error(struct bytes body, struct error_msg *ret)
{
    struct cursor c = cursor_of(body);
    struct error_msg m = {0};
    const char *translated =
        NULL; /* 'S' is in the server's language; 'V' is not, but came with 9.6 */
    for (uint8_t field; (field = cursor_u8(&c)) != 0;) {
        const char *text = cursor_str(&c);
        switch (field) {
        case 'S': translated = text; break;
        case 'V': m.severity = text; break;
        case 'C': m.sqlstate = text; break;
        case 'M': m.message = text; break;
        case 'D': m.detail = text; break;
        case 'H': m.hint = text; break;
        case 'R': m.routine = text; break;
        case 'F': m.file = text; break;
        default: break; /* fields may be added: "Error and Notice Message Fields" */
        }
    }
    enum err e = cursor_end(&c);
    if (e != E_OK) { return e; }
    if (m.severity == NULL) { m.severity = translated; }
    *ret = m;
    return E_OK;
}
