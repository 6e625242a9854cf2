/* Lines of [databases], [users] and [peers]: connection strings whose keys are rows of a table. */
#include "config/load.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "config/connstr.h"
#include "config/value.h"

enum param_kind { PARAM_INT, PARAM_TIME, PARAM_STR, PARAM_SWITCH, PARAM_ENUM };

struct param {
    const char *key;
    enum param_kind kind;
    size_t offset;
    const char *const *texts;
};

#define DB(key, kind, field)                                                                       \
    {                                                                                              \
        key, kind, offsetof(struct database_config, field), NULL                                   \
    }
static const struct param database_params[] = {
    DB("dbname", PARAM_STR, dbname),
    DB("user", PARAM_STR, user),
    DB("password", PARAM_STR, password),
    DB("auth_user", PARAM_STR, auth_user),
    DB("auth_query", PARAM_STR, auth_query),
    DB("auth_dbname", PARAM_STR, auth_dbname),
    DB("connect_query", PARAM_STR, connect_query),
    DB("client_encoding", PARAM_STR, client_encoding),
    DB("datestyle", PARAM_STR, datestyle),
    DB("timezone", PARAM_STR, timezone),
    DB("application_name", PARAM_STR, application_name),
    DB("monitor_user", PARAM_STR, monitor_user),
    DB("pool_size", PARAM_INT, pool_size),
    DB("replica_pool_size", PARAM_INT, replica_pool_size),
    DB("min_pool_size", PARAM_INT, min_pool_size),
    DB("reserve_pool_size", PARAM_INT, reserve_pool_size),
    DB("reserve_pool", PARAM_INT, reserve_pool_size),
    DB("max_db_connections", PARAM_INT, max_db_connections),
    DB("max_db_client_connections", PARAM_INT, max_db_client_connections),
    DB("query_wait_timeout", PARAM_TIME, query_wait_timeout_us),
    DB("server_lifetime", PARAM_TIME, server_lifetime_us),
    DB("read_write_split", PARAM_SWITCH, read_write_split),
    {"pool_mode", PARAM_ENUM, offsetof(struct database_config, pool_mode), option_pool_modes},
    {"read_consistency", PARAM_ENUM, offsetof(struct database_config, read_consistency),
     option_consistencies},
    {NULL, 0, 0, NULL},
};

#define USER(key, kind, field)                                                                     \
    {                                                                                              \
        key, kind, offsetof(struct user_config, field), NULL                                       \
    }
static const struct param user_params[] = {
    USER("pool_size", PARAM_INT, pool_size),
    USER("reserve_pool_size", PARAM_INT, reserve_pool_size),
    USER("max_user_connections", PARAM_INT, max_user_connections),
    USER("max_user_client_connections", PARAM_INT, max_user_client_connections),
    USER("query_timeout", PARAM_TIME, query_timeout_us),
    USER("query_wait_timeout", PARAM_TIME, query_wait_timeout_us),
    USER("idle_transaction_timeout", PARAM_TIME, idle_transaction_timeout_us),
    USER("transaction_timeout", PARAM_TIME, transaction_timeout_us),
    USER("client_idle_timeout", PARAM_TIME, client_idle_timeout_us),
    {"pool_mode", PARAM_ENUM, offsetof(struct user_config, pool_mode), option_pool_modes},
    {NULL, 0, 0, NULL},
};

static enum err set_param(void *entry, const struct param *p, char *value, struct fault *why)
{
    void *at = (char *)entry + p->offset;
    bool on = false;
    enum err e = E_OK;
    const char *expected = "";
    switch (p->kind) {
    case PARAM_INT:
        e = value_int(value, 0, 10000000, at);
        expected = "a number from 0 to 10000000";
        break;
    case PARAM_TIME:
        e = value_time(value, at);
        expected = "seconds, or a time like 10s, 100ms, 5min, 1h";
        break;
    case PARAM_STR: *(char **)at = value; break;
    case PARAM_SWITCH:
        e = value_bool(value, &on);
        expected = "on or off";
        if (e == E_OK) { *(int *)at = on; }
        break;
    case PARAM_ENUM:
        e = value_enum(value, p->texts, at);
        expected = p->texts == option_pool_modes ? "session, transaction or statement"
                                                 : "eventual, session or cluster";
        break;
    }
    return e == E_OK ? E_OK : fault_set(why, e, "%s = %.60s: expected %s", p->key, value, expected);
}

static enum err unknown_param(const char *key, const struct param *params, const char *const *more,
                              struct fault *why)
{
    struct nearest n = {0};
    for (; params->key != NULL; params++) { nearest_try(&n, key, params->key); }
    for (; more != NULL && *more != NULL; more++) { nearest_try(&n, key, *more); }
    return n.name == NULL
               ? fault_set(why, E_CONFIG, "unknown parameter %.60s", key)
               : fault_set(why, E_CONFIG, "unknown parameter %.60s; is it %s?", key, n.name);
}

