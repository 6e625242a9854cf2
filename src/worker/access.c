/* Reading the files, and keeping what did not change. */
#include "worker/access.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"

enum { USERS_MOST = 64 << 20 };

static void wipe(struct buf *b)
{
    if (b->data != NULL) { mem_wipe(b->data, b->cap); }
    buf_done(b);
}

static enum err load_users(const struct config *cfg, const struct access *old, struct access *ret,
                           struct fault *why)
{
    const char *path = cfg->o.auth_file;
    struct fault reason = {0};
    if (path[0] != '\0' && file_read(path, USERS_MOST, &ret->users_file, &reason) != E_OK) {
        return fault_set(why, E_IO, "cannot read auth_file %s", reason.text);
    }
    if (old != NULL && old->users != NULL &&
        bytes_equal(buf_view(&ret->users_file), buf_view(&old->users_file))) {
        ret->users = userlist_ref(old->users);
        return E_OK;
    }
    return userlist_parse(buf_view(&ret->users_file), path, &ret->users, why);
}

static enum err check_ldap(const struct config *cfg, struct fault *why)
{
    struct arena memory = {0};
    struct ldapopt options;
    struct fault reason = {0};
    enum err e = ldapopt_parse(cfg->o.auth_ldap_options, &memory, &options, &reason);
    arena_done(&memory);
    return e == E_OK ? E_OK : fault_set(why, e, "auth_ldap_options: %s", reason.text);
}

enum err access_load(const struct config *cfg, const struct access *old, struct access *ret,
                     struct fault *why)
{
    struct access fresh = {0};
    enum err e = load_users(cfg, old, &fresh, why);
    if (e == E_OK && cfg->o.auth_type == AUTH_HBA) {
        e = hba_load(cfg->o.auth_hba_file, cfg->o.auth_ident_file, &fresh.hba, why);
    }
    if (e == E_OK && cfg->o.auth_type == AUTH_LDAP) { e = check_ldap(cfg, why); }
    if (e != E_OK) {
        access_done(&fresh);
        return e;
    }
    *ret = fresh;
    return E_OK;
}

void access_done(struct access *a)
{
    userlist_unref(&a->users);
    hba_unref(&a->hba);
    wipe(&a->users_file);
}

const char *access_useless_secret(const struct config *cfg, const struct access *a, size_t i)
{
    for (size_t n = 0; n <= cfg->databases_count; n++) {
        const char *user = n == 0 ? cfg->o.auth_user : cfg->databases[n - 1].auth_user;
        const struct user_secret *secret =
            user == NULL || user[0] == '\0' ? NULL : userlist_find(a->users, user);
        if (secret == NULL || (secret->kind != SECRET_MD5 && secret->kind != SECRET_SCRAM)) {
            continue;
        }
        if (i-- == 0) { return user; }
    }
    return NULL;
}
