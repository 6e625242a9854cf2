/* Lines "map system-user database-user"; the first that fits allows. */
#include "auth/ident.h"

#include <regex.h>
#include <string.h>

#include "auth/record.h"
#include "base/mem.h"

enum { PATTERN_MOST = 1024, REPEAT_MOST = 255, NAME_MOST = 1024 };

struct line {
    const char *map, *system_user, *user;
    bool is_pattern; /* system_user is: pattern, compiled */
    bool any_user;   /* user is the keyword all */
    regex_t pattern;
};

struct ident {
    struct arena memory;
    struct line *lines;
    size_t count;
};

/*
 * A pattern of a file is not hostile, but repetitions of repetitions make the C library compile
 * gigabytes: their product is bounded.
 */
static bool is_modest(const char *pattern)
{
    unsigned long product = 1;
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\\' && p[1] != '\0') {
            p++;
            continue;
        }
        if (*p != '{') { continue; }
        unsigned long most = 1, n = 0;
        for (p++; *p != '\0' && *p != '}'; p++) {
            n = *p >= '0' && *p <= '9' && n < 100000 ? n * 10 + (unsigned long)(*p - '0') : 0;
            if (n > most) { most = n; }
        }
        product *= most;
        if (product > REPEAT_MOST) { return false; }
        if (*p == '\0') { break; }
    }
    return strlen(pattern) <= PATTERN_MOST;
}

static enum err compile(struct line *l, const char *name, int number, struct fault *why)
{
    const char *pattern = l->system_user + 1;
    if (!is_modest(pattern)) {
        return fault_set(why, E_CONFIG, "%s:%d: regular expression too large: %.40s", name, number,
                         pattern);
    }
    int rc = regcomp(&l->pattern, pattern, REG_EXTENDED);
    if (rc != 0) {
        char reason[80];
        (void)regerror(rc, &l->pattern, reason, sizeof reason);
        return fault_set(why, E_CONFIG, "%s:%d: regular expression %.40s: %s", name, number,
                         pattern, reason);
    }
    l->is_pattern = true;
    if (strstr(l->user, "\\1") != NULL && l->pattern.re_nsub == 0) {
        return fault_set(why, E_CONFIG,
                         "%s:%d: %.40s has a \\1, but the regular expression %.40s has no "
                         "(parentheses)",
                         name, number, l->user, pattern);
    }
    return E_OK;
}

static enum err take_record(struct ident *i, const struct record *rec, const char *name,
                            struct fault *why)
{
    for (size_t f = 0; f < rec->count; f++) {
        if (rec->fields[f].count > 1) {
            return fault_set(why, E_CONFIG, "%s:%d: %.40s: expected one name, not a list", name,
                             rec->line, rec->fields[f].tokens[0].text);
        }
    }
    if (rec->count != 3) {
        return fault_set(why, E_CONFIG,
                         "%s:%d: %.40s: expected map name, system user and database user", name,
                         rec->line, rec->fields[rec->count - 1].tokens[0].text);
    }
    i->lines = mem_grow(i->lines, i->count + 1, sizeof *i->lines);
    struct line *l = &i->lines[i->count++];
    const struct record_token *system_user = &rec->fields[1].tokens[0];
    const struct record_token *user = &rec->fields[2].tokens[0];
    *l = (struct line){.map = rec->fields[0].tokens[0].text,
                       .system_user = system_user->text,
                       .user = user->text,
                       .any_user = !user->quoted && strcmp(user->text, "all") == 0};
    if (!user->quoted && user->text[0] == '/') {
        return fault_set(why, E_CONFIG,
                         "%s:%d: %.40s: a regular expression can stand for the system user only",
                         name, rec->line, user->text);
    }
    return !system_user->quoted && system_user->text[0] == '/' ? compile(l, name, rec->line, why)
                                                               : E_OK;
}

enum err ident_parse(struct bytes text, const char *name, struct ident **ret, struct fault *why)
{
    struct ident *i = mem_new(struct ident);
    struct record_reader r = {.rest = text, .name = name};
    struct record rec;
    enum err e;
    while ((e = record_next(&r, &i->memory, &rec, why)) == E_OK) {
        e = take_record(i, &rec, name, why);
        if (e != E_OK) { break; }
    }
    if (e == E_EOF) {
        *ret = i;
        return E_OK;
    }
    ident_free(&i);
    return e;
}

void ident_free(struct ident **pi)
{
    struct ident *i = *pi;
    if (i == NULL) { return; }
    for (size_t n = 0; n < i->count; n++) {
        if (i->lines[n].is_pattern) { regfree(&i->lines[n].pattern); }
    }
    mem_free(&i->lines);
    arena_done(&i->memory);
    mem_free(pi);
}

bool ident_has(const struct ident *i, const char *map)
{
    for (size_t n = 0; i != NULL && n < i->count; n++) {
        if (strcmp(i->lines[n].map, map) == 0) { return true; }
    }
    return false;
}

/* The database user of the line, with \1 (its first, as in PostgreSQL) standing for `part`. */
static bool is_expanded(const char *template, struct bytes part, const char *user)
{
    const char *mark = strstr(template, "\\1");
    if (mark == NULL) { return strcmp(template, user) == 0; }
    size_t before = (size_t)(mark - template);
    const char *after = mark + 2;
    return strlen(user) == before + part.len + strlen(after) &&
           memcmp(user, template, before) == 0 &&
           (part.len == 0 || memcmp(user + before, part.ptr, part.len) == 0) &&
           strcmp(user + before + part.len, after) == 0;
}

static bool fits(const struct line *l, const char *system_user, const char *user)
{
    if (!l->is_pattern) {
        return strcmp(l->system_user, system_user) == 0 &&
               (l->any_user || strcmp(l->user, user) == 0);
    }
    regmatch_t found[2] = {{0}};
    if (regexec(&l->pattern, system_user, 2, found, 0) != 0) { return false; }
    struct bytes part = {0};
    if (l->pattern.re_nsub > 0 && found[1].rm_so >= 0) {
        part = bytes_of(system_user + found[1].rm_so, (size_t)(found[1].rm_eo - found[1].rm_so));
    }
    return l->any_user || is_expanded(l->user, part, user);
}

bool ident_allows(const struct ident *i, const char *map, const char *system_user, const char *user)
{
    if (map == NULL) { return strcmp(system_user, user) == 0; }
    if (strlen(system_user) > NAME_MOST) { return false; }
    for (size_t n = 0; i != NULL && n < i->count; n++) {
        const struct line *l = &i->lines[n];
        if (strcmp(l->map, map) == 0 && fits(l, system_user, user)) { return true; }
    }
    return false;
}
