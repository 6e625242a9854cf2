/*
 * Reading auth_file as PgBouncer does: two quoted texts, what follows them on the line is not
 * looked at (older files have more columns there), the last line of a user holds.
 */
#include "auth/userlist.h"

#include <stdatomic.h>
#include <string.h>

#include "auth/crypto.h"
#include "auth/keyring.h"
#include "auth/md5.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/hmap.h"
#include "base/mem.h"

enum { FILE_MAX = 64 << 20 };

struct entry {
    struct hlink by_user;
    struct user_secret secret;
};

struct userlist {
    struct hmap users;
    enum secret_kind usual;
    atomic_uint refs;
};

enum err user_secret_read(const char *user, const char *text, struct user_secret *ret)
{
    struct user_secret u = {.user = user, .text = text == NULL ? "" : text};
    if (u.text[0] == '\0') {
        u.kind = SECRET_NONE;
    } else if (md5_is_secret(u.text)) {
        u.kind = SECRET_MD5;
    } else if (strncmp(u.text, SCRAM_MECHANISM "$", sizeof SCRAM_MECHANISM) == 0) {
        u.kind = SECRET_SCRAM;
        if (scram_secret_read(u.text, &u.scram) != E_OK) { return E_SYNTAX; }
    } else {
        u.kind = SECRET_PLAIN;
    }
    *ret = u;
    return E_OK;
}

/* ---- the list */

static void entry_free(struct entry *e)
{
    char *user = (char *)e->secret.user, *text = (char *)e->secret.text;
    mem_wipe(text, strlen(text));
    mem_wipe(&e->secret, sizeof e->secret);
    mem_free(&user);
    mem_free(&text);
    mem_free(&e);
}

