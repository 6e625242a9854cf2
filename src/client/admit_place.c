/* Where auth_query is to be run: the database line's words, else the options'. */
#include <string.h>

#include "client/admit_internal.h"

bool admit_place(const struct admit *a, struct lookup_place *ret)
{
    const struct config *cfg = a->who.config;
    const struct options *o = &cfg->o;
    const struct database_config *line = NULL, *at = NULL;
    if (!a->who.console) {
        line = config_line(cfg, a->who.database);
        if (line == NULL) { return false; }
    }
    const char *user = line != NULL && line->auth_user != NULL ? line->auth_user : o->auth_user;
    const char *query = line != NULL && line->auth_query != NULL ? line->auth_query : o->auth_query;
    const char *name =
        line != NULL && line->auth_dbname != NULL ? line->auth_dbname : o->auth_dbname;
    if (user[0] == '\0') { return false; }
    at = line;
    if (name[0] != '\0') {
        at = config_line(cfg, name);
    } else {
        name = a->who.database;
    }
    if (at == NULL) { return false; } /* the console has no database of its own */
    const struct user_secret *secret = userlist_find(a->userlist, user);
    const char *password = NULL;
    if (at->user != NULL && strcmp(at->user, user) == 0 && at->password != NULL) {
        password = at->password;
    } else if (secret != NULL && secret->kind == SECRET_PLAIN) {
        password = secret->text;
    }
    *ret = (struct lookup_place){
        .name = name,
        .dbname = at->dbname != NULL ? at->dbname : name,
        .hosts = at->hosts,
        .hosts_count = at->hosts_count,
        .user = user,
        .password = password,
        .query = query,
        .only_catalog = strcmp(query, config_default("auth_query")) == 0,
        .tls = o,
        .connect_timeout_us = o->server_connect_timeout_us,
        .ttl_us = o->auth_query_ttl_us,
        .negative_ttl_us = o->auth_query_negative_ttl_us,
    };
    return true;
}
