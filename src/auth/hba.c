/* Lines to rules, and the first rule that fits. */
#include "auth/hba.h"

#include <stdatomic.h>
#include <string.h>

#include "auth/range.h"
#include "auth/record.h"
#include "base/file.h"
#include "base/mem.h"

enum { FILE_MOST = 16 << 20, DEEPEST_INCLUDE = 10, NAMES_MOST = 100000 };

enum origin { ORIGIN_LOCAL, ORIGIN_HOST, ORIGIN_SSL, ORIGIN_NO_SSL, ORIGIN_GSS, ORIGIN_NO_GSS };
enum word { WORD_NAME, WORD_ALL, WORD_SAMEUSER, WORD_REPLICATION };

struct name { /* of a list of databases or users */
    enum word word;
    const char *text;
};

struct names {
    struct name *list;
    size_t count, room;
};

struct rule {
    struct hba_rule told;
    enum origin origin;
    struct names databases, users;
    struct range from; /* not ORIGIN_LOCAL */
};

struct hba {
    struct arena memory;
    struct ident *ident;
    struct rule *rules;
    size_t count;
    atomic_uint refs;
};

/* One reading. */
struct reading {
    struct hba *h;
    const char *name;
    const char *folder; /* of @FILE; NULL: there can be none */
    int line;
    struct fault *why;
};

static const char *const method_names[] = {"trust", "reject", "password", "md5", "scram-sha-256",
                                           "peer",  "cert",   "pam",      "ldap"};

const char *hba_method_name(enum hba_method m)
{
    return method_names[m];
}

/* "FILE:LINE: token: what was expected". */
static enum err fail(const struct reading *r, const char *token, const char *expected)
{
    return fault_set(r->why, E_CONFIG, "%s:%d: %.60s: %s", r->name, r->line, token, expected);
}

/* ---- databases and users */

static enum err add_name(struct reading *r, struct names *to, struct name name)
{
    if (to->count >= NAMES_MOST) { return fail(r, name.text, "too many names"); }
    if (to->count == to->room) {
        struct name *old = to->list;
        to->room = to->room == 0 ? 4 : to->room * 2;
        to->list = arena_array(&r->h->memory, struct name, to->room);
        if (old != NULL) { memcpy(to->list, old, to->count * sizeof *old); }
    }
    to->list[to->count++] = name;
    return E_OK;
}

static enum err add_file(struct reading *r, struct names *to, const char *file, bool users,
                         int depth);

static enum err add_token(struct reading *r, struct names *to, const struct record_token *t,
                          bool users, int depth)
{
    struct name name = {WORD_NAME, t->text};
    if (t->quoted) { return add_name(r, to, name); }
    if (t->text[0] == '@' && t->text[1] != '\0') {
        return add_file(r, to, t->text + 1, users, depth + 1);
    }
    if (t->text[0] == '/' || (users && t->text[0] == '+')) {
        return fail(r, t->text,
                    users ? "roles' members and regular expressions are not supported here"
                          : "regular expressions are not supported here");
    }
    if (strcmp(t->text, "all") == 0) { name.word = WORD_ALL; }
    if (!users && strcmp(t->text, "sameuser") == 0) { name.word = WORD_SAMEUSER; }
    if (!users && strcmp(t->text, "replication") == 0) { name.word = WORD_REPLICATION; }
    if (!users && (strcmp(t->text, "samerole") == 0 || strcmp(t->text, "samegroup") == 0)) {
        return fail(r, t->text, "membership in roles is not known here");
    }
    return add_name(r, to, name);
}

