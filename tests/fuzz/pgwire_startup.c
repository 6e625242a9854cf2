/* Reads a first packet, its parameters, and each value once more as if it were `options`. */
#include <assert.h>

#include "base/buf.h"
#include "pgwire/startup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_options(const char *options)
{
    struct buf text = {0};
    size_t at = 0, before = 0;
    const char *name = NULL, *value = NULL;
    while (startup_option(options, &at, &text, &name, &value) == E_OK) {
        assert(at > before && at <= strlen(options));
        assert(name[0] != '\0' && strlen(name) + strlen(value) + 2 == buf_len(&text));
        before = at;
    }
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct startup s;
    struct fault why;
    if (startup_read(bytes_of(data, size), &s, &why) != E_OK) { return 0; }
    assert(s.size <= size && s.size <= STARTUP_MAX);
    switch (s.kind) {
    case STARTUP_SSL:
    case STARTUP_GSSENC: assert(s.size == 8); break;
    case STARTUP_CANCEL: assert(s.cancel_key.len >= 4 && s.cancel_key.len + 12 == s.size); break;
    case STARTUP_LOGIN: {
        size_t at = 0, total = 0;
        const char *name = NULL, *value = NULL;
        while (startup_next(&s, &at, &name, &value)) {
            assert(name[0] != '\0');
            total += strlen(name) + strlen(value) + 2;
            read_options(value);
        }
        assert(total == s.params.len && total + 9 == s.size);
        break;
    }
    }
    return 0;
}
