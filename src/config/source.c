/* A template is cut into parts; nothing is looked up here, so any text can be checked at load. */
#include "config/source.h"

static const struct {
    struct bytes name; /* ends with ':' when an argument follows */
    enum source_kind kind;
} sources[] = {
    {BYTES("user"), SOURCE_USER},
    {BYTES("database"), SOURCE_DATABASE},
    {BYTES("client_addr"), SOURCE_CLIENT_ADDR},
    {BYTES("client_port"), SOURCE_CLIENT_PORT},
    {BYTES("application_name"), SOURCE_APPLICATION_NAME},
    {BYTES("tls_cn"), SOURCE_TLS_CN},
    {BYTES("startup:"), SOURCE_STARTUP},
    {BYTES("tag:"), SOURCE_TAG},
};

/* Designed, but not in this version: an error, because who relies on them relies on identity. */
static const struct bytes later[] = {BYTES("jwt:"), BYTES("login:")};

static bool starts_with(struct bytes b, struct bytes prefix)
{
    return b.len >= prefix.len && memcmp(b.ptr, prefix.ptr, prefix.len) == 0;
}

static int show_len(struct bytes b)
{
    return b.len > 60 ? 60 : (int)b.len;
}

static enum err read_source(struct bytes inside, struct source_part *ret, struct fault *why)
{
    struct source_part part = {0};
    const uint8_t *bar = inside.len == 0 ? NULL : memchr(inside.ptr, '|', inside.len);
    struct bytes name = inside;
    if (bar != NULL) {
        name.len = (size_t)(bar - inside.ptr);
        part.fallback = bytes_skip(inside, name.len + 1);
        part.has_fallback = true;
    }
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        if (starts_with(name, later[i])) {
            return fault_set(why, E_CONFIG, "%%{%.*s}: this version has no such source yet",
                             show_len(name), (const char *)name.ptr);
        }
    }
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct bytes known = sources[i].name;
        bool takes_arg = known.ptr[known.len - 1] == ':';
        if (takes_arg ? !starts_with(name, known) || name.len == known.len
                      : !bytes_equal(name, known)) {
            continue;
        }
        part.kind = sources[i].kind;
        part.arg = bytes_skip(name, known.len);
        *ret = part;
        return E_OK;
    }
    return fault_set(why, E_CONFIG,
                     "%%{%.*s}: expected user, database, client_addr, client_port, "
                     "application_name, tls_cn, startup:NAME or tag:NAME",
                     show_len(name), (const char *)name.ptr);
}

enum err source_next(struct bytes *rest, struct source_part *ret, struct fault *why)
{
    if (rest->len == 0) { return E_EOF; }
    size_t open = 0;
    while (open < rest->len &&
           !(rest->ptr[open] == '%' && open + 1 < rest->len && rest->ptr[open + 1] == '{')) {
        open++;
    }
    if (open > 0) {
        *ret = (struct source_part){.kind = SOURCE_TEXT, .arg = bytes_of(rest->ptr, open)};
        *rest = bytes_skip(*rest, open);
        return E_OK;
    }
    struct bytes inside = bytes_skip(*rest, 2);
    const uint8_t *close = inside.len == 0 ? NULL : memchr(inside.ptr, '}', inside.len);
    if (close == NULL) { return fault_set(why, E_CONFIG, "expected } to close %%{"); }
    inside.len = (size_t)(close - inside.ptr);
    enum err e = read_source(inside, ret, why);
    if (e != E_OK) { return e; }
    *rest = bytes_skip(*rest, 2 + inside.len + 1);
    return E_OK;
}
