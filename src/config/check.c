/*
 * What this version cannot do is an error when someone's safety rests on it (who may log in,
 * whether the wire is encrypted, how fresh a cached answer is), and a warning at start otherwise
 * (show.c).
 */
#include "config/check.h"

#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config/option.h"
#include "config/value.h"

static enum err fail_option(const struct place *places, enum option_id id, struct fault *why,
                            const char *reason)
{
    const char *name = option_rows[id].name;
    if (places == NULL || places[id].file == NULL) {
        return fault_set(why, E_CONFIG, "%s: %s", name, reason);
    }
    return fault_set(why, E_CONFIG, "%s:%d: %s: %s", places[id].file, places[id].line, name,
                     reason);
}

static enum err fail_at(const struct place *place, struct fault *why, const char *what,
                        const char *name, const char *reason)
{
    if (place == NULL) { return fault_set(why, E_CONFIG, "%s%.60s: %s", what, name, reason); }
    return fault_set(why, E_CONFIG, "%s:%d: %s%.60s: %s", place->file, place->line, what, name,
                     reason);
}

/* redis://[[user]:password@]host[:port][/number] or unix:///path */
static bool is_redis_url(const char *url)
{
    if (strncmp(url, "unix:///", 8) == 0) { return url[8] != '\0'; }
    if (strncmp(url, "redis://", 8) != 0) { return false; }
    const char *host = url + 8, *login = strrchr(host, '@');
    if (login != NULL) { host = login + 1; }
    const char *end = strchrnul(host, '/');
    const char *colon = memrchr(host, ':', (size_t)(end - host));
    if (host[0] == '[') { /* an IPv6 address in brackets */
        const char *close = memchr(host, ']', (size_t)(end - host));
        if (close == NULL || close == host + 1) { return false; }
        if (close + 1 != end && close + 1 != colon) { return false; }
        colon = close + 1 == end ? NULL : close + 1;
    }
    int number = 0;
    if ((colon == NULL ? end : colon) == host) { return false; }
    if (colon != NULL) {
        char port[8] = {0};
        size_t len = (size_t)(end - colon) - 1;
        if (len == 0 || len >= sizeof port) { return false; }
        memcpy(port, colon + 1, len);
        if (value_int(port, 1, 65535, &number) != E_OK) { return false; }
    }
    return *end == '\0' || end[1] == '\0' || value_int(end + 1, 0, 1 << 20, &number) == E_OK;
}

/* address:port, [address]:port or :port */
static bool is_address_with_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    int port = 0;
    return colon != NULL && value_int(colon + 1, 1, 65535, &port) == E_OK;
}

static enum err check_promises(const struct options *o, const struct place *places,
                               struct fault *why)
{
    switch (o->auth_type) {
    case AUTH_ANY:
    case AUTH_TRUST:
    case AUTH_PLAIN:
    case AUTH_MD5:
    case AUTH_SCRAM: break;
    case AUTH_HBA:
        if (o->auth_hba_file[0] != '\0') { break; }
        return fail_option(places, OPTION_auth_type, why, "hba needs auth_hba_file");
    case AUTH_PAM: break;
    case AUTH_LDAP:
        if (o->auth_ldap_options[0] != '\0') { break; }
        return fail_option(places, OPTION_auth_type, why, "ldap needs auth_ldap_options");
    case AUTH_CERT:
        if (o->client_tls_sslmode >= TLS_VERIFY_CA) { break; }
        return fail_option(places, OPTION_auth_type, why,
                           "cert needs client_tls_sslmode = verify-ca or verify-full");
    }
    if (o->cache_invalidation == INVALIDATE_NOTIFY ||
        o->cache_invalidation == INVALIDATE_REPLICATION) {
        return fail_option(places, OPTION_cache_invalidation, why,
                           "this version has only ttl and writes");
    }
    return E_OK;
}

static enum err check_options(const struct options *o, const struct place *places,
                              struct fault *why)
{
    enum err e = check_promises(o, places, why);
    if (e != E_OK) { return e; }
    if (strncmp(o->redis_url, "rediss://", 9) == 0) {
        return fail_option(places, OPTION_redis_url, why, "this version has no TLS with Redis");
    }
    if (!is_redis_url(o->redis_url)) {
        return fail_option(places, OPTION_redis_url, why,
                           "expected redis://[[user]:password@]host[:port][/number] or "
                           "unix:///path");
    }
    int facility;
    if (log_facility(o->syslog_facility, &facility) != E_OK) {
        return fail_option(places, OPTION_syslog_facility, why,
                           "expected auth, authpriv, daemon, user or local0 to local7");
    }
    if (o->http_listen[0] != '\0' && !is_address_with_port(o->http_listen)) {
        return fail_option(places, OPTION_http_listen, why,
                           "expected address:port, like 127.0.0.1:6480");
    }
    if (o->replica_lag_check_period_us < 1000) {
        return fail_option(places, OPTION_replica_lag_check_period, why, "expected 1ms or more");
    }
    if (o->stats_period_us <= 0) {
        return fail_option(places, OPTION_stats_period, why, "expected more than 0");
    }
    if (o->max_packet_size_bytes < 1024) {
        return fail_option(places, OPTION_max_packet_size, why, "expected 1kB or more");
    }
    return E_OK;
}

