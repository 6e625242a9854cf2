/* NODES, ROUTES, WORKERS, SETTINGS, LISTENS: what only pgusher has. */
#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/option.h"
#include "request/request.h"

static const struct column node_columns[] = {
    SHOW_TEXT("database"), SHOW_TEXT("host"),       SHOW_INT("port"),
    SHOW_TEXT("role"),     SHOW_TEXT("up"),         SHOW_LONG("lag_ms"),
    SHOW_INT("timeline"),  SHOW_TEXT("replay_lsn"), SHOW_TEXT("last_error"),
};
static const struct column route_columns[] = {
    SHOW_TEXT("database"),         SHOW_TEXT("user"),
    SHOW_TEXT("pool_mode"),        SHOW_TEXT("read_write_split"),
    SHOW_TEXT("read_consistency"), SHOW_TEXT("cache"),
    SHOW_LONG("queries"),          SHOW_LONG("replica_queries"),
    SHOW_LONG("cache_hits"),
};
static const struct column worker_columns[] = {SHOW_INT("worker"), SHOW_INT("clients"),
                                               SHOW_INT("waiting"), SHOW_INT("servers"),
                                               SHOW_INT("idle_servers")};
static const struct column listen_columns[] = {SHOW_INT("id"), SHOW_TEXT("database"),
                                               SHOW_TEXT("user"), SHOW_TEXT("channel"),
                                               SHOW_LONG("waiting_bytes")};
static const struct column setting_columns[] = {SHOW_TEXT("database"), SHOW_TEXT("user"),
                                                SHOW_TEXT("name"), SHOW_TEXT("value"),
                                                SHOW_TEXT("required")};

/* ---- nodes ----------------------------------------------------------------------------------- */

static void put_lag(struct table *t, const struct node *n)
{
    if (atomic_load(&n->role) != NODE_REPLICA || atomic_load(&n->probed_us) == 0) {
        table_null(t);
    } else {
        table_int(t, atomic_load(&n->lag_us) / US_PER_MS);
    }
}

static void put_lsn(struct table *t, uint64_t lsn)
{
    if (lsn == 0) {
        table_null(t);
        return;
    }
    char *text = mem_printf("%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
    table_text(t, text);
    mem_free(&text);
}

static void put_last_error(struct table *t, struct node *n)
{
    char text[sizeof n->last_error];
    node_error(n, text, sizeof text);
    if (text[0] == '\0') {
        table_null(t);
    } else {
        table_text(t, text);
    }
}

static void put_node(struct table *t, const struct database *db, struct node *n)
{
    uint32_t timeline = atomic_load(&n->timeline);
    table_row(t);
    table_text(t, db->name);
    table_text(t, n->host);
    table_int(t, n->port);
    table_text(t, node_role_name(atomic_load(&n->role)));
    table_yes(t, atomic_load(&n->up));
    put_lag(t, n);
    if (timeline == 0) {
        table_null(t);
    } else {
        table_int(t, timeline);
    }
    put_lsn(t, atomic_load(&n->replay_lsn));
    put_last_error(t, n);
    table_end(t);
}

static void fill_nodes(struct gathering *g, struct table *t)
{
    struct database_roll roll = roll_databases(g->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) {
        const struct database *db = roll.items[i];
        if (atomic_load(&db->retired)) { continue; }
        for (size_t k = 0; k < db->topology->count; k++) {
            put_node(t, db, &db->topology->nodes[k]);
        }
    }
    mem_free(&roll.items);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static void fill_routes(struct gathering *g, struct table *t)
{
    struct account_roll roll = roll_accounts(g->office->front->registry);
    for (size_t i = 0; i < roll.count; i++) {
        const struct account *a = roll.items[i];
        const struct database *db = a->database;
        if (atomic_load(&db->retired)) { continue; }
        uint64_t all = 0, replica = 0, cached = 0;
        for (unsigned w = 0; w < a->stats_count; w++) {
            all += atomic_load(&a->stats[w].queries);
            replica += atomic_load(&a->stats[w].replica_queries);
            cached += atomic_load(&a->stats[w].cache_hits);
        }
        table_row(t);
        table_text(t, db->name);
        table_text(t, a->user);
        table_text(t, option_pool_modes[a->mode]);
        table_yes(t, db->split);
        table_text(t, option_consistencies[db->consistency]);
        table_text(t, option_cache_modes[db->cache]);
        table_int(t, (int64_t)all);
        table_int(t, (int64_t)replica);
        table_int(t, (int64_t)cached);
        table_end(t);
    }
    mem_free(&roll.items);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void visit_worker(struct gathering *g, struct front *f)
{
    struct table t = show_table(g);
    unsigned clients = 0, waiting = 0;
    size_t servers = 0, idle = 0;
    dlist_each (node, &f->clients) {
        const struct client *c = container_of(node, struct client, node);
        clients++;
        waiting += client_is_waiting(c);
    }
    struct account_roll roll = roll_accounts(f->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct server_roll seen = {0};
        roll_servers(roll.items[i], f->loop, &seen);
        servers += seen.count;
        for (size_t k = 0; k < seen.count; k++) { idle += seen.items[k].state == SERVER_IDLE; }
        mem_free(&seen.items);
    }
    mem_free(&roll.items);
    table_row(&t);
    table_int(&t, f->loop->index);
    table_int(&t, clients);
    table_int(&t, waiting);
    table_int(&t, (int64_t)servers);
    table_int(&t, (int64_t)idle);
    table_end(&t);
}

/* ---- listens: what is heard without a server of one's own ------------------------------------ */

struct listens {
    struct table table;
    const struct client *client;
};

static void put_listen(const char *channel, void *arg)
{
    struct listens *l = arg;
    const struct client *c = l->client;
    table_row(&l->table);
    table_int(&l->table, c->id);
    table_text(&l->table, c->account->database->name);
    table_text(&l->table, c->account->user);
    table_text(&l->table, channel);
    table_int(&l->table, (int64_t)listen_waiting(c));
    table_end(&l->table);
}

static void visit_listens(struct gathering *g, struct front *f)
{
    struct listens l = {.table = show_table(g)};
    dlist_each (node, &f->clients) {
        l.client = container_of(node, struct client, node);
        if (l.client->state == CLIENT_READY) { listen_each(l.client, put_listen, &l); }
    }
}

/* ---- settings -------------------------------------------------------------------------------- */

static void fill_settings(struct gathering *g, struct table *t)
{
    for (size_t i = 0; i < g->config->settings_count; i++) {
        const struct setting_config *s = &g->config->settings[i];
        table_row(t);
        table_text(t, s->database);
        table_text(t, s->user);
        table_text(t, s->name);
        table_text(t, s->value);
        table_yes(t, s->required);
        table_end(t);
    }
}

const struct show show_nodes = {"nodes", SHOW_COLUMNS(node_columns), NULL, fill_nodes, NULL};
const struct show show_routes = {"routes", SHOW_COLUMNS(route_columns), NULL, fill_routes, NULL};
const struct show show_workers = {"workers", SHOW_COLUMNS(worker_columns), visit_worker, NULL,
                                  NULL};
const struct show show_listens = {"listens", SHOW_COLUMNS(listen_columns), visit_listens, NULL,
                                  NULL};
const struct show show_settings = {"settings", SHOW_COLUMNS(setting_columns), NULL, fill_settings,
                                   NULL};
