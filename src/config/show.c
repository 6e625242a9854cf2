/* The configuration as people see it: SHOW CONFIG, --help-config, and what is not acted on yet. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/option.h"

static size_t by_name[OPTION_COUNT];

static int compare_names(const void *a, const void *b)
{
    return strcmp(option_rows[*(const size_t *)a].name, option_rows[*(const size_t *)b].name);
}

static void sort_names(void)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) { by_name[i] = i; }
    qsort(by_name, OPTION_COUNT, sizeof by_name[0], compare_names);
}

static const struct option_row *sorted_row(size_t i)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, sort_names);
    return &option_rows[by_name[i]];
}

/* A password inside a URL is not for the console's eyes. */
static void hide_password(char *url)
{
    char *login = strstr(url, "://"), *at = strrchr(url, '@');
    if (login == NULL || at == NULL || login + 3 > at) { return; }
    char *colon = memchr(login + 3, ':', (size_t)(at - login - 3));
    if (colon != NULL) { memset(colon + 1, '*', (size_t)(at - colon - 1)); }
}

/* Nor is that of the search in LDAP options, which may stand in "quotes". */
static void hide_bind_password(char *options)
{
    static const char name[] = "ldapbindpasswd=";
    char *at = strstr(options, name);
    if (at == NULL) { return; }
    bool quoted = false;
    for (at += sizeof name - 1; *at != '\0' && (quoted || (*at != ' ' && *at != '\t')); at++) {
        if (*at == '"') { quoted = !quoted; }
        *at = '*';
    }
}

bool config_row(const struct config *cfg, size_t i, struct config_row *ret)
{
    static _Thread_local struct buf text;
    buf_done(&text);
    if (i >= OPTION_COUNT) { return false; }
    const struct option_row *row = sorted_row(i);
    option_show(&cfg->o, row, &text);
    if (row == &option_rows[OPTION_redis_url]) { hide_password(buf_text(&text)); }
    if (row == &option_rows[OPTION_auth_ldap_options]) { hide_bind_password(buf_text(&text)); }
    *ret = (struct config_row){
        .name = row->name,
        .value = buf_text(&text),
        .def = row->def,
        .help = row->help,
        .changeable = row->reloadable,
    };
    return true;
}

const char *config_default(const char *key)
{
    const struct option_row *row = option_find(key);
    assert(row != NULL);
    return row->def;
}

void config_help(FILE *out)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *row = sorted_row(i);
        struct buf expects = {0};
        option_expects(row, &expects);
        (void)fprintf(out, "%s = %s\n    %s\n    %s%s\n", row->name, row->def, row->help,
                      buf_text(&expects), row->reloadable ? "" : "; needs a restart");
        buf_done(&expects);
    }
}

/* Read and kept, but nothing in this version looks at them. A row goes when its feature comes. */
static const enum option_id waiting[] = {
    OPTION_http_listen,
};

static bool is_given(const struct options *o, const struct option_row *row)
{
    struct buf value = {0}, def = {0};
    struct options defaults = {0};
    struct arena memory = {0};
    if (option_set(&defaults, &memory, row, row->def, NULL) == E_OK) {
        option_show(&defaults, row, &def);
    }
    option_show(o, row, &value);
    bool given = !bytes_equal(buf_view(&value), buf_view(&def));
    buf_done(&value);
    buf_done(&def);
    arena_done(&memory);
    return given;
}

/* One more line, if it is here: is it the one asked for? */
static bool skip_to(size_t *i, bool here)
{
    if (!here) { return false; }
    return (*i)-- == 0;
}

const char *config_unsupported(const struct config *cfg, size_t i)
{
    static _Thread_local struct buf text;
    buf_done(&text);
    for (size_t w = 0; w < sizeof waiting / sizeof waiting[0]; w++) {
        const struct option_row *row = &option_rows[waiting[w]];
        if (skip_to(&i, is_given(&cfg->o, row))) {
            buf_printf(&text, "%s is set, but this version does not act on it", row->name);
            return buf_text(&text);
        }
    }
    if (skip_to(&i, cfg->peers_count > 0 && cfg->o.peer_id == 0)) {
        return "[peers] is given, but without peer_id cancel requests do not find this process";
    }
    return NULL;
}