/* A name is relative to the folder of the file it stands in; as in PostgreSQL, files may nest. */
static enum err add_file(struct reading *r, struct names *to, const char *file, bool users,
                         int depth)
{
    if (r->folder == NULL) { return fail(r, file, "@FILE is not possible here"); }
    if (depth > DEEPEST_INCLUDE) { return fail(r, file, "@FILE: too deep, 10 files at most"); }
    char *path = file[0] == '/' ? mem_strdup(file) : mem_printf("%s/%s", r->folder, file);
    struct buf text = {0};
    struct fault reason = {0};
    enum err e = file_read(path, FILE_MOST, &text, &reason);
    if (e != E_OK) { (void)fault_set(r->why, e, "%s:%d: @%s", r->name, r->line, reason.text); }
    struct record_reader reader = {.rest = buf_view(&text), .name = path};
    struct record rec;
    while (e == E_OK && (e = record_next(&reader, &r->h->memory, &rec, r->why)) == E_OK) {
        for (size_t f = 0; f < rec.count && e == E_OK; f++) {
            for (size_t t = 0; t < rec.fields[f].count && e == E_OK; t++) {
                e = add_token(r, to, &rec.fields[f].tokens[t], users, depth);
            }
        }
    }
    buf_done(&text);
    mem_free(&path);
    return e == E_EOF ? E_OK : e;
}

static enum err take_names(struct reading *r, struct names *to, const struct record_field *field,
                           bool users)
{
    enum err e = E_OK;
    for (size_t t = 0; t < field->count && e == E_OK; t++) {
        e = add_token(r, to, &field->tokens[t], users, 0);
    }
    return e;
}

/* ---- addresses */

static enum err one_token(const struct reading *r, const struct record_field *field)
{
    return field->count == 1
               ? E_OK
               : fail(r, field->tokens[1].text, "a list is not possible in this field");
}

/* Takes one field or, with a mask by itself, two. */
static enum err take_address(struct reading *r, struct rule *rule, const struct record *rec,
                             size_t *at)
{
    bool needs_mask = false;
    if (*at == rec->count) { return fail(r, "end of line", "expected an address"); }
    const struct record_field *field = &rec->fields[(*at)++];
    const struct record_token *t = &field->tokens[0];
    enum err e = one_token(r, field);
    if (e != E_OK) { return e; }
    const char *wrong = range_read(t->text, t->quoted, &rule->from, &needs_mask);
    if (wrong != NULL) { return fail(r, t->text, wrong); }
    if (!needs_mask) { return E_OK; }
    if (*at == rec->count) { return fail(r, t->text, "expected /bits or a mask behind it"); }
    field = &rec->fields[(*at)++];
    e = one_token(r, field);
    if (e != E_OK) { return e; }
    wrong = range_read_mask(field->tokens[0].text, &rule->from);
    return wrong == NULL ? E_OK : fail(r, field->tokens[0].text, wrong);
}

/* ---- the method and its options */

static enum err take_method(struct reading *r, struct rule *rule, const struct record_token *t)
{
    const char *text = strcmp(t->text, "plain") == 0 ? "password" : t->text;
    for (size_t m = 0; m < sizeof method_names / sizeof method_names[0]; m++) {
        if (strcmp(text, method_names[m]) != 0) { continue; }
        rule->told.method = (enum hba_method)m;
        if (m == HBA_PEER && rule->origin != ORIGIN_LOCAL) {
            return fail(r, t->text, "only local lines can have this method");
        }
        if (m == HBA_CERT && rule->origin != ORIGIN_SSL) {
            return fail(r, t->text, "only hostssl lines can have this method");
        }
        return E_OK;
    }
    return fail(r, t->text,
                "expected method trust, reject, password, md5, scram-sha-256, peer, cert, pam or "
                "ldap");
}

