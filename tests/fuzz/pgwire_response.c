/* The first byte chooses a reader, the rest is the body: what was read lies within the body. */
#include <assert.h>

#include "pgwire/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A text that was read: within the body with its zero, or missing. */
static void check_text(struct bytes body, const char *text)
{
    if (text == NULL) { return; }
    const uint8_t *at = (const uint8_t *)text;
    assert(at >= body.ptr && at + strlen(text) < body.ptr + body.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) { return 0; }
    struct bytes body = bytes_of(data + 1, size - 1);
    switch (data[0]) {
    case 'R': {
        struct auth_msg m;
        if (response_read_auth(body, &m) == E_OK) { assert(m.data.len + 4 == body.len); }
        break;
    }
    case 'S': {
        const char *name = NULL, *value = NULL;
        if (response_read_parameter(body, &name, &value) == E_OK) {
            check_text(body, name);
            check_text(body, value);
        }
        break;
    }
    case 'K': {
        uint32_t pid = 0;
        struct bytes key = {0};
        if (response_read_key(body, &pid, &key) == E_OK) { assert(key.len + 4 == body.len); }
        break;
    }
    case 'Z': {
        uint8_t status = 0;
        if (response_read_ready(body, &status) == E_OK) { assert(status != 0); }
        break;
    }
    case 'C': {
        const char *tag = NULL;
        if (response_read_complete(body, &tag) == E_OK) { check_text(body, tag); }
        break;
    }
    case 'D': {
        struct bytes fields[4];
        unsigned count = 0;
        if (response_read_row(body, fields, 4, &count) == E_OK) {
            for (unsigned i = 0; i < count && i < 4; i++) {
                assert(fields[i].len == 0 ||
                       (fields[i].ptr >= body.ptr &&
                        fields[i].ptr + fields[i].len <= body.ptr + body.len));
            }
        }
        break;
    }
    case 'A': {
        struct notification_msg m;
        if (response_read_notification(body, &m) == E_OK) {
            check_text(body, m.channel);
            check_text(body, m.payload);
        }
        break;
    }
    default: {
        struct error_msg m;
        if (response_read_error(body, &m) == E_OK) {
            check_text(body, m.severity);
            check_text(body, m.sqlstate);
            check_text(body, m.message);
            check_text(body, m.detail);
            check_text(body, m.hint);
        }
        break;
    }
    }
    return 0;
}
