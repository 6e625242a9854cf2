/* Rows of all scopes that apply, one per name: the narrowest. */
#include "settings/identity.h"

#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/mem.h"
#include "settings/template.h"

struct row {
    const char *name;
    struct template value;
    bool required;
    int narrowness;
};

struct identity {
    struct arena memory;
    struct row *rows;
    size_t count;
    bool uses_tags;
    uint32_t refs; /* atomic */
};

/* 3: a database's user; 2: a database; 1: a user; 0: all; -1: another one's. */
static int narrowness_of(const struct setting_config *s, const char *database, const char *user)
{
    if (s->database != NULL && strcmp(s->database, database) != 0) { return -1; }
    if (s->user != NULL && strcmp(s->user, user) != 0) { return -1; }
    return (s->database != NULL) * 2 + (s->user != NULL);
}

static struct row *find_row(const struct identity *id, const char *name)
{
    for (size_t i = 0; i < id->count; i++) {
        if (strcasecmp(id->rows[i].name, name) == 0) { return &id->rows[i]; }
    }
    return NULL;
}

struct identity *identity_compile(const struct config *cfg, const char *database, const char *user)
{
    struct identity *id = mem_new(struct identity);
    id->refs = 1;
    id->rows = arena_array(&id->memory, struct row, cfg->settings_count);
    for (size_t i = 0; i < cfg->settings_count; i++) {
        const struct setting_config *s = &cfg->settings[i];
        int narrowness = narrowness_of(s, database, user);
        if (narrowness < 0) { continue; }
        struct row *row = find_row(id, s->name);
        if (row != NULL && row->narrowness > narrowness) { continue; }
        if (row == NULL) { row = &id->rows[id->count++]; }
        *row = (struct row){
            .name = arena_strdup(&id->memory, s->name),
            .value = template_compile(&id->memory, s->value),
            .required = s->required,
            .narrowness = narrowness,
        };
    }
    for (size_t i = 0; i < id->count; i++) { id->uses_tags |= id->rows[i].value.uses_tags; }
    if (id->count == 0) { identity_unref(&id); }
    return id;
}

struct identity *identity_ref(struct identity *id)
{
    if (id != NULL) { (void)__atomic_add_fetch(&id->refs, 1, __ATOMIC_RELAXED); }
    return id;
}

void identity_unref(struct identity **id)
{
    struct identity *given = *id;
    *id = NULL;
    if (given == NULL || __atomic_sub_fetch(&given->refs, 1, __ATOMIC_ACQ_REL) > 0) { return; }
    arena_done(&given->memory);
    mem_free(&given);
}

bool identity_uses_tags(const struct identity *id)
{
    return id != NULL && id->uses_tags;
}

bool identity_protects(const struct identity *id, const char *name)
{
    return id != NULL && find_row(id, name) != NULL;
}

bool identity_reads_startup(const struct identity *id, const char *name)
{
    for (size_t i = 0; id != NULL && i < id->count; i++) {
        const struct template *t = &id->rows[i].value;
        for (size_t k = 0; k < t->count; k++) {
            const struct source_part *part = &t->parts[k];
            if (part->kind == SOURCE_STARTUP && part->arg.len == strlen(name) &&
                strncasecmp((const char *)part->arg.ptr, name, part->arg.len) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum err identity_apply(const struct identity *id, const struct identity_sources *from,
                        struct varset_edit *edit, struct fault *why)
{
    if (id == NULL) { return E_OK; }
    struct tags tags = {.count = 0};
    if (id->uses_tags && from->text.len > 0) { tags_find(from->text, &tags); }
    for (size_t i = 0; i < id->count; i++) {
        const struct row *row = &id->rows[i];
        if (row->value.uses_tags && from->text.len == 0) { continue; }
        struct buf value = {0};
        bool complete = template_fill(&row->value, from, &tags, &value);
        if (complete || !row->required) {
            varset_edit_set(edit, row->name, buf_text(&value));
            buf_done(&value);
            continue;
        }
        buf_done(&value);
        enum err e = fault_state(why, E_DENIED, "28000", "setting \"%s\" is required", row->name);
        fault_hint(why, "%s",
                   row->value.uses_tags ? "The statement carries no such tag."
                                        : "The login carries no such value.");
        return e;
    }
    return E_OK;
}