static enum err take_option(struct reading *r, struct rule *rule, struct ldapopt *ldap,
                            const struct record_token *t)
{
    const char *equals = strchr(t->text, '=');
    if (equals == NULL) { return fail(r, t->text, "expected name=value"); }
    const char *name = arena_strndup(&r->h->memory, t->text, (size_t)(equals - t->text));
    const char *value = equals + 1;
    enum hba_method m = rule->told.method;
    if (strcmp(name, "map") == 0) {
        if (m != HBA_PEER && m != HBA_CERT) {
            return fail(r, t->text, "a map is possible for peer and cert only");
        }
        if (!ident_has(r->h->ident, value)) {
            return fail(r, t->text, "auth_ident_file has no such map");
        }
        rule->told.map = value;
        return E_OK;
    }
    if (strcmp(name, "pamservice") == 0 && m == HBA_PAM) {
        if (value[0] == '\0' || strchr(value, '/') != NULL) {
            return fail(r, t->text, "expected the name of a PAM service");
        }
        rule->told.pam_service = value;
        return E_OK;
    }
    if (m == HBA_LDAP) {
        struct fault reason = {0};
        enum err e = ldapopt_set(ldap, &r->h->memory, name, value, &reason);
        if (e == E_OK) { return E_OK; }
        if (e != E_NOTFOUND) { return fail(r, name, reason.text); }
    }
    return fail(r, name, "no option of this method");
}

static enum err take_options(struct reading *r, struct rule *rule, const struct record *rec,
                             size_t at)
{
    struct ldapopt *ldap = NULL;
    enum err e = E_OK;
    if (rule->told.method == HBA_LDAP) {
        ldap = arena_new(&r->h->memory, struct ldapopt);
        ldapopt_init(ldap);
        rule->told.ldap = ldap;
    }
    for (; at < rec->count && e == E_OK; at++) {
        e = one_token(r, &rec->fields[at]);
        if (e == E_OK) { e = take_option(r, rule, ldap, &rec->fields[at].tokens[0]); }
    }
    if (e == E_OK && ldap != NULL) {
        struct fault reason = {0};
        if (ldapopt_check(ldap, &reason) != E_OK) { e = fail(r, "ldap", reason.text); }
    }
    return e;
}

/* ---- lines */

static enum err take_origin(struct reading *r, struct rule *rule, const struct record_field *field)
{
    static const char *const texts[] = {"local",     "host",       "hostssl",
                                        "hostnossl", "hostgssenc", "hostnogssenc"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && field->count == 1; i++) {
        if (strcmp(field->tokens[0].text, texts[i]) == 0) {
            rule->origin = (enum origin)i;
            return E_OK;
        }
    }
    return fail(r, field->tokens[0].text,
                "expected local, host, hostssl, hostnossl, hostgssenc or hostnogssenc");
}

static enum err take_record(struct reading *r, const struct record *rec)
{
    struct rule rule = {.told.line = rec->line};
    size_t at = 0;
    r->line = rec->line;
    enum err e = take_origin(r, &rule, &rec->fields[at++]);
    if (e == E_OK && at == rec->count) { e = fail(r, "end of line", "expected databases"); }
    if (e == E_OK) { e = take_names(r, &rule.databases, &rec->fields[at++], false); }
    if (e == E_OK && at == rec->count) { e = fail(r, "end of line", "expected users"); }
    if (e == E_OK) { e = take_names(r, &rule.users, &rec->fields[at++], true); }
    if (e == E_OK && rule.origin != ORIGIN_LOCAL) { e = take_address(r, &rule, rec, &at); }
    if (e == E_OK && at == rec->count) { e = fail(r, "end of line", "expected a method"); }
    if (e == E_OK) { e = one_token(r, &rec->fields[at]); }
    if (e == E_OK) { e = take_method(r, &rule, &rec->fields[at++].tokens[0]); }
    if (e == E_OK) { e = take_options(r, &rule, rec, at); }
    if (e != E_OK) { return e; }
    r->h->rules = mem_grow(r->h->rules, r->h->count + 1, sizeof rule);
    r->h->rules[r->h->count++] = rule;
    return E_OK;
}

static enum err parse(struct bytes text, const char *name, const char *folder, struct ident *ident,
                      struct hba **ret, struct fault *why)
{
    struct hba *h = mem_new(struct hba);
    atomic_init(&h->refs, 1);
    h->ident = ident;
    struct reading r = {.h = h, .name = name, .folder = folder, .why = why};
    struct record_reader reader = {.rest = text, .name = name};
    struct record rec;
    enum err e;
    while ((e = record_next(&reader, &h->memory, &rec, why)) == E_OK) {
        e = take_record(&r, &rec);
        if (e != E_OK) { break; }
    }
    if (e != E_EOF) {
        hba_unref(&h);
        return e;
    }
    *ret = h;
    return E_OK;
}

