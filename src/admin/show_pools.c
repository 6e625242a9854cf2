/* POOLS, and counting clients and servers by account. */
#include <strings.h>

#include "admin/roll.h"
#include "admin/show.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/option.h"
#include "request/request.h"

/* ---- counting on each loop ------------------------------------------------------------------- */

static struct tally *tally_find(const struct gathering *g, const struct account *a)
{
    struct hlink *link = hmap_find(&g->tallies, bytes_of(&a, sizeof(void *)));
    return link == NULL ? NULL : container_of(link, struct tally, link);
}

static struct tally *tally_of(struct gathering *g, struct account *a)
{
    struct tally *t = tally_find(g, a);
    if (t != NULL) { return t; }
    t = mem_new(struct tally);
    t->account = a;
    hmap_insert(&g->tallies, &t->link, bytes_of(&t->account, sizeof(void *)));
    return t;
}

static void tally_client(struct gathering *g, const struct client *c)
{
    if (c->state == CLIENT_CLOSED) { return; }
    if (c->account == NULL) {
        g->consoles += c->state == CLIENT_READY;
        g->logins += c->state == CLIENT_LOGIN;
        return;
    }
    struct tally *t = tally_of(g, c->account);
    g->requests += c->request != NULL;
    if (!client_is_waiting(c)) {
        t->active++;
        return;
    }
    int64_t since_us = client_waits_since(c);
    t->waiting++;
    if (t->oldest_wait_us == 0 || since_us < t->oldest_wait_us) { t->oldest_wait_us = since_us; }
}

void tally_visit(struct gathering *g, struct front *f)
{
    dlist_each (node, &f->clients) { tally_client(g, container_of(node, struct client, node)); }
    struct account_roll roll = roll_accounts(f->registry);
    for (size_t i = 0; i < roll.count; i++) {
        struct server_roll servers = {0};
        roll_servers(roll.items[i], f->loop, &servers);
        for (size_t k = 0; k < servers.count; k++) {
            if (!server_canceling(servers.items[k].server)) { continue; }
            struct tally *t = tally_of(g, roll.items[i]);
            t->cancels++;
            t->being_canceled += servers.items[k].state == SERVER_CLEANING;
        }
        mem_free(&servers.items);
    }
    mem_free(&roll.items);
}

void tally_done(struct gathering *g)
{
    hmap_each (link, &g->tallies) {
        struct tally *t = container_of(link, struct tally, link);
        hmap_remove(&g->tallies, link);
        mem_free(&t);
    }
    hmap_done(&g->tallies);
}

/* ---- SHOW POOLS ------------------------------------------------------------------------------ */

static const struct column pool_columns[] = {
    SHOW_TEXT("database"),
    SHOW_TEXT("user"),
    SHOW_INT("cl_active"),
    SHOW_INT("cl_waiting"),
    SHOW_INT("cl_active_cancel_req"),
    SHOW_INT("cl_waiting_cancel_req"),
    SHOW_INT("sv_active"),
    SHOW_INT("sv_active_cancel"),
    SHOW_INT("sv_being_canceled"),
    SHOW_INT("sv_idle"),
    SHOW_INT("sv_used"),
    SHOW_INT("sv_tested"),
    SHOW_INT("sv_login"),
    SHOW_INT("maxwait"),
    SHOW_INT("maxwait_us"),
    SHOW_TEXT("pool_mode"),
    SHOW_TEXT("load_balance_hosts"),
};

struct pool_sum { /* one database and user: the account in force and what is left of retired ones */
    const struct account *account;
    unsigned active, waiting, cancels, being_canceled;
    struct pool_counts servers;
    int64_t oldest_wait_us;
};

struct pool_sums {
    struct pool_sum *rows;
    size_t count;
};

static struct pool_sum *sum_of(struct pool_sums *sums, const struct account *a)
{
    for (size_t i = 0; i < sums->count; i++) {
        const struct account *b = sums->rows[i].account;
        if (strcmp(a->user, b->user) == 0 && strcmp(a->database->name, b->database->name) == 0) {
            return &sums->rows[i];
        }
    }
    sums->rows = mem_grow(sums->rows, sums->count + 1, sizeof *sums->rows);
    sums->rows[sums->count] = (struct pool_sum){.account = a};
    return &sums->rows[sums->count++];
}

static void add_account(struct gathering *g, struct pool_sums *sums, const struct account *a)
{
    const struct tally *t = tally_find(g, a);
    struct pool_counts c = roll_counts(a);
    bool retired = atomic_load(&a->database->retired);
    if (retired && t == NULL && c.total == 0 && c.waiting == 0) { return; }
    struct pool_sum *sum = sum_of(sums, a);
    if (!retired) { sum->account = a; }
    sum->servers.active += c.active;
    sum->servers.idle += c.idle;
    sum->servers.used += c.used;
    sum->servers.cleaning += c.cleaning;
    sum->servers.login += c.login;
    if (t == NULL) { return; }
    sum->active += t->active;
    sum->waiting += t->waiting;
    sum->cancels += t->cancels;
    sum->being_canceled += t->being_canceled;
    if (t->oldest_wait_us != 0 &&
        (sum->oldest_wait_us == 0 || t->oldest_wait_us < sum->oldest_wait_us)) {
        sum->oldest_wait_us = t->oldest_wait_us;
    }
}

static void put_pool(struct table *t, const struct pool_sum *sum)
{
    int64_t wait_us = sum->oldest_wait_us == 0 ? 0 : clock_now_us() - sum->oldest_wait_us;
    unsigned tested = sum->servers.cleaning;
    table_row(t);
    table_text(t, sum->account->database->name);
    table_text(t, sum->account->user);
    table_int(t, sum->active);
    table_int(t, sum->waiting);
    table_int(t, 0); /* a cancel request is never queued: it goes out as it comes */
    table_int(t, 0);
    table_int(t, sum->servers.active);
    table_int(t, sum->cancels);
    table_int(t, sum->being_canceled);
    table_int(t, sum->servers.idle - sum->servers.used);
    table_int(t, sum->servers.used);
    table_int(t, tested > sum->being_canceled ? tested - sum->being_canceled : 0);
    table_int(t, sum->servers.login);
    table_int(t, wait_us / US_PER_S);
    table_int(t, wait_us % US_PER_S);
    table_text(t, option_pool_modes[sum->account->mode]);
    table_text(t, sum->account->database->line->load_balance_hosts);
    table_end(t);
}

static void put_console_pool(struct table *t, unsigned clients)
{
    table_row(t);
    table_text(t, "pgbouncer");
    table_text(t, "pgbouncer");
    table_int(t, clients);
    for (unsigned i = 0; i < 12; i++) { table_int(t, 0); }
    table_text(t, "statement");
    table_null(t);
    table_end(t);
}

static void fill_pools(struct gathering *g, struct table *t)
{
    struct account_roll roll = roll_accounts(g->office->front->registry);
    struct pool_sums sums = {0};
    for (size_t i = 0; i < roll.count; i++) { add_account(g, &sums, roll.items[i]); }
    for (size_t i = 0; i < sums.count; i++) { put_pool(t, &sums.rows[i]); }
    put_console_pool(t, g->consoles);
    mem_free(&sums.rows);
    mem_free(&roll.items);
}

const struct show show_pools = {"pools", SHOW_COLUMNS(pool_columns), tally_visit, fill_pools, NULL};
