/*
 * From files to one immutable configuration: each line goes to the reader of its section; then
 * check.c looks at the whole. Off the worker threads: at start and at reload.
 */
#include "config/load.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "config/check.h"

void *build_grow(void *array, size_t count, size_t size)
{
    uint8_t *grown = mem_grow(array, count + 1, size);
    memset(grown + count * size, 0, size);
    return grown;
}

struct place build_place(struct build *b, const struct dialect_line *at)
{
    return (struct place){arena_strdup(&b->cfg->memory, at->file), at->line};
}

static enum err take_option(struct build *b, const struct dialect_line *at, struct fault *why)
{
    const struct option_row *row = option_find(at->name);
    if (row == NULL) {
        struct nearest n = {0};
        for (size_t i = 0; i < OPTION_COUNT; i++) {
            nearest_try(&n, at->name, option_rows[i].name);
        }
        return n.name == NULL
                   ? fault_set(why, E_CONFIG, "unknown key %.60s in [%.20s]", at->name, at->section)
                   : fault_set(why, E_CONFIG, "unknown key %.60s in [%.20s]; is it %s?", at->name,
                               at->section, n.name);
    }
    enum err e = option_set(&b->cfg->o, &b->cfg->memory, row, at->value, why);
    if (e == E_OK) { b->options[row - option_rows] = build_place(b, at); }
    return e;
}

/* "settings:DB/USER" behind the colon; "*" is any. */
static enum err take_scoped_setting(struct build *b, const struct dialect_line *at,
                                    const char *scope, struct fault *why)
{
    const char *slash = strchr(scope, '/');
    size_t len = slash == NULL ? strlen(scope) : (size_t)(slash - scope);
    if (len == 0 || (slash != NULL && slash[1] == '\0')) {
        return fault_set(why, E_CONFIG, "[%.60s]: expected [settings:DB] or [settings:DB/USER]",
                         at->section);
    }
    const char *database = arena_strndup(&b->cfg->memory, scope, len);
    const char *user = slash == NULL ? NULL : slash + 1;
    if (strcmp(database, "*") == 0) { database = NULL; }
    if (user != NULL && strcmp(user, "*") == 0) { user = NULL; }
    return rules_setting(b, at, database, user, why);
}

static const char *behind(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static enum err take_line(struct build *b, const struct dialect_line *at, struct fault *why)
{
    const char *section = at->section, *scope = NULL;
    if (strcmp(section, "pgbouncer") == 0 || strcmp(section, "pgusher") == 0) {
        return take_option(b, at, why);
    }
    if (strcmp(section, "databases") == 0) { return entries_database(b, at, why); }
    if (strcmp(section, "users") == 0) { return entries_user(b, at, why); }
    if (strcmp(section, "peers") == 0) { return entries_peer(b, at, why); }
    if (strcmp(section, "settings") == 0) { return rules_setting(b, at, NULL, NULL, why); }
    if ((scope = behind(section, "settings:")) != NULL) {
        return take_scoped_setting(b, at, scope, why);
    }
    if ((scope = behind(section, "cache:")) != NULL && *scope != '\0') {
        return rules_cache(b, at, scope, why);
    }
    return fault_set(why, E_CONFIG,
                     "unknown section [%.60s]; expected pgbouncer, pgusher, databases, users, "
                     "peers, cache:NAME, settings, settings:DB or settings:DB/USER",
                     section);
}

/* dialect.c's callback: the only place that puts FILE:LINE before a reason. */
static enum err take(void *arg, const struct dialect_line *at, struct fault *why)
{
    struct fault reason = {0};
    enum err e = take_line(arg, at, &reason);
    if (e == E_OK) { return E_OK; }
    return fault_set(why, e, "%s:%d: %s", at->file, at->line, reason.text);
}

static void build_begin(struct build *b, const char *path)
{
    *b = (struct build){.cfg = config_new()};
    b->cfg->path = arena_strdup(&b->cfg->memory, path);
    b->cfg->o.conffile = b->cfg->path;
}

/* What cannot be changed while the process runs stays, and is remembered if the files differ. */
static void keep_fixed(struct config *cfg, const struct config *old)
{
    struct buf before = {0}, after = {0};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->reloadable) { continue; }
        buf_clear(&before);
        buf_clear(&after);
        option_show(&old->o, row, &before);
        option_show(&cfg->o, row, &after);
        if (bytes_equal(buf_view(&before), buf_view(&after))) { continue; }
        enum err e = option_set(&cfg->o, &cfg->memory, row, buf_text(&before), NULL);
        assert(e == E_OK); /* it is a value of this option already */
        (void)e;
        cfg->kept = mem_grow(cfg->kept, cfg->kept_count + 1, sizeof *cfg->kept);
        cfg->kept[cfg->kept_count++] = row->name;
    }
    buf_done(&before);
    buf_done(&after);
}

static enum err build_end(struct build *b, enum err e, const struct config *old,
                          struct config **ret, struct fault *why)
{
    if (e == E_OK) { e = check_build(b, why); }
    if (e == E_OK && old != NULL) { keep_fixed(b->cfg, old); }
    if (e == E_OK) {
        *ret = b->cfg;
        b->cfg = NULL;
    }
    config_unref(&b->cfg);
    mem_free(&b->databases);
    mem_free(&b->databases_cache_on);
    mem_free(&b->rules);
    mem_free(&b->settings);
    return e;
}

enum err config_load(const char *path, struct config **ret, struct fault *why)
{
    struct build b;
    build_begin(&b, path);
    return build_end(&b, dialect_read_file(path, take, &b, why), NULL, ret, why);
}

enum err config_reload(const struct config *old, struct config **ret, struct fault *why)
{
    struct build b;
    build_begin(&b, old->o.conffile);
    return build_end(&b, dialect_read_file(b.cfg->path, take, &b, why), old, ret, why);
}

const char *config_kept(const struct config *cfg, size_t i)
{
    return i < cfg->kept_count ? cfg->kept[i] : NULL;
}

enum err config_parse(struct bytes text, const char *name, struct config **ret, struct fault *why)
{
    struct build b;
    build_begin(&b, name);
    return build_end(&b, dialect_read_text(text, name, take, &b, why), NULL, ret, why);
}
