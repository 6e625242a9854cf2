/* DATABASES, USERS, LISTS, STATE: what the ini names, and what is counted of it. */
#include <stdlib.h>
#include <string.h>

#include "admin/roll.h"
#include "admin/show.h"
#include "auth/userlist.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/peers.h"
#include "config/option.h"
#include "net/names.h"
#include "net/resolve.h"

static int over(int given, int otherwise)
{
    return given >= 0 ? given : otherwise;
}

/* ---- SHOW DATABASES -------------------------------------------------------------------------- */

static const struct column database_columns[] = {
    SHOW_TEXT("name"),
    SHOW_TEXT("host"),
    SHOW_INT("port"),
    SHOW_TEXT("database"),
    SHOW_TEXT("force_user"),
    SHOW_INT("pool_size"),
    SHOW_INT("min_pool_size"),
    SHOW_INT("reserve_pool_size"),
    SHOW_INT("server_lifetime"),
    SHOW_TEXT("pool_mode"),
    SHOW_TEXT("load_balance_hosts"),
    SHOW_INT("max_connections"),
    SHOW_INT("current_connections"),
    SHOW_INT("max_client_connections"),
    SHOW_INT("current_client_connections"),
    SHOW_INT("paused"),
    SHOW_INT("disabled"),
};

static void put_hosts(struct table *t, const struct database_config *line)
{
    struct buf text = {0};
    for (size_t i = 0; i < line->hosts_count; i++) {
        buf_printf(&text, "%s%s", i == 0 ? "" : ",", line->hosts[i].host);
    }
    if (buf_len(&text) == 0) {
        table_null(t);
    } else {
        table_bytes(t, buf_view(&text));
    }
    buf_done(&text);
    table_int(t, line->hosts_count == 0 ? 5432 : line->hosts[0].port);
}

static unsigned count_servers(const struct account_roll *roll, const char *database,
                              const char *user)
{
    unsigned n = 0;
    for (size_t i = 0; i < roll->count; i++) {
        const struct account *a = roll->items[i];
        if ((database == NULL || strcmp(a->database->name, database) == 0) &&
            (user == NULL || strcmp(a->user, user) == 0)) {
            n += roll_counts(a).total;
        }
    }
    return n;
}

/* As it is now: sizes change without a new definition. */
static const struct database_config *line_of(const struct gathering *g, const struct database *db)
{
    const struct database_config *line = config_line(g->config, db->name);
    return line != NULL ? line : db->line; /* gone since */
}

static void put_database(struct table *t, const struct database *db,
                         const struct database_config *line, const struct options *o,
                         unsigned servers, int clients)
{
    int64_t lifetime_us =
        line->server_lifetime_us >= 0 ? line->server_lifetime_us : o->server_lifetime_us;
    table_row(t);
    table_text(t, db->name);
    put_hosts(t, line);
    table_text(t, line->dbname != NULL ? line->dbname : db->name);
    table_text(t, line->user);
    table_int(t, over(line->pool_size, o->default_pool_size));
    table_int(t, over(line->min_pool_size, o->min_pool_size));
    table_int(t, over(line->reserve_pool_size, o->reserve_pool_size));
    table_int(t, lifetime_us / US_PER_S);
    table_text(t, line->pool_mode >= 0 ? option_pool_modes[line->pool_mode] : NULL);
    table_text(t, line->load_balance_hosts);
    table_int(t, over(line->max_db_connections, o->max_db_connections));
    table_int(t, servers);
    table_int(t, over(line->max_db_client_connections, o->max_db_client_connections));
    table_int(t, clients);
    table_int(t, atomic_load(&db->paused));
    table_int(t, atomic_load(&db->disabled));
    table_end(t);
}

static void put_console_database(struct table *t, const struct options *o, unsigned clients)
{
    table_row(t);
    table_text(t, "pgbouncer");
    table_null(t);
    table_int(t, o->listen_port);
    table_text(t, "pgbouncer");
    table_text(t, "pgbouncer");
    table_int(t, 2);
    table_int(t, 0);
    table_int(t, o->reserve_pool_size);
    table_int(t, o->server_lifetime_us / US_PER_S);
    table_text(t, "statement");
    table_null(t);
    table_int(t, 0);
    table_int(t, 0);
    table_int(t, 0);
    table_int(t, clients);
    table_int(t, 0);
    table_int(t, 0);
    table_end(t);
}

static void fill_databases(struct gathering *g, struct table *t)
{
    struct registry *r = g->office->front->registry;
    const struct options *o = &g->config->o;
    struct database_roll roll = roll_databases(r);
    struct account_roll accounts = roll_accounts(r);
    for (size_t i = 0; i < roll.count; i++) {
        const struct database *db = roll.items[i];
        if (atomic_load(&db->retired)) { continue; }
        int clients = 0;
        for (size_t k = 0; k < roll.count; k++) { /* those of its retired definitions too */
            if (strcmp(roll.items[k]->name, db->name) == 0) {
                clients += atomic_load(&roll.items[k]->clients);
            }
        }
        put_database(t, db, line_of(g, db), o, count_servers(&accounts, db->name, NULL), clients);
    }
    put_console_database(t, o, g->consoles);
    mem_free(&accounts.items);
    mem_free(&roll.items);
}