/* auth_query runs in a database of [databases], and never on the console. */
static const char *check_auth_database(const struct config *cfg, const char *name)
{
    if (name == NULL || name[0] == '\0') { return NULL; }
    if (strcmp(name, "pgbouncer") == 0 || strcmp(name, "pgusher") == 0) {
        return "cannot use the reserved \"pgbouncer\" database as an auth_dbname";
    }
    if (config_line(cfg, name) == NULL) { return "auth_dbname is no database of [databases]"; }
    return NULL;
}

static enum err check_databases(struct build *b, struct fault *why)
{
    struct config *cfg = b->cfg;
    const char *reason = check_auth_database(cfg, cfg->o.auth_dbname);
    if (reason != NULL) { return fail_option(b->options, OPTION_auth_dbname, why, reason); }
    for (size_t i = 0; i < cfg->databases_count; i++) {
        struct database_config *db = &cfg->databases[i];
        if (b->databases_cache_on[i]) {
            db->cache = cfg->o.cache == CACHE_OFF ? CACHE_REDIS : (int)cfg->o.cache;
        }
        reason = check_auth_database(cfg, db->auth_dbname);
        if (reason != NULL) {
            return fail_at(&b->databases[i], why, "database ", db->name, reason);
        }
        for (size_t h = 0; h < db->hosts_count; h++) {
            if (db->hosts[h].host == NULL) { db->hosts[h].host = cfg->o.unix_socket_dir; }
            if (db->hosts[h].host[0] == '\0') {
                return fail_at(&b->databases[i], why, "database ", db->name,
                               "expected host=..., as unix_socket_dir is empty");
            }
        }
    }
    return E_OK;
}

static enum err check_rules(const struct config *cfg, const struct place *places, struct fault *why)
{
    for (size_t i = 0; i < cfg->rules_count; i++) {
        const struct rule_config *rule = &cfg->rules[i];
        const char *reason = NULL;
        if (rule->tables_count == 0) { reason = "expected tables = ..."; }
        if (rule->ttl_us == 0) { reason = "expected ttl = ..."; }
        if (rule->mode == RULE_STRICT && cfg->o.cache_invalidation == INVALIDATE_TTL) {
            reason = "mode strict needs cache_invalidation = writes";
        }
        if (reason != NULL) {
            return fail_at(places == NULL ? NULL : &places[i], why, "cache:", rule->name, reason);
        }
    }
    return E_OK;
}

enum err check_build(struct build *b, struct fault *why)
{
    enum err e = check_options(&b->cfg->o, b->options, why);
    if (e == E_OK) { e = check_databases(b, why); }
    if (e == E_OK) { e = check_rules(b->cfg, b->rules, why); }
    return e;
}

enum err check_changed(const struct config *cfg, struct fault *why)
{
    enum err e = check_options(&cfg->o, NULL, why);
    const char *reason = check_auth_database(cfg, cfg->o.auth_dbname);
    if (e == E_OK && reason != NULL) { e = fail_option(NULL, OPTION_auth_dbname, why, reason); }
    return e == E_OK ? check_rules(cfg, NULL, why) : e;
}

enum err check_setting_name(const char *name, struct fault *why)
{
    /* The first four are not settings but who the session is; a transaction's own and the seed are
     * not state that can be put on a server ahead of it; the last would change how texts read. */
    static const char *const refused[] = {
        "role",
        "session_authorization",
        "is_superuser",
        "session authorization",
        "transaction_isolation",
        "transaction_read_only",
        "transaction_deferrable",
        "seed",
        "standard_conforming_strings",
        NULL,
    };
    bool start = true;
    for (const char *p = name; *p != '\0'; p++) {
        char c = *p;
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                      (unsigned char)c >= 0x80;
        bool more = (c >= '0' && c <= '9') || c == '$' || c == '.';
        if (!letter && (start || !more)) {
            start = true;
            break;
        }
        start = c == '.';
    }
    if (start || strlen(name) > 63) {
        return fault_set(why, E_CONFIG, "%.60s: expected a setting's name, like app.user_id", name);
    }
    if (strncasecmp(name, "pgusher.", 8) == 0) {
        return fault_set(why, E_CONFIG, "%.60s: pgusher's own settings cannot be injected", name);
    }
    for (size_t i = 0; refused[i] != NULL; i++) {
        if (strcasecmp(name, refused[i]) == 0) {
            return fault_set(why, E_CONFIG, "%s: this setting cannot be injected", name);
        }
    }
    return E_OK;
}
