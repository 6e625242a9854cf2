/* Comparing field by field: what is not compared here takes effect without new pools, as sizes
   do. */
#include "pool/definition.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return (a == NULL || b == NULL) ? a == b : strcmp(a, b) == 0;
}

/* Would a server connection or a decision made under the one be wrong under the other? */
static bool same_settings(const struct config *a, const struct config *b)
{
    if (a->settings_count != b->settings_count || a->rules_count != b->rules_count) {
        return false;
    }
    for (size_t i = 0; i < a->settings_count; i++) {
        const struct setting_config *x = &a->settings[i], *y = &b->settings[i];
        if (!same_text(x->name, y->name) || !same_text(x->value, y->value) ||
            x->required != y->required || !same_text(x->database, y->database) ||
            !same_text(x->user, y->user)) {
            return false;
        }
    }
    for (size_t i = 0; i < a->users_count; i++) {
        const struct user_config *was = &a->users[i], *is = config_user(b, was->name);
        if (was->pool_mode != (is == NULL ? -1 : is->pool_mode)) { return false; }
    }
    for (size_t i = 0; i < b->users_count; i++) {
        const struct user_config *is = &b->users[i];
        if (is->pool_mode >= 0 && config_user(a, is->name) == NULL) { return false; }
    }
    for (size_t i = 0; i < a->rules_count; i++) {
        const struct rule_config *x = &a->rules[i], *y = &b->rules[i];
        if (!same_text(x->name, y->name) || x->ttl_us != y->ttl_us || x->mode != y->mode ||
            x->rls != y->rls || x->tables_count != y->tables_count ||
            x->empty_results != y->empty_results) {
            return false;
        }
        for (size_t k = 0; k < x->tables_count; k++) {
            if (!same_text(x->tables[k], y->tables[k])) { return false; }
        }
    }
    return true;
}

static bool same_line(const struct database_config *a, const struct database_config *b)
{
    if (a->hosts_count != b->hosts_count) { return false; }
    for (size_t i = 0; i < a->hosts_count; i++) {
        if (!same_text(a->hosts[i].host, b->hosts[i].host) ||
            a->hosts[i].port != b->hosts[i].port) {
            return false;
        }
    }
    return same_text(a->dbname, b->dbname) && same_text(a->user, b->user) &&
           same_text(a->password, b->password) && same_text(a->connect_query, b->connect_query) &&
           same_text(a->client_encoding, b->client_encoding) &&
           same_text(a->datestyle, b->datestyle) && same_text(a->timezone, b->timezone) &&
           same_text(a->application_name, b->application_name) &&
           same_text(a->monitor_user, b->monitor_user) && a->pool_mode == b->pool_mode &&
           same_text(a->load_balance_hosts, b->load_balance_hosts) &&
           a->read_write_split == b->read_write_split && a->cache == b->cache &&
           a->read_consistency == b->read_consistency &&
           a->query_wait_timeout_us == b->query_wait_timeout_us;
}

/* The options that a database copies or that its pools were made from. */
static bool same_options(const struct options *a, const struct options *b)
{
    return a->pool_mode == b->pool_mode && a->read_write_split == b->read_write_split &&
           a->cache == b->cache && a->read_consistency == b->read_consistency &&
           a->replica_max_lag_us == b->replica_max_lag_us &&
           a->server_connect_timeout_us == b->server_connect_timeout_us &&
           a->tcp_keepalive == b->tcp_keepalive && a->tcp_keepidle == b->tcp_keepidle &&
           a->tcp_keepintvl == b->tcp_keepintvl && a->tcp_keepcnt == b->tcp_keepcnt &&
           a->tcp_user_timeout == b->tcp_user_timeout &&
           a->tcp_socket_buffer_bytes == b->tcp_socket_buffer_bytes &&
           a->cancel_wait_timeout_us == b->cancel_wait_timeout_us &&
           a->max_prepared_statements == b->max_prepared_statements &&
           a->max_inspect_bytes == b->max_inspect_bytes &&
           same_text(a->monitor_user, b->monitor_user) &&
           same_text(a->server_reset_query, b->server_reset_query) &&
           same_text(a->server_check_query, b->server_check_query) &&
           a->server_reset_query_always == b->server_reset_query_always &&
           a->server_tls_sslmode == b->server_tls_sslmode;
}

bool definition_is_same(const struct database_config *a, const struct config *of_a,
                        const struct database_config *b, const struct config *of_b)
{
    return same_line(a, b) && same_settings(of_a, of_b) && same_options(&of_a->o, &of_b->o);
}
