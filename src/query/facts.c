/* The lists and the single block that a finished statement lives in. */
#include "query/facts.h"

#include <stdatomic.h>

#include "base/mem.h"

/* How far back a repeated name is looked for: keeps a hostile list of names linear. */
enum { REPEAT_WINDOW = 64 };

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

void facts_add_name(struct name_list *list, const char *schema, const char *name)
{
    if (schema != NULL && schema[0] == '\0') { schema = NULL; }
    uint32_t from = list->count > REPEAT_WINDOW ? list->count - REPEAT_WINDOW : 0;
    for (uint32_t i = from; i < list->count; i++) {
        if (same(list->items[i].name, name) && same(list->items[i].schema, schema)) { return; }
    }
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 8 : list->cap * 2;
        list->items = mem_grow(list->items, list->cap, sizeof list->items[0]);
    }
    list->items[list->count++] = (struct stmt_name){.schema = schema, .name = name};
}

static bool names(const struct name_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) { return true; }
    }
    return false;
}

void facts_check_casts(struct facts *f)
{
    bool doubt = f->renames && f->casts.count > 0;
    /* a hostile text of many of both is not worth the time */
    doubt = doubt || (uint64_t)f->casts.count * f->aliases.count > REPEAT_WINDOW * REPEAT_WINDOW;
    for (uint32_t i = 0; i < f->casts.count && !doubt; i++) {
        doubt = names(&f->aliases, f->casts.items[i].name);
    }
    if (doubt) { f->flags |= STMT_TIME_LITERAL; }
}

void facts_add_setting(struct facts *f, struct stmt_setting setting)
{
    struct setting_list *list = &f->settings;
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 4 : list->cap * 2;
        list->items = mem_grow(list->items, list->cap, sizeof list->items[0]);
    }
    list->items[list->count++] = setting;
}

void facts_add_channel(struct facts *f, struct stmt_channel channel)
{
    struct channel_list *list = &f->channels;
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 4 : list->cap * 2;
        list->items = mem_grow(list->items, list->cap, sizeof list->items[0]);
    }
    list->items[list->count++] = channel;
}

void facts_add_named(struct facts *f, struct stmt_named named)
{
    struct named_list *list = &f->named;
    uint32_t from = list->count > REPEAT_WINDOW ? list->count - REPEAT_WINDOW : 0;
    for (uint32_t i = list->count; i > from && named.what == NAMING_EXECUTE; i--) {
        const struct stmt_named *before = &list->items[i - 1];
        if (before->what != NAMING_EXECUTE) { break; }
        if (strcmp(before->name, named.name) == 0) { return; }
    }
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 4 : list->cap * 2;
        list->items = mem_grow(list->items, list->cap, sizeof list->items[0]);
    }
    list->items[list->count++] = named;
}

const char *facts_lower(struct facts *f, const char *text)
{
    char *copy = arena_strdup(&f->arena, text);
    for (char *c = copy; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') { *c = (char)(*c - 'A' + 'a'); }
    }
    return copy;
}

struct holder {
    atomic_uint refs;
    size_t size;
    struct statement statement;
};

static struct holder *holder_of(const struct statement *s)
{
    return (struct holder *)(void *)((char *)(uintptr_t)s - offsetof(struct holder, statement));
}

