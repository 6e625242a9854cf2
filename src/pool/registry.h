/*
 * What exists: databases, their accounts (a database and a user), each account's pools, one per
 * node. Made at first use; a reload retires what changed; what is retired, or idle for long, goes
 * when nobody uses it any more (reap.h). One lock, held for look-ups only: what was found stays at
 * least until the worker's callback ends.
 */
#pragma once

#include "auth/credential.h"
#include "auth/hba.h"
#include "auth/userlist.h"
#include "base/hmap.h"
#include "base/sync.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "net/tls.h"
#include "pool/limits.h"
#include "pool/stats.h"
#include "route/node.h"
#include "route/recency.h"
#include "server/server.h"
#include "settings/identity.h"

/* What a login with certain startup settings is told: made by the first such login on a real
 * server. */
struct profile {
    struct hlink link;
    const struct varset *startup; /* the key, by its address */
    struct bytes parameters;      /* ParameterStatus messages */
};

struct database {
    struct dlist node; /* in the registry */
    struct hlink link; /* ... by its name, while it is in force */
    char *name;
    const struct config *config; /* one reference */
    const struct database_config *line;
    struct topology *topology;
    struct recency *recency;
    uint32_t id; /* of this definition */
    uint32_t
        cache_id; /* of the database itself, the same in every pgusher: in cache version keys */
    bool split;
    enum cache_mode cache;
    enum consistency consistency;
    enum pool_mode mode;
    int64_t max_lag_us;
    struct tls_context *tls; /* towards its servers; NULL: none */
    _Atomic bool retired;    /* a reload replaced it: clients move on at their next transaction */
    _Atomic bool paused, disabled;  /* by its name, on the console */
    const _Atomic bool *all_paused; /* the registry's: PAUSE of everything */
    _Atomic int clients;
    _Atomic int watchers;    /* monitors that look at it */
    struct cap *clients_cap; /* max_db_client_connections */
    struct cap *servers_cap; /* max_db_connections */
    bool automatic;          /* made from "*" */
    int64_t idle_since_us;   /* since when nobody uses it; 0: somebody does, or not looked yet */
    struct stats *past;      /* counted by accounts that are gone; NULL: none were */
    struct lock catalog_lock;
    struct catalog *catalog;       /* under the lock */
    _Atomic uint64_t catalog_turn; /* grows with each publication */
    _Atomic bool asks_sequences;   /* somebody has called lastval() or currval() */
    struct dlist accounts;
};

struct account {
    struct dlist node; /* in its database */
    struct hlink link; /* in the registry, by "database\0user", if ... */
    bool listed;       /* ... it is the one in force */
    struct database *database;
    char *user;        /* the client's */
    char *server_user; /* towards the server */
    const char *password;
    struct userlist *userlist; /* one reference: secret points into it */
    const struct user_secret *secret;
    struct vault vault; /* what logins told of the server_user */
    enum pool_mode mode;
    /* Of the account whose pools they are: */
    _Atomic bool odd_strings;  /* a server came with standard_conforming_strings = off */
    _Atomic bool odd_encoding; /* ... with a client_encoding that is odd: query/guc.h */
    struct pool **pools;       /* one per node of the topology */
    bool shares_pools;         /* they are another account's: the database line forces one user */
    _Atomic int clients;
    _Atomic int guests;        /* connections of its user beside its pools */
    struct cap *clients_cap;   /* max_user_client_connections */
    struct cap *servers_cap;   /* max_user_connections */
    int64_t idle_since_us;     /* as its database's */
    struct identity *identity; /* NULL when no [settings] row applies */
    struct lock profiles_lock;
    struct hmap profiles;
    struct stats *stats; /* one per worker */
    unsigned stats_count;
    char key[];
};

struct registry;