/* ---- SHOW DATABASES as PgBouncer 1.7 told it ------------------------------------------------- */

static const struct column old_database_columns[] = {
    SHOW_TEXT("name"),
    SHOW_TEXT("host"),
    SHOW_INT("port"),
    SHOW_TEXT("database"),
    SHOW_TEXT("force_user"),
    SHOW_INT("pool_size"),
    SHOW_INT("reserve_pool"),
    SHOW_TEXT("pool_mode"),
    SHOW_INT("max_connections"),
    SHOW_INT("current_connections"),
};

static void fill_old_databases(struct gathering *g, struct table *t)
{
    struct registry *r = g->office->front->registry;
    const struct options *o = &g->config->o;
    struct database_roll roll = roll_databases(r);
    struct account_roll accounts = roll_accounts(r);
    for (size_t i = 0; i < roll.count; i++) {
        const struct database *db = roll.items[i];
        const struct database_config *line = line_of(g, db);
        if (atomic_load(&db->retired)) { continue; }
        table_row(t);
        table_text(t, db->name);
        put_hosts(t, line);
        table_text(t, line->dbname != NULL ? line->dbname : db->name);
        table_text(t, line->user);
        table_int(t, over(line->pool_size, o->default_pool_size));
        table_int(t, over(line->reserve_pool_size, o->reserve_pool_size));
        table_text(t, line->pool_mode >= 0 ? option_pool_modes[line->pool_mode] : NULL);
        table_int(t, over(line->max_db_connections, o->max_db_connections));
        table_int(t, count_servers(&accounts, db->name, NULL));
        table_end(t);
    }
    mem_free(&accounts.items);
    mem_free(&roll.items);
}

/* ---- SHOW USERS ------------------------------------------------------------------------------ */

static const struct column user_columns[] = {
    SHOW_TEXT("name"),
    SHOW_TEXT("pool_size"),
    SHOW_TEXT("reserve_pool_size"),
    SHOW_TEXT("pool_mode"),
    SHOW_INT("max_user_connections"),
    SHOW_INT("current_connections"),
    SHOW_INT("max_user_client_connections"),
    SHOW_INT("current_client_connections"),
};

static unsigned count_clients(const struct gathering *g, const char *user)
{
    unsigned n = 0;
    hmap_each (link, &g->tallies) {
        const struct tally *t = container_of(link, struct tally, link);
        if (strcmp(t->account->user, user) == 0) { n += t->active + t->waiting; }
    }
    return n;
}

static void put_size(struct table *t, int size)
{
    if (size < 0) {
        table_text(t, "");
    } else {
        table_int(t, size);
    }
}

static void put_user(struct gathering *g, struct table *t, const struct account_roll *accounts,
                     const char *name)
{
    const struct user_config *u = config_user(g->config, name);
    const struct options *o = &g->config->o;
    table_row(t);
    table_text(t, name);
    put_size(t, u == NULL ? -1 : u->pool_size);
    put_size(t, u == NULL ? -1 : u->reserve_pool_size);
    table_text(t, u != NULL && u->pool_mode >= 0 ? option_pool_modes[u->pool_mode] : NULL);
    table_int(t, over(u == NULL ? -1 : u->max_user_connections, o->max_user_connections));
    table_int(t, count_servers(accounts, NULL, name));
    table_int(
        t, over(u == NULL ? -1 : u->max_user_client_connections, o->max_user_client_connections));
    table_int(t, count_clients(g, name));
    table_end(t);
}

