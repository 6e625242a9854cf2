/*
 * auth_file: "user" "secret" lines, PgBouncer's format. Immutable and refcounted after load.
 * The ClientKey learned from a SCRAM login is kept beside its user, so that the server can be logged
 * in to with it (pass-through): that is the one thing that changes, under a lock.
 */
#pragma once

#include "auth/scram.h"
#include "base/fault.h"

struct userlist;

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct user_secret {
    const char *user;
    const char *text; /* as written: a password, md5..., SCRAM-SHA-256$... */
    enum secret_kind kind;
    struct scram_secret scram; /* kind SCRAM */
};

/* path NULL or empty: an empty list. Errors: E_IO; E_CONFIG with FILE:LINE. */
MUST_USE enum err userlist_load(const char *path, struct userlist **ret, struct fault *why);
struct userlist *userlist_ref(struct userlist *l);
void userlist_unref(struct userlist **l);
const struct user_secret *userlist_find(const struct userlist *l, const char *user);

/* SCRAM pass-through: keep and get the ClientKey that fits this user's secret. Any thread. */
void userlist_keep_client_key(const struct user_secret *u, const uint8_t key[SCRAM_KEY]);
bool userlist_client_key(const struct user_secret *u, uint8_t ret[SCRAM_KEY]);