static size_t text_size(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static size_t names_size(const struct name_list *list)
{
    size_t size = list->count * sizeof list->items[0];
    for (uint32_t i = 0; i < list->count; i++) {
        size += text_size(list->items[i].schema) + text_size(list->items[i].name);
    }
    return size;
}

static size_t settings_size(const struct setting_list *list)
{
    size_t size = list->count * sizeof list->items[0];
    for (uint32_t i = 0; i < list->count; i++) {
        size += text_size(list->items[i].name) + text_size(list->items[i].value);
    }
    return size;
}

static size_t named_size(const struct named_list *list)
{
    size_t size = list->count * sizeof list->items[0];
    for (uint32_t i = 0; i < list->count; i++) { size += text_size(list->items[i].name); }
    return size;
}

static size_t channels_size(const struct channel_list *list)
{
    size_t size = list->count * sizeof list->items[0];
    for (uint32_t i = 0; i < list->count; i++) { size += text_size(list->items[i].name); }
    return size;
}

/* The rest of the block: arrays from the front, where they are aligned, text from the back. */
struct space {
    char *front, *back;
};

static const char *put_text(struct space *at, const char *text)
{
    if (text == NULL) { return NULL; }
    size_t size = strlen(text) + 1;
    at->back -= size;
    return memcpy(at->back, text, size);
}

static const struct stmt_name *put_names(struct space *at, const struct name_list *list)
{
    struct stmt_name *to = (struct stmt_name *)(void *)at->front;
    at->front += list->count * sizeof *to;
    for (uint32_t i = 0; i < list->count; i++) {
        to[i].schema = put_text(at, list->items[i].schema);
        to[i].name = put_text(at, list->items[i].name);
    }
    return to;
}

static const struct stmt_setting *put_settings(struct space *at, const struct setting_list *list)
{
    struct stmt_setting *to = (struct stmt_setting *)(void *)at->front;
    at->front += list->count * sizeof *to;
    for (uint32_t i = 0; i < list->count; i++) {
        to[i] = list->items[i];
        to[i].name = put_text(at, list->items[i].name);
        to[i].value = put_text(at, list->items[i].value);
    }
    return to;
}

static const struct stmt_named *put_named(struct space *at, const struct named_list *list)
{
    struct stmt_named *to = (struct stmt_named *)(void *)at->front;
    at->front += list->count * sizeof *to;
    for (uint32_t i = 0; i < list->count; i++) {
        to[i] = list->items[i];
        to[i].name = put_text(at, list->items[i].name);
    }
    return to;
}

static const struct stmt_channel *put_channels(struct space *at, const struct channel_list *list)
{
    struct stmt_channel *to = (struct stmt_channel *)(void *)at->front;
    at->front += list->count * sizeof *to;
    for (uint32_t i = 0; i < list->count; i++) {
        to[i] = list->items[i];
        to[i].name = put_text(at, list->items[i].name);
    }
    return to;
}

void facts_drop_lists(struct facts *f)
{
    mem_free(&f->reads.items);
    mem_free(&f->writes.items);
    mem_free(&f->functions.items);
    mem_free(&f->casts.items);
    mem_free(&f->aliases.items);
    mem_free(&f->settings.items);
    mem_free(&f->channels.items);
    mem_free(&f->named.items);
}

struct statement *facts_finish(struct facts *f)
{
    size_t size = sizeof(struct holder) + names_size(&f->reads) + names_size(&f->writes) +
                  names_size(&f->functions) + names_size(&f->casts) + settings_size(&f->settings) +
                  channels_size(&f->channels) + named_size(&f->named) + text_size(f->name) +
                  f->error.len;
    struct holder *h = mem_zeroed(size);
    struct space at = {.front = (char *)(h + 1), .back = (char *)h + size};
    atomic_init(&h->refs, 1);
    h->size = size;
    struct statement *s = &h->statement;
    s->kind = f->kind;
    s->count = f->count;
    s->flags = f->flags;
    s->pins = f->pins;
    s->reads_count = f->reads.count;
    s->reads = put_names(&at, &f->reads);
    s->writes_count = f->writes.count;
    s->writes = put_names(&at, &f->writes);
    s->functions_count = f->functions.count;
    s->functions = put_names(&at, &f->functions);
    s->casts_count = f->casts.count;
    s->casts = put_names(&at, &f->casts);
    s->settings_count = f->settings.count;
    s->settings = put_settings(&at, &f->settings);
    s->channels_count = f->channels.count;
    s->channels = put_channels(&at, &f->channels);
    s->named_count = f->named.count;
    s->named = put_named(&at, &f->named);
    s->name = put_text(&at, f->name);
    at.back -= f->error.len;
    if (f->error.len > 0) { memcpy(at.back, f->error.ptr, f->error.len); }
    s->error = bytes_of(at.back, f->error.len);

    facts_drop_lists(f);
    arena_done(&f->arena);
    return s;
}

size_t statement_size(const struct statement *s)
{
    return holder_of(s)->size;
}

struct statement *statement_ref(struct statement *s)
{
    atomic_fetch_add_explicit(&holder_of(s)->refs, 1, memory_order_relaxed);
    return s;
}

void statement_unref(struct statement **s)
{
    if (*s == NULL) { return; }
    struct holder *h = holder_of(*s);
    *s = NULL;
    if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1) { mem_free(&h); }
}