struct user_names {            /* sorted, each once */
    struct userlist *userlist; /* a reference: some names are its own */
    const char **items;
    size_t count;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void drop_repeats(struct user_names *n)
{
    size_t kept = 0;
    qsort(n->items, n->count, sizeof *n->items, compare_names);
    for (size_t i = 0; i < n->count; i++) {
        if (kept == 0 || strcmp(n->items[kept - 1], n->items[i]) != 0) {
            n->items[kept++] = n->items[i];
        }
    }
    n->count = kept;
}

/* Those of the ini, of auth_file, those that were seen, and the console's own. */
static struct user_names list_users(const struct gathering *g, const struct account_roll *accounts)
{
    const struct config *cfg = g->config;
    struct user_names n = {.userlist = registry_userlist(g->office->front->registry)};
    size_t listed = userlist_names(n.userlist, NULL);
    n.items = mem_array(const char *, cfg->users_count + accounts->count + listed + 1);
    for (size_t i = 0; i < cfg->users_count; i++) { n.items[n.count++] = cfg->users[i].name; }
    for (size_t i = 0; i < accounts->count; i++) { n.items[n.count++] = accounts->items[i]->user; }
    n.count += userlist_names(n.userlist, &n.items[n.count]);
    n.items[n.count++] = "pgbouncer";
    drop_repeats(&n);
    return n;
}

static void user_names_done(struct user_names *n)
{
    mem_free(&n->items);
    userlist_unref(&n->userlist);
}

static void fill_users(struct gathering *g, struct table *t)
{
    struct account_roll accounts = roll_accounts(g->office->front->registry);
    struct user_names names = list_users(g, &accounts);
    for (size_t i = 0; i < names.count; i++) { put_user(g, t, &accounts, names.items[i]); }
    user_names_done(&names);
    mem_free(&accounts.items);
}

/* ---- SHOW LISTS, SHOW STATE ------------------------------------------------------------------ */

static const struct column list_columns[] = {SHOW_TEXT("list"), SHOW_INT("items")};
static const struct column state_columns[] = {SHOW_TEXT("key"), SHOW_TEXT("value")};

static void put_list(struct table *t, const char *name, size_t items)
{
    table_row(t);
    table_text(t, name);
    table_int(t, (int64_t)items);
    table_end(t);
}

static void count_name(void *arg, const char *host, int64_t ttl_us, const struct address *list,
                       unsigned count)
{
    (void)host;
    (void)ttl_us;
    (void)list;
    (void)count;
    ++*(size_t *)arg;
}

static void count_zone(void *arg, const char *zone, uint32_t serial, unsigned hosts)
{
    (void)zone;
    (void)serial;
    (void)hosts;
    ++*(size_t *)arg;
}

static void put_dns_lists(struct table *t, const struct loop *l)
{
    size_t names = 0, zones = 0;
    if (l->names != NULL) {
        names_each(l->names, clock_now_us(), count_name, &names);
        names_each_zone(l->names, count_zone, &zones);
    }
    put_list(t, "dns_names", names);
    put_list(t, "dns_zones", zones);
    put_list(t, "dns_queries", l->resolver == NULL ? 0 : resolver_queries(l->resolver));
    put_list(t, "dns_pending", 0);
}

static size_t count_peer_pools(const struct gathering *g)
{
    size_t count = 0;
    struct peer_counts n;
    for (size_t i = 0; i < g->config->peers_count; i++) {
        count += peers_count(g->office->front->shared->peers, g->config->peers[i].id, &n);
    }
    return count;
}

static void fill_lists(struct gathering *g, struct table *t)
{
    struct registry *r = g->office->front->registry;
    struct database_roll roll = roll_databases(r);
    struct account_roll accounts = roll_accounts(r);
    size_t databases = 1, pools = 1, clients = g->consoles; /* the console's own */
    unsigned used = 0;
    struct user_names users = list_users(g, &accounts);
    for (size_t i = 0; i < roll.count; i++) { databases += !atomic_load(&roll.items[i]->retired); }
    for (size_t i = 0; i < accounts.count; i++) {
        struct pool_counts c = roll_counts(accounts.items[i]);
        pools += !atomic_load(&accounts.items[i]->database->retired);
        used += c.total;
    }
    hmap_each (link, &g->tallies) {
        const struct tally *tally = container_of(link, struct tally, link);
        clients += tally->active + tally->waiting;
    }
    put_list(t, "databases", databases);
    put_list(t, "users", users.count);
    put_list(t, "peers", g->config->peers_count);
    put_list(t, "pools", pools);
    put_list(t, "peer_pools", count_peer_pools(g));
    put_list(t, "free_clients", 0);
    put_list(t, "used_clients", clients + g->logins);
    put_list(t, "login_clients", g->logins);
    put_list(t, "free_servers", 0);
    put_list(t, "used_servers", used);
    put_dns_lists(t, g->office->front->loop);
    user_names_done(&users);
    mem_free(&accounts.items);
    mem_free(&roll.items);
}

static void put_state(struct table *t, const char *key, bool yes)
{
    table_row(t);
    table_text(t, key);
    table_yes(t, yes);
    table_end(t);
}

static void fill_state(struct gathering *g, struct table *t)
{
    bool all = registry_is_paused(g->office->front->registry);
    bool suspended = atomic_load(&g->office->front->shared->rest) != REST_NONE;
    put_state(t, "active", !all && !suspended);
    put_state(t, "paused", all && !suspended);
    put_state(t, "suspended", suspended);
}

const struct show show_databases = {"databases", SHOW_COLUMNS(database_columns), tally_visit,
                                    fill_databases, NULL};
const struct show show_databases_1_7 = {"databases", SHOW_COLUMNS(old_database_columns), NULL,
                                        fill_old_databases, NULL};
const struct show show_users = {"users", SHOW_COLUMNS(user_columns), tally_visit, fill_users, NULL};
const struct show show_lists = {"lists", SHOW_COLUMNS(list_columns), tally_visit, fill_lists, NULL};
const struct show show_state = {"state", SHOW_COLUMNS(state_columns), NULL, fill_state, NULL};
