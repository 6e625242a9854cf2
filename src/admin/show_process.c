/* CONFIG, VERSION, MEM, PEERS, DNS: about the process. */
#include <unistd.h>

#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"
#include "client/peers.h"
#include "net/names.h"
#include "request/request.h"

static const struct column config_columns[] = {SHOW_TEXT("key"), SHOW_TEXT("value"),
                                               SHOW_TEXT("default"), SHOW_TEXT("changeable")};
static const struct column version_columns[] = {SHOW_TEXT("version")};
static const struct column mem_columns[] = {SHOW_TEXT("name"), SHOW_INT("size"), SHOW_INT("used"),
                                            SHOW_INT("free"), SHOW_INT("memtotal")};
static const struct column peer_columns[] = {SHOW_INT("peer_id"), SHOW_TEXT("host"),
                                             SHOW_INT("port"), SHOW_INT("pool_size")};
static const struct column peer_pool_columns[] = {
    SHOW_INT("peer_id"), SHOW_INT("cl_active_cancel_req"), SHOW_INT("cl_waiting_cancel_req"),
    SHOW_INT("sv_active_cancel"), SHOW_INT("sv_login")};
static const struct column dns_host_columns[] = {SHOW_TEXT("hostname"), SHOW_LONG("ttl"),
                                                 SHOW_TEXT("addrs")};
static const struct column dns_zone_columns[] = {SHOW_TEXT("zonename"), SHOW_LONG("serial"),
                                                 SHOW_INT("count")};

static void fill_config(struct gathering *g, struct table *t)
{
    struct config_row row;
    for (size_t i = 0; config_row(g->config, i, &row); i++) {
        table_row(t);
        table_text(t, row.name);
        table_text(t, row.value);
        table_text(t, row.def);
        table_yes(t, row.changeable);
        table_end(t);
    }
}

/* Programs written for PgBouncer choose their queries by its version. */
static void fill_version(struct gathering *g, struct table *t)
{
    (void)g;
    table_row(t);
    table_text(t, "PgBouncer 1.25.2 (pgusher " PGUSHER_VERSION ")");
    table_end(t);
}

static void put_mem(struct table *t, const char *name, size_t size, size_t used)
{
    table_row(t);
    table_text(t, name);
    table_int(t, (int64_t)size);
    table_int(t, (int64_t)used);
    table_int(t, 0);
    table_int(t, (int64_t)(size * used));
    table_end(t);
}

/* Objects come from malloc one by one: none lies about free. */
static void fill_mem(struct gathering *g, struct table *t)
{
    struct registry *r = g->office->front->registry;
    struct database_roll databases = roll_databases(r);
    struct account_roll accounts = roll_accounts(r);
    size_t clients = g->consoles + g->logins, servers = 0;
    hmap_each (link, &g->tallies) {
        const struct tally *tally = container_of(link, struct tally, link);
        clients += tally->active + tally->waiting;
    }
    for (size_t i = 0; i < accounts.count; i++) { servers += roll_counts(accounts.items[i]).total; }
    put_mem(t, "account_cache", sizeof(struct account), accounts.count);
    put_mem(t, "db_cache", sizeof(struct database), databases.count);
    put_mem(t, "server_cache", sizeof(struct server), servers);
    put_mem(t, "client_cache", sizeof(struct client), clients);
    put_mem(t, "request_cache", sizeof(struct request), g->requests);
    mem_free(&accounts.items);
    mem_free(&databases.items);
}

static void fill_peers(struct gathering *g, struct table *t)
{
    for (size_t i = 0; i < g->config->peers_count; i++) {
        const struct peer_config *p = &g->config->peers[i];
        table_row(t);
        table_int(t, p->id);
        table_text(t, p->host);
        table_int(t, p->port);
        table_int(t, p->pool_size >= 0 ? p->pool_size : g->config->o.default_pool_size);
        table_end(t);
    }
}

/* Those that were needed once, as in PgBouncer. */
static void fill_peer_pools(struct gathering *g, struct table *t)
{
    for (size_t i = 0; i < g->config->peers_count; i++) {
        struct peer_counts n;
        int id = g->config->peers[i].id;
        if (!peers_count(g->office->front->shared->peers, id, &n)) { continue; }
        table_row(t);
        table_int(t, id);
        table_int(t, n.active);
        table_int(t, n.queued + n.connecting);
        table_int(t, n.active);
        table_int(t, n.connecting);
        table_end(t);
    }
}

struct dns_rows { /* collected under the lock of the names */
    struct table *table;
    struct buf addresses;
};

static void put_dns_host(void *arg, const char *host, int64_t ttl_us, const struct address *list,
                         unsigned count)
{
    struct dns_rows *rows = arg;
    buf_clear(&rows->addresses);
    for (unsigned i = 0; i < count; i++) {
        char text[64];
        int port;
        address_text(&list[i], text, sizeof text, &port);
        buf_printf(&rows->addresses, "%s%s", i == 0 ? "" : ",", text);
    }
    table_row(rows->table);
    table_text(rows->table, host);
    table_int(rows->table, ttl_us / US_PER_S);
    table_bytes(rows->table, buf_view(&rows->addresses));
    table_end(rows->table);
}

static void fill_dns_hosts(struct gathering *g, struct table *t)
{
    struct names *names = g->office->front->loop->names;
    struct dns_rows rows = {.table = t};
    if (names != NULL) { names_each(names, clock_now_us(), put_dns_host, &rows); }
    buf_done(&rows.addresses);
}

static void put_dns_zone(void *arg, const char *zone, uint32_t serial, unsigned hosts)
{
    struct table *t = arg;
    table_row(t);
    table_text(t, zone);
    table_int(t, serial);
    table_int(t, hosts);
    table_end(t);
}

static void fill_dns_zones(struct gathering *g, struct table *t)
{
    struct names *names = g->office->front->loop->names;
    if (names != NULL) { names_each_zone(names, put_dns_zone, t); }
}

const struct show show_config = {"config", SHOW_COLUMNS(config_columns), NULL, fill_config, NULL};
const struct show show_version = {"version", SHOW_COLUMNS(version_columns), NULL, fill_version,
                                  NULL};
const struct show show_mem = {"mem", SHOW_COLUMNS(mem_columns), tally_visit, fill_mem, NULL};
const struct show show_peers = {"peers", SHOW_COLUMNS(peer_columns), NULL, fill_peers, NULL};
const struct show show_peer_pools = {"peer_pools", SHOW_COLUMNS(peer_pool_columns), NULL,
                                     fill_peer_pools, NULL};
const struct show show_dns_hosts = {"dns_hosts", SHOW_COLUMNS(dns_host_columns), NULL,
                                    fill_dns_hosts, NULL};
const struct show show_dns_zones = {"dns_zones", SHOW_COLUMNS(dns_zone_columns), NULL,
                                    fill_dns_zones, NULL};