enum err hba_parse(struct bytes text, const char *name, struct ident *ident, struct hba **ret,
                   struct fault *why)
{
    return parse(text, name, NULL, ident, ret, why);
}

enum err hba_load(const char *path, const char *ident_path, struct hba **ret, struct fault *why)
{
    struct buf text = {0}, maps = {0};
    struct ident *ident = NULL;
    char *folder = mem_strdup(path), *slash = strrchr(folder, '/');
    if (slash != NULL) { *(slash == folder ? slash + 1 : slash) = '\0'; }
    enum err e = file_read(path, FILE_MOST, &text, why);
    if (e == E_OK && ident_path[0] != '\0') {
        e = file_read(ident_path, FILE_MOST, &maps, why);
        if (e == E_OK) { e = ident_parse(buf_view(&maps), ident_path, &ident, why); }
    }
    if (e == E_OK) {
        e = parse(buf_view(&text), path, slash == NULL ? "." : folder, ident, ret, why);
    }
    mem_free(&folder);
    buf_done(&text);
    buf_done(&maps);
    return e;
}

struct hba *hba_ref(struct hba *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void hba_unref(struct hba **ph)
{
    struct hba *h = *ph;
    *ph = NULL;
    if (h == NULL || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) { return; }
    ident_free(&h->ident);
    mem_free(&h->rules);
    arena_done(&h->memory);
    mem_free(&h);
}

bool hba_uses(const struct hba *h, enum hba_method m)
{
    for (size_t i = 0; i < h->count; i++) {
        if (h->rules[i].told.method == m) { return true; }
    }
    return false;
}

const struct ident *hba_ident(const struct hba *h)
{
    return h->ident;
}

/* ---- finding */

static bool fits_database(const struct names *names, const struct hba_who *who)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct name *n = &names->list[i];
        switch (n->word) {
        case WORD_REPLICATION:
            if (who->replication) { return true; }
            break;
        case WORD_ALL:
            if (!who->replication) { return true; }
            break;
        case WORD_SAMEUSER:
            if (!who->replication && strcmp(who->database, who->user) == 0) { return true; }
            break;
        case WORD_NAME:
            if (!who->replication && strcmp(who->database, n->text) == 0) { return true; }
            break;
        }
    }
    return false;
}

static bool fits_user(const struct names *names, const char *user)
{
    for (size_t i = 0; i < names->count; i++) {
        const struct name *n = &names->list[i];
        if (n->word == WORD_ALL || strcmp(n->text, user) == 0) { return true; }
    }
    return false;
}

static bool fits_origin(const struct rule *r, const struct hba_who *who)
{
    bool local = who->address == NULL || who->address->sa_family == AF_UNIX;
    switch (r->origin) {
    case ORIGIN_LOCAL: return local;
    case ORIGIN_SSL: return !local && who->tls;
    case ORIGIN_NO_SSL: return !local && !who->tls;
    case ORIGIN_HOST:
    case ORIGIN_NO_GSS: return !local;
    case ORIGIN_GSS: break; /* nobody comes by GSSAPI encryption */
    }
    return false;
}

const struct hba_rule *hba_find(const struct hba *h, const struct hba_who *who)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct rule *r = &h->rules[i];
        if (!fits_origin(r, who) || !fits_database(&r->databases, who) ||
            !fits_user(&r->users, who->user)) {
            continue;
        }
        switch (r->origin == ORIGIN_LOCAL ? RANGE_INSIDE : range_fits(&r->from, who->address)) {
        case RANGE_INSIDE: return &r->told;
        case RANGE_UNKNOWN: return NULL;
        case RANGE_OUTSIDE: break;
        }
    }
    return NULL;
}