struct userlist *userlist_ref(struct userlist *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void userlist_unref(struct userlist **l)
{
    struct userlist *list = *l;
    *l = NULL;
    if (list == NULL || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    hmap_each (link, &list->users) {
        hmap_remove(&list->users, link);
        entry_free(container_of(link, struct entry, by_user));
    }
    hmap_done(&list->users);
    mem_free(&list);
}

const struct user_secret *userlist_find(const struct userlist *l, const char *user)
{
    struct hlink *link = hmap_find(&l->users, bytes_str(user));
    return link == NULL ? NULL : &container_of(link, struct entry, by_user)->secret;
}

enum secret_kind userlist_usual(const struct userlist *l)
{
    return l->usual;
}

static enum secret_kind count_usual(const struct userlist *l)
{
    size_t counts[SECRET_SCRAM + 1] = {0};
    enum secret_kind most = SECRET_NONE;
    hmap_each (link, &l->users) {
        counts[container_of(link, struct entry, by_user)->secret.kind]++;
    }
    for (enum secret_kind k = SECRET_PLAIN; k <= SECRET_SCRAM; k++) {
        if (counts[k] > 0 && (most == SECRET_NONE || counts[k] > counts[most])) { most = k; }
    }
    return most;
}

size_t userlist_names(const struct userlist *l, const char **names)
{
    if (names != NULL) {
        hmap_each (link, &l->users) {
            *names++ = container_of(link, struct entry, by_user)->secret.user;
        }
    }
    return l->users.count;
}

/* Takes both texts, also on failure. */
static enum err add(struct userlist *list, char *user, char *text)
{
    struct entry *fresh = mem_new(struct entry);
    enum err e = user_secret_read(user, text, &fresh->secret);
    if (e != E_OK) {
        fresh->secret.user = user;
        fresh->secret.text = text;
        entry_free(fresh);
        return e;
    }
    struct bytes key = bytes_str(user);
    struct hlink *before = hmap_find(&list->users, key);
    if (before != NULL) {
        hmap_remove(&list->users, before);
        entry_free(container_of(before, struct entry, by_user));
    }
    hmap_insert(&list->users, &fresh->by_user, key);
    return E_OK;
}

/* ---- the text */

static void skip_spaces(struct bytes *line)
{
    while (line->len > 0 && (line->ptr[0] == ' ' || line->ptr[0] == '\t' || line->ptr[0] == '\r')) {
        *line = bytes_skip(*line, 1);
    }
}

/* Takes "..." from the front of the line, "" inside it being one quote. NULL when it is not there.
 */
static char *take_quoted(struct bytes *line)
{
    if (line->len == 0 || line->ptr[0] != '"') { return NULL; }
    struct bytes left = bytes_skip(*line, 1);
    char *text = mem_array(char, left.len + 1);
    size_t len = 0;
    for (;;) {
        const uint8_t *quote = left.len == 0 ? NULL : memchr(left.ptr, '"', left.len);
        if (quote == NULL) {
            mem_wipe(text, len);
            mem_free(&text);
            return NULL;
        }
        size_t part = (size_t)(quote - left.ptr);
        memcpy(text + len, left.ptr, part);
        len += part;
        left = bytes_skip(left, part + 1);
        if (left.len == 0 || left.ptr[0] != '"') { break; }
        text[len++] = '"';
        left = bytes_skip(left, 1);
    }
    *line = left;
    return text;
}

static enum err read_line(struct userlist *list, struct bytes line, const char *name,
                          unsigned number, struct fault *why)
{
    skip_spaces(&line);
    if (line.len == 0 || line.ptr[0] == ';') { return E_OK; }
    if (memchr(line.ptr, 0, line.len) != NULL) {
        return fault_set(why, E_CONFIG, "%s:%u: a zero byte, expected text", name, number);
    }
    char *user = take_quoted(&line);
    if (user == NULL) {
        return fault_set(why, E_CONFIG, "%s:%u: expected \"user\" in double quotes", name, number);
    }
    if (user[0] == '\0') {
        mem_free(&user);
        return fault_set(why, E_CONFIG, "%s:%u: empty user name", name, number);
    }
    skip_spaces(&line);
    char *text = take_quoted(&line);
    if (text == NULL) {
        mem_free(&user);
        return fault_set(why, E_CONFIG,
                         "%s:%u: expected \"secret\" in double quotes behind the user", name,
                         number);
    }
    if (add(list, user, text) != E_OK) {
        return fault_set(why, E_CONFIG,
                         "%s:%u: malformed SCRAM secret, expected "
                         "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey",
                         name, number);
    }
    return E_OK;
}

enum err userlist_parse(struct bytes text, const char *name, struct userlist **ret,
                        struct fault *why)
{
    struct userlist *list = mem_new(struct userlist);
    atomic_init(&list->refs, 1);
    enum err e = E_OK;
    for (unsigned number = 1; text.len > 0 && e == E_OK; number++) {
        const uint8_t *end = memchr(text.ptr, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.ptr);
        e = read_line(list, bytes_of(text.ptr, len), name, number, why);
        text = bytes_skip(text, end == NULL ? len : len + 1);
    }
    if (e == E_OK) {
        list->usual = count_usual(list);
        *ret = list;
        list = NULL;
    }
    userlist_unref(&list);
    return e;
}

enum err userlist_load(const char *path, struct userlist **ret, struct fault *why)
{
    struct buf text = {0};
    enum err e = E_OK;
    if (path != NULL && path[0] != '\0') { e = file_read(path, FILE_MAX, &text, why); }
    if (e == E_OK) { e = userlist_parse(buf_view(&text), path, ret, why); }
    crypto_wipe_buf(&text);
    return e;
}

/* ---- pass-through: a ClientKey belongs to the secret whose StoredKey is its hash */

static void client_key_id(const struct user_secret *u, uint8_t ret[KEYRING_ID])
{
    const struct bytes parts[] = {bytes_of(u->scram.stored_key, SCRAM_KEY),
                                  bytes_of(u->scram.server_key, SCRAM_KEY)};
    keyring_id("client key", parts, 2, ret);
}

void userlist_keep_client_key(const struct user_secret *u, const uint8_t key[SCRAM_KEY])
{
    if (u->kind != SECRET_SCRAM) { return; }
    uint8_t id[KEYRING_ID], data[KEYRING_DATA] = {0};
    client_key_id(u, id);
    memcpy(data, key, SCRAM_KEY);
    keyring_keep(id, data);
    mem_wipe(data, sizeof data);
}

bool userlist_client_key(const struct user_secret *u, uint8_t ret[SCRAM_KEY])
{
    uint8_t id[KEYRING_ID], data[KEYRING_DATA];
    if (u->kind != SECRET_SCRAM) { return false; }
    client_key_id(u, id);
    if (!keyring_find(id, data)) { return false; }
    memcpy(ret, data, SCRAM_KEY);
    mem_wipe(data, sizeof data);
    return true;
}
