/* Found to be missing at the start, not at the first login that needs it. */
#include "worker/libraries.h"

#include "auth/outside.h"
#include "net/pq.h"

/* Probes and catalog readers log in as the line's user where nobody else is named. */
static bool is_watched(const struct database_config *line, const struct options *o)
{
    bool split = line->read_write_split >= 0 ? line->read_write_split == 1 : o->read_write_split;
    int cache = line->cache >= 0 ? line->cache : (int)o->cache;
    return line->user != NULL && (split || cache != CACHE_OFF || line->hosts_count > 1);
}

/* As whom pgusher itself asks servers: the option, or a word for it. NULL: it never does. */
static const char *asks_as(const struct config *cfg)
{
    if (cfg->o.monitor_user[0] != '\0') { return "monitor_user"; }
    if (cfg->o.auth_user[0] != '\0') { return "auth_user"; }
    for (size_t i = 0; i < cfg->databases_count; i++) {
        const struct database_config *line = &cfg->databases[i];
        if (line->monitor_user != NULL) { return "monitor_user"; }
        if (line->auth_user != NULL) { return "auth_user"; }
        if (is_watched(line, &cfg->o)) { return "a database's user"; }
    }
    return NULL;
}

static bool uses(const struct config *cfg, const struct access *a, enum auth_type type,
                 enum hba_method method)
{
    return cfg->o.auth_type == type || (a->hba != NULL && hba_uses(a->hba, method));
}

static enum err needed(const char *by, enum err (*load)(struct fault *why), struct fault *why)
{
    struct fault reason = {0};
    enum err e = load(&reason);
    return e == E_OK ? E_OK : fault_set(why, e, "%s needs a library: %s", by, reason.text);
}

enum err libraries_load(const struct config *cfg, const struct access *a, struct fault *why)
{
    const char *asks = asks_as(cfg);
    enum err e = asks == NULL ? E_OK : needed(asks, pq_load, why);
    if (e == E_OK && uses(cfg, a, AUTH_PAM, HBA_PAM)) { e = needed("pam", outside_load_pam, why); }
    if (e == E_OK && uses(cfg, a, AUTH_LDAP, HBA_LDAP)) {
        e = needed("ldap", outside_load_ldap, why);
    }
    return e;
}
