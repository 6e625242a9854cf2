/* Lines of [cache:NAME] and of [settings...]. */
#include "config/load.h"

#include <string.h>

#include "base/mem.h"
#include "config/check.h"
#include "config/source.h"
#include "config/value.h"

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool starts_name(char c)
{
    c = lower(c);
    return (c >= 'a' && c <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool in_name(char c)
{
    return starts_name(c) || (c >= '0' && c <= '9') || c == '$';
}

/* One identifier of *at, folded or "quoted", appended; a '.' inside would be taken for the
 * separator, so it is not allowed. */
static bool take_identifier(const char **at, struct buf *out)
{
    const char *p = *at;
    size_t before = buf_len(out);
    if (*p == '"') {
        for (p++; *p != '"' || p[1] == '"'; p++) {
            if (*p == '\0' || *p == '.') { return false; }
            if (*p == '"') { p++; }
            buf_put(out, p, 1);
        }
        p++;
    } else if (starts_name(*p)) {
        for (; in_name(*p); p++) { buf_put_u8(out, (uint8_t)lower(*p)); }
    }
    *at = p;
    return buf_len(out) > before;
}

/* A table name of *at as "schema.table", appended. */
static bool take_table(const char **at, struct buf *out)
{
    if (!take_identifier(at, out)) { return false; }
    if (**at == '.') {
        (*at)++;
        buf_put(out, ".", 1);
        return take_identifier(at, out);
    }
    struct buf qualified = {0};
    buf_put(&qualified, "public.", 7);
    buf_put_bytes(&qualified, buf_view(out));
    buf_done(out);
    *out = qualified;
    return true;
}

static enum err set_tables(struct rule_config *rule, struct arena *memory, const char *list,
                           struct fault *why)
{
    size_t most = 1;
    for (const char *p = list; *p != '\0'; p++) { most += *p == ','; }
    char **tables = arena_array(memory, char *, most);
    size_t count = 0;
    for (const char *p = list;; p++) {
        while (is_space(*p)) { p++; }
        struct buf name = {0};
        const char *start = p;
        bool ok = take_table(&p, &name);
        if (ok) { tables[count++] = arena_strdup(memory, buf_text(&name)); }
        buf_done(&name);
        while (is_space(*p)) { p++; }
        if (!ok || (*p != ',' && *p != '\0')) {
            return fault_set(why, E_CONFIG,
                             "tables: expected table or schema.table, by comma, at: %.40s", start);
        }
        if (*p == '\0') { break; }
    }
    rule->tables = tables;
    rule->tables_count = count;
    return E_OK;
}

static struct rule_config *find_rule(struct build *b, const struct dialect_line *at,
                                     const char *name)
{
    struct config *cfg = b->cfg;
    for (size_t i = 0; i < cfg->rules_count; i++) {
        if (strcmp(cfg->rules[i].name, name) == 0) { return &cfg->rules[i]; }
    }
    size_t i = cfg->rules_count++;
    cfg->rules = build_grow(cfg->rules, i, sizeof *cfg->rules);
    b->rules = build_grow(b->rules, i, sizeof *b->rules);
    cfg->rules[i].name = arena_strdup(&cfg->memory, name);
    cfg->rules[i].mode = RULE_STRICT;
    b->rules[i] = build_place(b, at);
    return &cfg->rules[i];
}

static enum err set_mode(struct rule_config *rule, const char *value, struct fault *why)
{
    static const char *const modes[] = {"ttl", "bounded", "strict", "fenced", NULL};
    int mode = 0;
    if (value_enum(value, modes, &mode) != E_OK) {
        return fault_set(why, E_CONFIG, "mode = %.60s: expected ttl or strict", value);
    }
    if (mode == RULE_BOUNDED || mode == RULE_FENCED) {
        return fault_set(why, E_CONFIG,
                         "mode = %s: this version cannot keep that promise; expected ttl or strict",
                         value);
    }
    rule->mode = (enum rule_mode)mode;
    return E_OK;
}

enum err rules_cache(struct build *b, const struct dialect_line *at, const char *name,
                     struct fault *why)
{
    static const char *const keys[] = {"tables", "ttl",           "mode", "scope",
                                       "rls",    "empty_results", NULL};
    static const char *const rls[] = {"refuse", "keyed", NULL};
    struct rule_config *rule = find_rule(b, at, name);
    int key = -1, choice = 0;
    if (value_enum(at->name, keys, &key) != E_OK) {
        return fault_set(why, E_CONFIG,
                         "unknown key %.60s; expected tables, ttl, mode, scope, rls or "
                         "empty_results",
                         at->name);
    }
    switch (key) {
    case 0: return set_tables(rule, &b->cfg->memory, at->value, why);
    case 1:
        if (value_time(at->value, &rule->ttl_us) == E_OK && rule->ttl_us > 0) { return E_OK; }
        return fault_set(why, E_CONFIG, "ttl = %.60s: expected a time above 0, like 30s or 1h",
                         at->value);
    case 2: return set_mode(rule, at->value, why);
    case 3: rule->scope = arena_strdup(&b->cfg->memory, at->value); return E_OK;
    case 4:
        if (value_enum(at->value, rls, &choice) != E_OK) {
            return fault_set(why, E_CONFIG, "rls = %.60s: expected refuse or keyed", at->value);
        }
        rule->rls = (enum rule_rls)choice;
        return E_OK;
    default:
        if (value_bool(at->value, &rule->empty_results) == E_OK) { return E_OK; }
        return fault_set(why, E_CONFIG, "empty_results = %.60s: expected on or off", at->value);
    }
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static enum err check_template(const char *value, struct fault *why)
{
    struct bytes rest = bytes_str(value);
    struct source_part part;
    enum err e = E_OK;
    while (e == E_OK) { e = source_next(&rest, &part, why); }
    return e == E_EOF ? E_OK : e;
}

enum err rules_setting(struct build *b, const struct dialect_line *at, const char *database,
                       const char *user, struct fault *why)
{
    struct config *cfg = b->cfg;
    struct arena *memory = &cfg->memory;
    size_t len = strlen(at->name);
    bool required = at->name[len - 1] == '!';
    struct setting_config row = {
        .database = database == NULL ? NULL : arena_strdup(memory, database),
        .user = user == NULL ? NULL : arena_strdup(memory, user),
        .name = arena_strndup(memory, at->name, len - required),
        .required = required,
        .value = arena_strdup(memory, at->value),
    };
    for (char *p = row.name; *p != '\0'; p++) { *p = lower(*p); }
    enum err e = check_setting_name(row.name, why);
    if (e == E_OK) { e = check_template(row.value, why); }
    if (e != E_OK) { return e; }
    size_t i = 0;
    while (i < cfg->settings_count && !(strcmp(cfg->settings[i].name, row.name) == 0 &&
                                        same(cfg->settings[i].database, row.database) &&
                                        same(cfg->settings[i].user, row.user))) {
        i++;
    }
    if (i == cfg->settings_count) {
        cfg->settings = build_grow(cfg->settings, i, sizeof row);
        b->settings = build_grow(b->settings, i, sizeof *b->settings);
        cfg->settings_count++;
    }
    cfg->settings[i] = row;
    b->settings[i] = build_place(b, at);
    return E_OK;
}
