/* The life of a configuration, and finding lines in it. Immutable once loaded; any thread. */
#include "config/config.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "config/check.h"
#include "config/load.h"
#include "config/option.h"

struct config *config_new(void)
{
    struct config *cfg = mem_new(struct config);
    cfg->refs = 1;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        enum err e = option_set(&cfg->o, &cfg->memory, &option_rows[i], option_rows[i].def, NULL);
        assert(e == E_OK);
        (void)e;
    }
    return cfg;
}

struct config *config_ref(struct config *cfg)
{
    (void)__atomic_add_fetch(&cfg->refs, 1, __ATOMIC_RELAXED);
    return cfg;
}

static void wipe(char *secret)
{
    if (secret != NULL) { mem_wipe(secret, strlen(secret)); }
}

void config_unref(struct config **cfg)
{
    struct config *c = *cfg;
    *cfg = NULL;
    if (c == NULL || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0) { return; }
    if (c->base == NULL) {
        for (size_t i = 0; i < c->databases_count; i++) { wipe(c->databases[i].password); }
        mem_free(&c->databases);
        mem_free(&c->users);
        mem_free(&c->rules);
        mem_free(&c->settings);
        mem_free(&c->peers);
        mem_free(&c->kept);
    }
    config_unref(&c->base);
    arena_done(&c->memory);
    mem_free(&c);
}

enum err config_set(const struct config *from, const char *key, const char *value,
                    struct config **ret, struct fault *why)
{
    const struct option_row *row = option_find(key);
    if (row == NULL) { return fault_set(why, E_NOTFOUND, "unknown key %.60s", key); }
    if (!row->reloadable) {
        return fault_set(why, E_CONFIG, "%s cannot be changed without a restart", row->name);
    }
    struct config *cfg = mem_new(struct config);
    memcpy(cfg, from, offsetof(struct config, refs)); /* other threads count references meanwhile */
    cfg->refs = 1;
    cfg->kept = NULL;
    cfg->kept_count = 0;
    /* The count of references is the one part of a configuration that may change. */
    cfg->base = config_ref((struct config *)(uintptr_t)from);
    enum err e = option_set(&cfg->o, &cfg->memory, row, value, why);
    if (e == E_OK) { e = check_changed(cfg, why); }
    if (e == E_OK) {
        *ret = cfg;
        cfg = NULL;
    }
    config_unref(&cfg);
    return e;
}

const struct database_config *config_database(const struct config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->databases_count; i++) {
        if (strcmp(cfg->databases[i].name, name) == 0) { return &cfg->databases[i]; }
    }
    return NULL;
}

const struct database_config *config_line(const struct config *cfg, const char *name)
{
    const struct database_config *line = config_database(cfg, name);
    return line != NULL ? line : config_database(cfg, "*");
}

const struct user_config *config_user(const struct config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->users_count; i++) {
        if (strcmp(cfg->users[i].name, name) == 0) { return &cfg->users[i]; }
    }
    return NULL;
}
