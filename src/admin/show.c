/* Finding the SHOW, sending it round, and its answer. */
#include "admin/show.h"

#include "admin/faked.h"
#include "base/mem.h"
#include "settings/varset.h"

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
    &show_routes,
    &show_workers,
    &show_settings,
    &show_cache,
    &show_cache_rules,
    &show_listens,
    NULL,
};

/* PgBouncer 1.7's columns, for readers by name that were never changed (pgusher.console_layout). */
static const struct show *const shows_1_7[] = {&show_stats_1_7, &show_databases_1_7, NULL};

static const char help[] = "\n"
                           "\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n"
                           "\tSHOW STATS|STATS_TOTALS|STATS_AVERAGES|TOTALS\n"
                           "\tSHOW FDS|SOCKETS|ACTIVE_SOCKETS|LISTS|MEM|STATE\n"
                           "\tSHOW PEERS|PEER_POOLS|DNS_HOSTS|DNS_ZONES\n"
                           "\tSHOW NODES|ROUTES|CACHE|CACHE_RULES|LISTENS|PINS|SETTINGS|WORKERS\n"
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
                           "\tSUSPEND\n"
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
    struct table t = table_of(session_rows(s), g->show->columns, g->show->columns_count);
    g->office = s->office;
    session_describe(s, t.columns, t.count);
    buf_put_bytes(t.out, buf_view(&g->rows));
    if (g->show->fill != NULL) { g->show->fill(g, &t); }
    session_complete(s, "SHOW");
}

static void back(struct tour *t, struct session *s)
{
    struct gathering *g = container_of(t, struct gathering, tour);
    if (g->show->finish != NULL) {
        g->show->finish(g, s);
    } else {
        answer(g, s);
    }
}

static void drop(struct tour *t)
{
    struct gathering *g = container_of(t, struct gathering, tour);
    tally_done(g);
    page_done(&g->period);
    fds_close(&g->fds, g->fds_count);
    buf_done(&g->rows);
    config_unref(&g->config);
    mem_free(&g);
}

static void start(struct session *s, const struct show *show)
{
    struct gathering *g = mem_new(struct gathering);
    g->show = show;
    g->config = registry_config(s->office->front->registry);
    g->with_fds = show == &show_fds && fds_allowed(s);
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

static void show_help(struct session *s)
{
    compose_notice(session_out(s), "NOTICE", "00000", "Console usage", help, NULL);
    session_complete(s, "SHOW");
}

static void show_fds_run(struct session *s)
{
    if (!s->client->admin) {
        session_error(s, "42501", "admin access needed");
    } else if (s->portal != NULL) {
        session_error(s, "0A000", "SHOW FDS needs the simple query protocol");
    } else {
        start(s, &show_fds);
    }
}

/* PgBouncer takes SELECT for SHOW as well. */
static bool is_show(const struct command *c)
{
    bool verb = command_is(c, 0, "SHOW") || command_is(c, 0, "SELECT");
    return verb && c->count >= 2 && c->words[1].kind == WORD_BARE;
}

static bool is_cache_why(const struct command *c)
{
    return command_is(c, 1, "CACHE") && command_is(c, 2, "WHY") && (c->count == 4 || c->count == 5);
}

static const struct show *find_in(const struct show *const *list, const struct command *c)
{
    for (; *list != NULL && c->count == 2; list++) {
        if (command_is(c, 1, (*list)->name)) { return *list; }
    }
    return NULL;
}

/* What the client reads by the names of an old PgBouncer comes first. */
static const struct show *find(const struct session *s, const struct command *c)
{
    const char *layout = varset_get(s->client->wanted, "pgusher.console_layout");
    bool old = layout != NULL && strcmp(layout, "1.7") == 0;
    const struct show *show = old ? find_in(shows_1_7, c) : NULL;
    return show != NULL ? show : find_in(shows, c);
}

const struct column *show_columns_of(const struct session *s, const struct command *c,
                                     unsigned *ret_count)
{
    const struct column *faked = faked_column(c);
    *ret_count = faked == NULL ? 0 : 1;
    if (faked != NULL || !is_show(c)) { return faked; }
    if (is_cache_why(c)) { return show_cache_why_columns(ret_count); }
    const struct show *show = find(s, c);
    if (show == NULL) { return NULL; }
    *ret_count = show->columns_count;
    return show->columns;
}

bool show_run(struct session *s, const struct command *c)
{
    if (!is_show(c)) { return false; }
    const struct show *show = find(s, c);
    if (is_cache_why(c)) {
        show_cache_why(s, c);
    } else if (show != NULL) {
        start(s, show);
    } else if (command_is(c, 1, "HELP") && c->count == 2) {
        show_help(s);
    } else if (command_is(c, 1, "FDS") && c->count == 2) {
        show_fds_run(s);
    } else {
        return false;
    }
    return true;
}
