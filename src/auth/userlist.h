/*
 * auth_file: "user" "secret" lines, PgBouncer's format. Immutable and refcounted after load.
 * The ClientKey learned from a SCRAM login is kept beside its secret (keyring.h), so that the
 * server can be logged in to with it (pass-through), also after the file was read again.
 */
#pragma once

#include "auth/scram.h"
#include "base/fault.h"

struct userlist;

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct user_secret {
    const char *user;
    const char *text;      /* as written: a password, md5..., SCRAM-SHA-256$... */
    enum secret_kind kind; /* NONE: the text is empty; the user is known, but no password fits */
    struct scram_secret scram; /* kind SCRAM */
};

/*
 * Tells what kind of secret a text is, wherever it came from (auth_file, auth_query, a database
 * line). user and text are borrowed; text may be NULL. Errors: E_SYNTAX when it begins as a SCRAM
 * secret but is none.
 */
MUST_USE enum err user_secret_read(const char *user, const char *text, struct user_secret *ret);

/* path NULL or empty: an empty list. Errors: E_IO; E_CONFIG with FILE:LINE. */
MUST_USE enum err userlist_load(const char *path, struct userlist **ret, struct fault *why);
/* The same from memory; `name` stands for the file in errors. */
MUST_USE enum err userlist_parse(struct bytes text, const char *name, struct userlist **ret,
                                 struct fault *why);
struct userlist *userlist_ref(struct userlist *l);
/* The last one wipes the secrets. */
void userlist_unref(struct userlist **l);
/* NULL when there is no such user. Lives as long as the list. */
const struct user_secret *userlist_find(const struct userlist *l, const char *user);
/* What most secrets are, SECRET_SCRAM or another; SECRET_NONE: there are none. */
enum secret_kind userlist_usual(const struct userlist *l);
/* How many users there are; their names, in no order, into `names` unless it is NULL. */
size_t userlist_names(const struct userlist *l, const char **names);

/*
 * SCRAM pass-through: keep and get the ClientKey that fits this user's secret, from a userlist or
 * not. Only kind SCRAM has one. Any thread.
 */
void userlist_keep_client_key(const struct user_secret *u, const uint8_t key[SCRAM_KEY]);
bool userlist_client_key(const struct user_secret *u, uint8_t ret[SCRAM_KEY]);
