/* In quotes '' is a quote and a backslash is itself, unlike libpq: so PgBouncer has it. */
#include "config/connstr.h"

#include <string.h>

#include "base/buf.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static const char *skip_spaces(const char *p)
{
    while (is_space(*p)) { p++; }
    return p;
}

enum err connstr_next(const char **at, struct arena *memory, char **ret_key, char **ret_value,
                      struct fault *why)
{
    const char *p = skip_spaces(*at);
    if (*p == '\0') { return E_EOF; }
    const char *key = p;
    while (*p != '\0' && *p != '=' && !is_space(*p)) { p++; }
    size_t key_len = (size_t)(p - key);
    p = skip_spaces(p);
    if (*p != '=' || key_len == 0) {
        /* not quoted back: it may be the rest of a password */
        return fault_set(why, E_CONFIG,
                         "expected key=value pairs, and 'quotes' around values with spaces");
    }
    p = skip_spaces(p + 1);
    if (*p != '\'') {
        const char *value = p;
        while (*p != '\0' && !is_space(*p)) { p++; }
        *ret_key = arena_strndup(memory, key, key_len);
        *ret_value = arena_strndup(memory, value, (size_t)(p - value));
        *at = p;
        return E_OK;
    }
    char *value = arena_alloc(memory, strlen(p)), *to = value;
    for (p++;; p++) {
        if (*p == '\0') {
            return fault_set(why, E_CONFIG, "%.*s: the closing quote is missing",
                             key_len > 40 ? 40 : (int)key_len, key);
        }
        if (*p == '\'') {
            if (p[1] != '\'') { break; }
            p++;
        }
        *to++ = *p;
    }
    p++;
    if (*p != '\0' && !is_space(*p)) {
        return fault_set(why, E_CONFIG, "%.*s: expected a space after the closing quote",
                         key_len > 40 ? 40 : (int)key_len, key);
    }
    *ret_key = arena_strndup(memory, key, key_len);
    *ret_value = value;
    *at = p;
    return E_OK;
}
