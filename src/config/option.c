/* The table that options.def becomes, and everything done to an option by its name. */
#include "config/option.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "config/value.h"

/* In the order of config.h's enums. */
const char *const option_pool_modes[] = {"session", "transaction", "statement", NULL};
const char *const option_cache_modes[] = {"off", "memory", "redis", NULL};
const char *const option_consistencies[] = {"eventual", "session", "cluster", NULL};
static const char *const auth_types[] = {"any", "trust", "plain", "md5",           "cert",
                                         "hba", "ldap",  "pam",   "scram-sha-256", NULL};
const char *const option_tls_modes[] = {"disable",   "allow",       "prefer", "require",
                                        "verify-ca", "verify-full", NULL};
static const char *const primary_reads_texts[] = {"never", "fallback", "always", NULL};
static const char *const notify_lost_texts[] = {"disconnect", "keep", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const compats[] = {"off", "strict", NULL};
static const char *const invalidations[] = {"ttl", "writes", "notify", "replication", NULL};

#define TEXTS_pool_mode          option_pool_modes
#define TEXTS_auth_type          auth_types
#define TEXTS_tls_mode           option_tls_modes
#define TEXTS_cache_mode         option_cache_modes
#define TEXTS_consistency        option_consistencies
#define TEXTS_primary_reads      primary_reads_texts
#define TEXTS_notify_lost        notify_lost_texts
#define TEXTS_log_format         log_formats
#define TEXTS_compat             compats
#define TEXTS_cache_invalidation invalidations

#define ROW(field, ...) .offset = offsetof(struct options, field), __VA_ARGS__
#define OPT_BOOL(n, d, r, h)                                                                       \
    {ROW(n, .name = #n, .def = (d), .help = (h), .kind = KIND_BOOL, .reloadable = (r))},
#define OPT_INT(n, d, lo, hi, r, h)                                                                \
    {ROW(n, .name = #n, .def = (d), .help = (h), .kind = KIND_INT, .reloadable = (r), .min = (lo), \
         .max = (hi))},
#define OPT_TIME(n, d, r, h)                                                                       \
    {ROW(n##_us, .name = #n, .def = (d), .help = (h), .kind = KIND_TIME, .reloadable = (r))},
#define OPT_SIZE(n, d, r, h)                                                                       \
    {ROW(n##_bytes, .name = #n, .def = (d), .help = (h), .kind = KIND_SIZE, .reloadable = (r))},
#define OPT_STR(n, d, r, h)                                                                        \
    {ROW(n, .name = #n, .def = (d), .help = (h), .kind = KIND_STR, .reloadable = (r))},
#define OPT_ENUM(n, type, d, r, h)                                                                 \
    {ROW(n, .name = #n, .def = (d), .help = (h), .kind = KIND_ENUM, .reloadable = (r),             \
         .texts = TEXTS_##type)},
const struct option_row option_rows[OPTION_COUNT] = {
#include "config/options.def"
};

const struct option_row *option_find(const char *name)
{
    if (strcmp(name, "service_name") == 0) { name = "job_name"; }
    if (strcmp(name, "reserve_pool") == 0) { name = "reserve_pool_size"; }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strcmp(option_rows[i].name, name) == 0) { return &option_rows[i]; }
    }
    return NULL;
}

static enum err bad_value(const struct option_row *row, const char *text, struct fault *why)
{
    struct buf expected = {0};
    option_expects(row, &expected);
    enum err e =
        fault_set(why, E_CONFIG, "%s = %.60s: expected %s", row->name, text, buf_text(&expected));
    buf_done(&expected);
    return e;
}

enum err option_set(struct options *o, struct arena *memory, const struct option_row *row,
                    const char *text, struct fault *why)
{
    void *at = (char *)o + row->offset;
    enum err e = E_OK;
    switch (row->kind) {
    case KIND_BOOL: e = value_bool(text, at); break;
    case KIND_INT: e = value_int(text, row->min, row->max, at); break;
    case KIND_TIME: e = value_time(text, at); break;
    case KIND_SIZE: e = value_size(text, at); break;
    case KIND_STR: *(char **)at = arena_strdup(memory, text); break;
    case KIND_ENUM: e = value_enum(text, row->texts, at); break;
    }
    return e == E_OK ? E_OK : bad_value(row, text, why);
}

void option_show(const struct options *o, const struct option_row *row, struct buf *out)
{
    const void *at = (const char *)o + row->offset;
    switch (row->kind) {
    case KIND_BOOL: buf_printf(out, "%d", *(const bool *)at); break;
    case KIND_INT: buf_printf(out, "%d", *(const int *)at); break;
    case KIND_TIME: buf_printf(out, "%g", (double)*(const int64_t *)at / (double)US_PER_S); break;
    case KIND_SIZE: buf_printf(out, "%lld", (long long)*(const int64_t *)at); break;
    case KIND_STR: buf_printf(out, "%s", *(char *const *)at); break;
    case KIND_ENUM: buf_printf(out, "%s", row->texts[*(const int *)at]); break;
    }
}

void option_expects(const struct option_row *row, struct buf *out)
{
    switch (row->kind) {
    case KIND_BOOL: buf_printf(out, "0 or 1"); break;
    case KIND_INT: buf_printf(out, "a number from %d to %d", row->min, row->max); break;
    case KIND_TIME: buf_printf(out, "seconds, or a time like 10s, 100ms, 5min, 1h"); break;
    case KIND_SIZE: buf_printf(out, "bytes, or a size like 64kB, 16MB, 1GB"); break;
    case KIND_STR: buf_printf(out, "text"); break;
    case KIND_ENUM:
        for (size_t i = 0; row->texts[i] != NULL; i++) {
            buf_printf(out, "%s%s",
                       i == 0                      ? ""
                       : row->texts[i + 1] == NULL ? " or "
                                                   : ", ",
                       row->texts[i]);
        }
        break;
    }
}

/* Levenshtein's distance, for names short enough to be worth a guess. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 48 };
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > LONGEST || b_len > LONGEST) { return SIZE_MAX; }
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= b_len; j++) { row[j] = j; }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) { best = row[j] + 1; }
            if (row[j - 1] + 1 < best) { best = row[j - 1] + 1; }
            row[j] = best;
        }
    }
    return row[b_len];
}

void nearest_try(struct nearest *n, const char *given, const char *candidate)
{
    size_t d = distance(given, candidate);
    if (d > 3 || d * 3 > strlen(given)) { return; }
    if (n->name != NULL && n->distance <= d) { return; }
    *n = (struct nearest){candidate, d};
}