/* loops: the workers' loops, for the pools' lists of idle servers. Borrowed. */
struct registry *registry_new(struct loop **loops, unsigned loops_count);
void registry_free(struct registry **r);
/*
 * The configuration in force: databases whose definition changed are retired, their replacements
 * made. Control thread, or before the workers run.
 */
void registry_configure(struct registry *r, struct config *cfg, struct userlist *users);
/* TLS from the next registry_configure() on; each may be NULL: none. The registry takes references.
 */
void registry_secure(struct registry *r, struct tls_context *clients, struct tls_context *servers);
/* With clients: one reference for the caller, or NULL. */
struct tls_context *registry_client_tls(struct registry *r);
/* Towards servers: the same. */
struct tls_context *registry_server_tls(struct registry *r);
struct config *registry_config(struct registry *r);     /* one reference for the caller */
struct userlist *registry_userlist(struct registry *r); /* one reference for the caller */
/* From now on. It stays when auth_type is no longer hba, for logins that began before. The registry
 * takes a reference. */
void registry_set_hba(struct registry *r, struct hba *h);
struct hba *registry_hba(struct registry *r); /* one reference for the caller, or NULL */

/* PAUSE and RESUME of everything, beside what was said of single databases. */
void registry_pause(struct registry *r, bool paused);
/* A database was paused or resumed by itself: who waits for room looks again. */
void registry_tell_room(struct registry *r);
bool registry_is_paused(const struct registry *r);

/* Whoever is to know when a database was made from "*"; changed() comes from any thread. */
void registry_watch(struct registry *r, void (*changed)(void *arg), void *arg);
/* NULL when there is no such database and no "*" line. */
struct database *registry_database(struct registry *r, const char *name);
/* Never NULL. */
struct account *registry_account(struct registry *r, struct database *db, const char *user);
/* A client of the account has proven itself by this secret: its servers may need it. */
void account_learn(struct account *a, struct credential *c);
/*
 * A client logs in: *ret is its account, which stays until registry_leave(). E_NOTFOUND: no such
 * database, and no "*" line. E_REFUSED: it is disabled. E_LIMIT: it or the user has as many clients
 * as it may.
 */
MUST_USE enum err registry_enter(struct registry *r, const char *database, const char *user,
                                 struct account **ret, struct fault *why);
void registry_leave(struct registry *r, struct account *a);
/* A client goes on from an account to the one in force of the same names. Returns that; NULL: there
 * is none, and it stays where it is. */
struct account *registry_move(struct registry *r, struct account *a);
/* Walks under the lock: short, no I/O. */
void registry_each_database(struct registry *r, void (*visit)(struct database *db, void *arg),
                            void *arg);
void registry_each_account(struct registry *r, void (*visit)(struct account *a, void *arg),
                           void *arg);
/* Between the two, whatever is found stays, also from one callback or worker to the next. Short. */
void registry_hold(struct registry *r);
void registry_let_go(struct registry *r);

/* Whom pgusher's own connections to it log in as; NULL: nobody, so no probes, splitting or cache.
 *password may be NULL: libpq looks for it. Borrowed from the database and the user list. */
const char *database_monitor(const struct database *db, const struct userlist *users,
                             const char **password);

/* Its nodes are probed and its catalog loaded: it has several nodes, splits or caches, and someone
   to log in as. */
bool database_is_monitored(const struct database *db, const struct userlist *users);

/* No statement gets a server, and servers are closed at their release. */
static inline bool database_is_paused(const struct database *db)
{
    return atomic_load(&db->paused) || atomic_load(db->all_paused);
}

/* The catalog for judging, one reference; NULL: not known. */
struct catalog *database_catalog(struct database *db);
/* Takes the reference. Control thread. */
void database_publish_catalog(struct database *db, struct catalog *c);

/* The welcome for a startup set, or NULL: validate on a server first, then keep it. */
struct bytes account_profile(struct account *a, const struct varset *startup);
void account_keep_profile(struct account *a, const struct varset *startup, struct bytes parameters);
