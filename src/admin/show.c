/* Finding the SHOW, sending it round, and its answer. */
#include "admin/show.h"

#include <strings.h>

#include "admin/control.h"
#include "base/mem.h"

static const struct show *const shows[] = {
    &show_clients,
    &show_servers,
    &show_sockets,
    &show_active_sockets,
    &show_pins,
    &show_pools,
    &show_databases,
    &show_users,
    &show_lists,
    &show_stats,
    &show_stats_averages,
    &show_stats_totals,
    &show_totals,
    &show_config,
    &show_version,
    &show_state,
    &show_mem,
    &show_peers,
    &show_peer_pools,
    &show_dns_hosts,
    &show_dns_zones,
    &show_nodes,
    &show_workers,
    &show_settings,
    &show_cache,
    &show_cache_rules,
    NULL,
};

static const char help[] = "\n"
                           "\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n"
                           "\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS\n"
                           "\tSHOW SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE\n"
                           "\tSHOW PEERS|PEER_POOLS|DNS_HOSTS|DNS_ZONES\n"
                           "\tSHOW NODES|CACHE|CACHE_RULES|PINS|SETTINGS|WORKERS\n"
                           "\tSHOW CACHE WHY [<db>] '<sql>'\n"
                           "\tSET key = arg\n"
                           "\tRELOAD\n"
                           "\tPAUSE [<db>]\n"
                           "\tRESUME [<db>]\n"
                           "\tDISABLE <db>\n"
                           "\tENABLE <db>\n"
                           "\tRECONNECT [<db>]\n"
                           "\tKILL [<db>]\n"
                           "\tKILL_CLIENT <client_id>\n"
                           "\tWAIT_CLOSE [<db>]\n"
                           "\tSHUTDOWN\n"
                           "\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS";

/* ---- gathering ------------------------------------------------------------------------------- */

static void visit(struct tour *t, struct front *f)
{
    struct gathering *g = container_of(t, struct gathering, tour);
    g->show->visit(g, f);
}

static void answer(struct gathering *g, struct session *s)
{
    struct table t = table_of(session_out(s), g->show->columns, g->show->columns_count);
    g->office = s->office;
    table_describe(&t);
    buf_put_bytes(t.out, buf_view(&g->rows));
    if (g->show->fill != NULL) { g->show->fill(g, &t); }
    session_complete(s, "SHOW");
}

static void back(struct tour *t, struct session *s)
{
    answer(container_of(t, struct gathering, tour), s);
}

static void drop(struct tour *t)
{
    struct gathering *g = container_of(t, struct gathering, tour);
    tally_done(g);
    page_done(&g->period);
    buf_done(&g->rows);
    config_unref(&g->config);
    mem_free(&g);
}

static void start(struct session *s, const struct show *show)
{
    struct gathering *g = mem_new(struct gathering);
    g->show = show;
    g->config = registry_config(s->office->front->registry);
    g->tour.visit = visit;
    g->tour.back = back;
    g->tour.drop = drop;
    if (show->visit != NULL) {
        tour_start(&g->tour, s);
        return;
    }
    answer(g, s);
    drop(&g->tour);
}

/* ---- finding --------------------------------------------------------------------------------- */

/* What drivers ask of any server. */
static bool show_faked(struct session *s, const char *name)
{
    const char *value;
    const char *known = control_faked(name, &value);
    if (known == NULL) { return false; }
    const struct column column = {known, COLUMN_TEXT};
    compose_row_description(session_out(s), &column, 1);
    compose_data_row(session_out(s), &value, 1);
    session_complete(s, "SHOW");
    return true;
}

static void show_help(struct session *s)
{
    compose_notice(session_out(s), "NOTICE", "00000", "Console usage", help, NULL);
    session_complete(s, "SHOW");
}

bool show_run(struct session *s, const struct command *c)
{
    bool verb = command_is(c, 0, "SHOW") || command_is(c, 0, "SELECT");
    if (!verb || c->count < 2 || c->words[1].kind != WORD_BARE) { return false; }
    if (command_is(c, 1, "CACHE") && command_is(c, 2, "WHY") && (c->count == 4 || c->count == 5)) {
        show_cache_why(s, c);
        return true;
    }
    if (c->count != 2) { return false; }
    const char *name = c->words[1].text;
    if (show_faked(s, name)) { return true; }
    if (command_is(c, 1, "HELP")) {
        show_help(s);
        return true;
    }
    if (command_is(c, 1, "FDS")) {
        session_error(s, "0A000", "SHOW FDS is not supported");
        return true;
    }
    for (const struct show *const *show = shows; *show != NULL; show++) {
        if (strcasecmp((*show)->name, name) == 0) {
            start(s, *show);
            return true;
        }
    }
    return false;
}
