/* Texts with a count, and the lock around a pointer to one. */
#include "auth/credential.h"

#include <stdatomic.h>

#include "base/mem.h"

struct credential {
    struct user_secret secret;
    char *user, *text;
    atomic_uint refs;
};

static struct credential *make(const char *user, struct bytes text)
{
    struct credential *c = mem_new(struct credential);
    atomic_init(&c->refs, 1);
    c->user = mem_strdup(user);
    c->text = mem_strndup(text.len == 0 ? "" : (const char *)text.ptr, text.len);
    return c;
}

enum err credential_new(const char *user, const char *text, struct credential **ret)
{
    struct credential *c = make(user, bytes_str(text));
    enum err e = user_secret_read(c->user, c->text, &c->secret);
    if (e != E_OK) {
        credential_unref(&c);
        return e;
    }
    *ret = c;
    return E_OK;
}

struct credential *credential_password(const char *user, struct bytes password)
{
    struct credential *c = make(user, password);
    c->secret = (struct user_secret){.user = c->user, .text = c->text, .kind = SECRET_PLAIN};
    return c;
}

struct credential *credential_ref(struct credential *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void credential_unref(struct credential **pc)
{
    struct credential *c = *pc;
    *pc = NULL;
    if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) { return; }
    mem_wipe(c->text, strlen(c->text));
    mem_wipe(&c->secret, sizeof c->secret);
    mem_free(&c->user);
    mem_free(&c->text);
    mem_free(&c);
}

const struct user_secret *credential_secret(const struct credential *c)
{
    return &c->secret;
}

void vault_init(struct vault *v)
{
    lock_init(&v->lock, RANK_LEAF);
    v->newest = NULL;
}

void vault_done(struct vault *v)
{
    credential_unref(&v->newest);
    lock_done(&v->lock);
}

void vault_put(struct vault *v, struct credential *c)
{
    lock_take(&v->lock);
    struct credential *old = v->newest;
    v->newest = c;
    lock_drop(&v->lock);
    credential_unref(&old);
}

struct credential *vault_get(struct vault *v)
{
    lock_take(&v->lock);
    struct credential *c = v->newest == NULL ? NULL : credential_ref(v->newest);
    lock_drop(&v->lock);
    return c;
}
