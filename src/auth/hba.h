/*
 * auth_hba_file: who may come from where, and how they prove who they are. Read whole or not at
 * all, then immutable and refcounted; the maps of auth_ident_file are part of it.
 * Source: PostgreSQL manual, "The pg_hba.conf File".
 *
 * Not PostgreSQL's: host names, samerole, +role and methods that need a server of their own (gss,
 * sspi, radius, bsd) are errors; `password` may be written plain.
 */
#pragma once

#include <sys/socket.h>

#include "auth/ident.h"
#include "auth/ldapopt.h"

enum hba_method {
    HBA_TRUST,
    HBA_REJECT,
    HBA_PASSWORD,
    HBA_MD5,
    HBA_SCRAM,
    HBA_PEER,
    HBA_CERT,
    HBA_PAM,
    HBA_LDAP,
};

struct hba_rule {
    enum hba_method method;
    int line;                   /* in auth_hba_file */
    const char *map;            /* peer, cert: of auth_ident_file; NULL: the same name */
    const char *pam_service;    /* pam; NULL: not given */
    const struct ldapopt *ldap; /* ldap, never NULL there */
};

struct hba;

/* Who asks. */
struct hba_who {
    const char *database, *user;
    const struct sockaddr *address; /* NULL or AF_UNIX: over a unix socket */
    bool tls;
    bool replication; /* physical: only a rule that says replication is for it */
};

/* ident_path empty: no maps. Errors: E_IO; E_CONFIG with "FILE:LINE: ...". */
MUST_USE enum err hba_load(const char *path, const char *ident_path, struct hba **ret,
                           struct fault *why);
/*
 * The same from memory; `name` stands for the file in errors. ident (may be NULL) is taken, also on
 * failure. @FILE is an error.
 */
MUST_USE enum err hba_parse(struct bytes text, const char *name, struct ident *ident,
                            struct hba **ret, struct fault *why);
struct hba *hba_ref(struct hba *h);
void hba_unref(struct hba **h);

/* The first rule that fits, or NULL (also when a samenet before it cannot be judged). Lives as long
 * as h. */
const struct hba_rule *hba_find(const struct hba *h, const struct hba_who *who);
/* A line of it names that method. */
bool hba_uses(const struct hba *h, enum hba_method m);
/* The user maps of the same load; NULL: none. */
const struct ident *hba_ident(const struct hba *h);
/* "trust", "scram-sha-256", ... Static text. */
const char *hba_method_name(enum hba_method m);