static const struct param *find_param(const struct param *params, const char *key)
{
    for (; params->key != NULL; params++) {
        if (strcmp(params->key, key) == 0) { return params; }
    }
    return NULL;
}

static size_t count_parts(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++) { count += *list == ','; }
    return count;
}

/* The next part of a comma list, without white space around. */
static char *next_part(const char **list, struct arena *memory)
{
    const char *start = *list, *end = strchrnul(start, ',');
    *list = *end == ',' ? end + 1 : end;
    while (start < end && (*start == ' ' || *start == '\t')) { start++; }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t')) { end--; }
    return arena_strndup(memory, start, (size_t)(end - start));
}

static enum err read_port(const char *text, int *ret, struct fault *why)
{
    if (value_int(text, 1, 65535, ret) == E_OK) { return E_OK; }
    return fault_set(why, E_CONFIG, "port = %.60s: expected a number from 1 to 65535", text);
}

/* libpq's rule: one port for all hosts, or one for each. */
static enum err set_hosts(struct database_config *db, struct arena *memory, const char *hosts,
                          const char *ports, struct fault *why)
{
    db->hosts_count = hosts == NULL ? 1 : count_parts(hosts);
    size_t ports_count = ports == NULL ? 1 : count_parts(ports);
    if (ports_count != 1 && ports_count != db->hosts_count) {
        return fault_set(why, E_CONFIG,
                         "%zu ports for %zu hosts: expected one port, or one for each host",
                         ports_count, db->hosts_count);
    }
    db->hosts = arena_array(memory, struct host_config, db->hosts_count);
    for (size_t i = 0; i < db->hosts_count; i++) {
        struct host_config *h = &db->hosts[i];
        h->port = i > 0 ? db->hosts[i - 1].port : 5432;
        if (ports != NULL && (i == 0 || ports_count > 1)) {
            enum err e = read_port(next_part(&ports, memory), &h->port, why);
            if (e != E_OK) { return e; }
        }
        /* NULL until check.c, when unix_socket_dir is known */
        h->host = hosts == NULL ? NULL : next_part(&hosts, memory);
        if (h->host != NULL && h->host[0] == '\0') {
            return fault_set(why, E_CONFIG, "host %zu of the list is empty", i + 1);
        }
    }
    return E_OK;
}

static enum err set_cache(struct database_config *db, const char *value, bool *ret_on,
                          struct fault *why)
{
    *ret_on = false;
    if (value_enum(value, option_cache_modes, &db->cache) == E_OK) { return E_OK; }
    bool on = false;
    if (value_bool(value, &on) != E_OK) {
        return fault_set(why, E_CONFIG, "cache = %.60s: expected on, off, memory or redis", value);
    }
    *ret_on = on;
    db->cache = on ? CACHE_REDIS : CACHE_OFF;
    return E_OK;
}

static enum err read_database(struct database_config *db, struct arena *memory, const char *line,
                              bool *ret_cache_on, struct fault *why)
{
    static const char *const texts[] = {"round-robin", "disable", NULL};
    static const char *const more[] = {"host", "port", "cache", "load_balance_hosts", NULL};
    char *hosts = NULL, *ports = NULL, *key = NULL, *value = NULL;
    enum err e = E_OK;
    while ((e = connstr_next(&line, memory, &key, &value, why)) == E_OK) {
        const struct param *p = find_param(database_params, key);
        int choice = 0;
        if (p != NULL) {
            e = set_param(db, p, value, why);
        } else if (strcmp(key, "host") == 0) {
            hosts = value[0] == '\0' ? NULL : value;
        } else if (strcmp(key, "port") == 0) {
            ports = value;
        } else if (strcmp(key, "cache") == 0) {
            e = set_cache(db, value, ret_cache_on, why);
        } else if (strcmp(key, "load_balance_hosts") == 0) {
            db->load_balance_hosts = value;
            if (value_enum(value, texts, &choice) != E_OK) {
                e = fault_set(why, E_CONFIG,
                              "load_balance_hosts = %.60s: expected round-robin or disable", value);
            }
        } else {
            e = unknown_param(key, database_params, more, why);
        }
        if (e != E_OK) { return e; }
    }
    return e == E_EOF ? set_hosts(db, memory, hosts, ports, why) : e;
}

