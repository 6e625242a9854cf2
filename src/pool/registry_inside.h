/* What registry.c, account.c and reap.c share. */
#pragma once

#include "pool/registry.h"

struct registry {
    struct lock lock;
    struct config *config;
    struct userlist *userlist;
    struct hba *hba; /* or NULL */
    struct tls_context *client_tls, *server_tls;
    struct dlist
        databases;        /* retired ones too: clients may still be on their way to the new ones */
    struct hmap names;    /* those in force */
    struct hmap accounts; /* of databases in force */
    struct loop **loops;
    unsigned loops_count;
    uint32_t last_id;
    _Atomic bool paused;
    struct limits servers, clients; /* max_db_connections ..., max_db_client_connections ... */

    struct dlist doomed_databases, doomed_accounts; /* taken out, not freed yet: reap.c */
    uint32_t *doomed_ids;                           /* of those databases; control thread */
    size_t doomed_ids_count;
    _Atomic unsigned holders;
    void (*changed)(void *arg); /* or NULL */
    void *changed_arg;
};

/* ---- registry.c */
void database_free(struct registry *r, struct database **db);
/* The one in force, or NULL. */
struct database *registry_find_locked(struct registry *r, const char *name);
/* Its name leads to another definition from now on, or to none. */
void registry_retire_locked(struct registry *r, struct database *db);

/* ---- account.c */
struct account *account_new_locked(struct registry *r, struct database *db, const char *user);
void account_free(struct registry *r, struct account **a);
/* Its name leads to it no more. */
void account_unlist_locked(struct registry *r, struct account *a);
void account_cap_locked(struct registry *r, const struct account *a);
