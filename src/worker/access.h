/* Who may come in, as files say it: auth_file, auth_hba_file, auth_ident_file. Control thread. */
#pragma once

#include "auth/hba.h"
#include "auth/userlist.h"
#include "base/buf.h"
#include "config/config.h"

struct access {
    struct userlist *users;
    struct buf users_file; /* its bytes, to see whether a reload changed it */
    struct hba *hba;       /* NULL: auth_type is not hba */
};

/*
 * Reads all of it, or nothing. old: what is in force, or NULL: the list of users is the same object
 * as long as its file's bytes are the same, so that nothing is retired in vain.
 * Errors: E_IO, E_CONFIG with the place.
 */
MUST_USE enum err access_load(const struct config *cfg, const struct access *old,
                              struct access *ret, struct fault *why);
void access_done(struct access *a);
/* Names of users who run auth_query, but whose secret in auth_file is of no use for that: libpq
 * takes passwords only. i from 0 until it is NULL. */
const char *access_useless_secret(const struct config *cfg, const struct access *a, size_t i);