enum err entries_database(struct build *b, const struct dialect_line *at, struct fault *why)
{
    struct config *cfg = b->cfg;
    if (strcmp(at->name, "pgbouncer") == 0 || strcmp(at->name, "pgusher") == 0) {
        return fault_set(why, E_CONFIG, "database name %s is the console's", at->name);
    }
    struct database_config db = {
        .name = arena_strdup(&cfg->memory, at->name),
        .pool_size = -1,
        .replica_pool_size = -1,
        .min_pool_size = -1,
        .reserve_pool_size = -1,
        .max_db_connections = -1,
        .max_db_client_connections = -1,
        .pool_mode = -1,
        .read_write_split = -1,
        .cache = -1,
        .read_consistency = -1,
        .query_wait_timeout_us = -1,
        .server_lifetime_us = -1,
    };
    bool cache_on = false;
    enum err e = read_database(&db, &cfg->memory, at->value, &cache_on, why);
    if (e != E_OK) { return e; }
    /* "*" without dbname: the name that the client asked for */
    if (db.dbname == NULL && strcmp(db.name, "*") != 0) { db.dbname = db.name; }
    size_t i = 0;
    while (i < cfg->databases_count && strcmp(cfg->databases[i].name, db.name) != 0) { i++; }
    if (i == cfg->databases_count) {
        cfg->databases = build_grow(cfg->databases, i, sizeof db);
        b->databases = build_grow(b->databases, i, sizeof *b->databases);
        b->databases_cache_on = build_grow(b->databases_cache_on, i, sizeof(bool));
        cfg->databases_count++;
    }
    cfg->databases[i] = db;
    b->databases[i] = build_place(b, at);
    b->databases_cache_on[i] = cache_on;
    return E_OK;
}

enum err entries_user(struct build *b, const struct dialect_line *at, struct fault *why)
{
    struct config *cfg = b->cfg;
    struct user_config user = {
        .name = arena_strdup(&cfg->memory, at->name),
        .pool_size = -1,
        .reserve_pool_size = -1,
        .max_user_connections = -1,
        .max_user_client_connections = -1,
        .pool_mode = -1,
        .query_timeout_us = -1,
        .query_wait_timeout_us = -1,
        .idle_transaction_timeout_us = -1,
        .transaction_timeout_us = -1,
        .client_idle_timeout_us = -1,
    };
    const char *line = at->value;
    char *key = NULL, *value = NULL;
    enum err e = E_OK;
    while ((e = connstr_next(&line, &cfg->memory, &key, &value, why)) == E_OK) {
        const struct param *p = find_param(user_params, key);
        e = p == NULL ? unknown_param(key, user_params, NULL, why)
                      : set_param(&user, p, value, why);
        if (e != E_OK) { return e; }
    }
    if (e != E_EOF) { return e; }
    size_t i = 0;
    while (i < cfg->users_count && strcmp(cfg->users[i].name, user.name) != 0) { i++; }
    if (i == cfg->users_count) {
        cfg->users = build_grow(cfg->users, i, sizeof user);
        cfg->users_count++;
    }
    cfg->users[i] = user;
    return E_OK;
}

enum err entries_peer(struct build *b, const struct dialect_line *at, struct fault *why)
{
    struct config *cfg = b->cfg;
    struct peer_config peer = {.port = 6432, .pool_size = -1};
    if (value_int(at->name, 1, 16383, &peer.id) != E_OK) {
        return fault_set(why, E_CONFIG, "peer %.60s: expected a number from 1 to 16383", at->name);
    }
    const char *line = at->value;
    char *key = NULL, *value = NULL;
    enum err e = E_OK;
    while ((e = connstr_next(&line, &cfg->memory, &key, &value, why)) == E_OK) {
        if (strcmp(key, "host") == 0) {
            peer.host = value;
        } else if (strcmp(key, "port") == 0) {
            e = read_port(value, &peer.port, why);
        } else if (strcmp(key, "pool_size") == 0) {
            if (value_int(value, 0, 1000000, &peer.pool_size) != E_OK) {
                e = fault_set(why, E_CONFIG, "pool_size = %.60s: expected a number", value);
            }
        } else {
            e = fault_set(why, E_CONFIG, "unknown parameter %.60s; expected host, port, pool_size",
                          key);
        }
        if (e != E_OK) { return e; }
    }
    if (e != E_EOF) { return e; }
    if (peer.host == NULL || peer.host[0] == '\0') {
        return fault_set(why, E_CONFIG, "peer %d: expected host=...", peer.id);
    }
    size_t i = 0;
    while (i < cfg->peers_count && cfg->peers[i].id != peer.id) { i++; }
    if (i == cfg->peers_count) {
        cfg->peers = build_grow(cfg->peers, i, sizeof peer);
        cfg->peers_count++;
    }
    cfg->peers[i] = peer;
    return E_OK;
}
