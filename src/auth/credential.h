/*
 * A secret that is in no file: told by auth_query, or a password that PAM or LDAP has found right.
 * Immutable, counted and wiped. A vault is where an account keeps the newest one, for its logins to
 * servers. Any thread.
 */
#pragma once

#include "auth/userlist.h"
#include "base/sync.h"

struct credential;

/* As written in pg_authid; NULL or empty: known, but no password fits. Errors: E_SYNTAX when it
 * begins as a SCRAM secret but is none. */
MUST_USE enum err credential_new(const char *user, const char *text, struct credential **ret);
/* A password, whatever it looks like. */
struct credential *credential_password(const char *user, struct bytes password);
struct credential *credential_ref(struct credential *c);
void credential_unref(struct credential **c);
/* Lives as long as c. */
const struct user_secret *credential_secret(const struct credential *c);

struct vault {
    struct lock lock;
    struct credential *newest; /* or NULL */
};
void vault_init(struct vault *v);
void vault_done(struct vault *v);
/* Takes the reference. */
void vault_put(struct vault *v, struct credential *c);
/* One reference for the caller, or NULL. */
struct credential *vault_get(struct vault *v);
