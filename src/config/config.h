/*
 * The configuration: PgBouncer's ini with all its keys, plus pgusher's. Loaded whole or not at all,
 * then immutable and refcounted; a reload makes a new one. Options are rows of options.def:
 *   OPT_BOOL(name, default, reloadable, help)            bool    name
 *   OPT_INT(name, default, min, max, reloadable, help)   int     name
 *   OPT_TIME(name, default, reloadable, help)            int64_t name_us   (ini: seconds as float,
 * or 10s 100ms 1h 5min) OPT_SIZE(name, default, reloadable, help)            int64_t name_bytes
 * (ini: bytes, or kB MB GB) OPT_STR(name, default, reloadable, help)             char   *name
 * (never NULL) OPT_ENUM(name, enum, default, reloadable, help)      enum    name
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/fault.h"

enum pool_mode { POOL_SESSION, POOL_TRANSACTION, POOL_STATEMENT };
enum auth_type {
    AUTH_ANY,
    AUTH_TRUST,
    AUTH_PLAIN,
    AUTH_MD5,
    AUTH_CERT,
    AUTH_HBA,
    AUTH_LDAP,
    AUTH_PAM,
    AUTH_SCRAM
};
enum cache_mode { CACHE_OFF, CACHE_MEMORY, CACHE_REDIS };
enum consistency { READ_EVENTUAL, READ_SESSION, READ_CLUSTER };
enum primary_reads { PRIMARY_NEVER, PRIMARY_FALLBACK, PRIMARY_ALWAYS };
enum notify_lost { NOTIFY_DISCONNECT, NOTIFY_KEEP };
enum log_format { LOG_TEXT, LOG_JSON };
enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };
enum compat { COMPAT_OFF, COMPAT_STRICT };
enum rule_mode { RULE_TTL, RULE_BOUNDED, RULE_STRICT, RULE_FENCED };
enum rule_rls { RLS_REFUSE, RLS_KEYED };
enum cache_invalidation {
    INVALIDATE_TTL,
    INVALIDATE_WRITES,
    INVALIDATE_NOTIFY,
    INVALIDATE_REPLICATION
};

struct options {
#define OPT_BOOL(name, def, reload, help)          bool name;
#define OPT_INT(name, def, min, max, reload, help) int name;
#define OPT_TIME(name, def, reload, help)          int64_t name##_us;
#define OPT_SIZE(name, def, reload, help)          int64_t name##_bytes;
#define OPT_STR(name, def, reload, help)           char *name;
#define OPT_ENUM(name, type, def, reload, help)    enum type name;
#include "config/options.def"
#undef OPT_BOOL
#undef OPT_INT
#undef OPT_TIME
#undef OPT_SIZE
#undef OPT_STR
#undef OPT_ENUM
};

struct host_config {
    char *host; /* name, address, or a folder of unix sockets starting with '/' */
    int port;
};

/* A line of [databases]; -1 and NULL: not given, the option's value holds. */
struct database_config {
    char *name; /* "*": the fallback */
    char *dbname;
    struct host_config *hosts;
    size_t hosts_count;
    char *user, *password; /* forced towards the server */
    char *auth_user, *auth_query, *auth_dbname, *connect_query;
    char *client_encoding, *datestyle, *timezone, *application_name;
    int pool_size, replica_pool_size, min_pool_size, reserve_pool_size, max_db_connections,
        max_db_client_connections;
    int pool_mode;                                     /* enum pool_mode or -1 */
    int read_write_split;                              /* 0, 1 or -1 */
    int cache;                                         /* enum cache_mode or -1 */
    int read_consistency;                              /* enum consistency or -1 */
    int64_t query_wait_timeout_us, server_lifetime_us; /* -1: not given */
    char *load_balance_hosts;                          /* NULL: not given */
    char *monitor_user;                                /* NULL: the option's value holds */
};

struct user_config {
    char *name;
    int pool_size, reserve_pool_size, max_user_connections, max_user_client_connections;
    int pool_mode;
    int64_t query_timeout_us, query_wait_timeout_us, idle_transaction_timeout_us,
        transaction_timeout_us, client_idle_timeout_us;
};

struct rule_config { /* [cache:NAME] */
    char *name;
    char **tables; /* lower case, "schema.table" */
    size_t tables_count;
    int64_t ttl_us;
    enum rule_mode mode;
    enum rule_rls rls;
    char *scope;
    bool empty_results; /* cache results without rows */
};

struct setting_config {    /* a row of [settings], [settings:DB], [settings:DB/USER] */
    char *database, *user; /* NULL: any */
    char *name;            /* lower case */
    bool required;
    char *value; /* the template, checked at load */
};

struct peer_config {
    int id;
    char *host;
    int port, pool_size;
};

struct config {
    struct options o;
    char *path;
    struct database_config *databases;
    size_t databases_count;
    struct user_config *users;
    size_t users_count;
    struct rule_config *rules;
    size_t rules_count;
    struct setting_config *settings;
    size_t settings_count;
    struct peer_config *peers;
    size_t peers_count;
    uint32_t refs;     /* atomic */
    const char **kept; /* after config_reload(): names of options that need a restart */
    size_t kept_count;
    struct arena memory; /* the texts */
    struct config *base; /* owner of the arrays and of texts not in memory, after config_set() */
};

/*
 * Reads the ini and all it includes.
 * Errors: E_IO when a file cannot be read; E_CONFIG with "FILE:LINE: what was found, what was
 * expected". Owner:  the caller holds one reference.
 */
MUST_USE enum err config_load(const char *path, struct config **ret, struct fault *why);
/*
 * The same from old's conffile; options that need a restart keep old's values. Errors: as
 * config_load().
 */
MUST_USE enum err config_reload(const struct config *old, struct config **ret, struct fault *why);
/* The i-th of those that the files would change; NULL after the last. */
const char *config_kept(const struct config *cfg, size_t i);
/*
 * The same configuration with one option changed, as the console's SET does.
 * Errors: E_NOTFOUND for an unknown key, E_CONFIG for a bad value or an option that needs a
 * restart.
 */
MUST_USE enum err config_set(const struct config *from, const char *key, const char *value,
                             struct config **ret, struct fault *why);
struct config *config_ref(struct config *cfg);
void config_unref(struct config **cfg);

/* NULL when there is no such line; the "*" line is found by its own name only. */
const struct database_config *config_database(const struct config *cfg, const char *name);
/* The same, or the "*" line, which stands for all that have none. */
const struct database_config *config_line(const struct config *cfg, const char *name);
const struct user_config *config_user(const struct config *cfg, const char *name);

/* One row of SHOW CONFIG; i from 0 while it returns true. Texts are valid until the next call. */
struct config_row {
    const char *name, *value, *def, *help;
    bool changeable;
};
bool config_row(const struct config *cfg, size_t i, struct config_row *ret);
/* What an option is when nothing is given; the key must exist. */
const char *config_default(const char *key);
/* server_tls_* as a connection string of libpq, for the control thread's own connections: they are
 * then as safe as servers are. Owner: the caller. */
char *config_libpq_tls(const struct options *o);
/* The i-th setting that was given but that this version does not act on, as a line for the log;
 * NULL after the last. Valid until the next call. */
const char *config_unsupported(const struct config *cfg, size_t i);
/* --help-config: every option with its default and help. */
void config_help(FILE *out);
