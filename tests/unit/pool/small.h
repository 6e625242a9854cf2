/* Three workers' loops in one thread, turned by hand, and those who ask for servers on them. */
#pragma once

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/load.h"
#include "pool/pool.h"

#include "fake_server.h"

enum { LOOPS = 3, ASKERS = 12 };
#define NOT_BY_ALL __attribute__((unused)) /* who includes this needs not all of it */

struct asker {
    struct ticket ticket;
    struct pool *pool; /* NULL: the usual one */
    struct server *server;
    bool asking, failed;
    struct fault why;
};

static struct loop loops[LOOPS];
static struct loop *loop_list[LOOPS] = {&loops[0], &loops[1], &loops[2]};
static struct registry *registry;
static struct config *config;
static struct userlist *users;
static struct database *database;
static struct pool *pool, *pools[2];
static struct asker askers[ASKERS];
static int64_t ahead_us;                    /* of the clock, when somebody asks */
static unsigned served[1024], served_count; /* who was granted a server, in order */

static void turn_loop(unsigned i)
{
    loop_turn(&loops[i], false);
}

static void turn(void)
{
    fake_turn();
    for (unsigned i = 0; i < LOOPS; i++) { turn_loop(i); }
}

/* Enough for whatever was under way to come to rest. */
static void settle(void)
{
    for (unsigned i = 0; i < 40; i++) { turn(); }
}

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        for (unsigned turns_ = 0; turns_ < 100000 && !(condition); turns_++) { turn(); }           \
        CHECK(condition);                                                                          \
    } while (0)

static void begin_with(const char *line, const char *options)
{
    char ini[512];
    struct fault why = {0};
    fake_start();
    memset(askers, 0, sizeof askers);
    served_count = 0;
    ahead_us = 0;
    CHECK(log_open(&(struct log_options){.most = LOG_LEVEL_FATAL}) == E_OK);
    (void)snprintf(ini, sizeof ini, "[databases]\nclinic = host=127.0.0.1 port=%d %s\n%s",
                   fake.port, line, options);
    CHECK(config_parse(bytes_str(ini), "test.ini", &config, &why) == E_OK);
    CHECK(userlist_load(NULL, &users, &why) == E_OK);
    for (unsigned i = 0; i < LOOPS; i++) {
        loop_init(&loops[i]);
        loops[i].index = i;
    }
    registry = registry_new(loop_list, LOOPS);
    registry_configure(registry, config, users);
    database = registry_database(registry, "clinic");
    pool = registry_account(registry, database, "app")->pools[0];
    pools[0] = pool;
    pools[1] = NULL;
}

static void begin(const char *line)
{
    begin_with(line, "");
}

/* Another user's, of the same database. */
NOT_BY_ALL static struct pool *second_pool(void)
{
    return pools[1] = registry_account(registry, database, "other")->pools[0];
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ASKERS; i++) { pool_leave(&askers[i].ticket); }
    settle();
    for (unsigned i = 0; i < 2 * LOOPS; i++) {
        if (pools[i % 2] != NULL) { pool_shutdown(pools[i % 2], &loops[i / 2]); }
    }
    for (unsigned i = 0; i < LOOPS; i++) { loop_done(&loops[i]); }
    registry_free(&registry);
    config_unref(&config);
    userlist_unref(&users);
    fake_stop();
    return 0;
}

static void on_granted(struct ticket *t)
{
    struct asker *a = container_of(t, struct asker, ticket);
    CHECK(a->asking && a->server == NULL);
    CHECK(t->state == TICKET_NONE);
    a->asking = false;
    a->server = t->server;
    t->server = NULL;
    if (a->server == NULL) {
        a->failed = true;
        a->why = t->why;
        return;
    }
    CHECK(a->server->stream.loop == t->loop); /* it is watched where its holder lives */
    served[served_count++ % 1024] = (unsigned)(a - askers);
}

/* true: a server was there at once; false: it comes, or the asker failed. */
static bool ask(unsigned who, unsigned on)
{
    struct asker *a = &askers[who];
    CHECK(!a->asking && a->server == NULL);
    a->ticket.granted = on_granted;
    a->failed = false;
    a->asking = true;
    struct pool *p = a->pool == NULL ? pool : a->pool;
    enum err e = pool_checkout(p, &a->ticket, &loops[on], clock_now_us() + ahead_us);
    if (e != E_AGAIN) { on_granted(&a->ticket); }
    return e == E_OK;
}

static void give_back(unsigned who)
{
    CHECK(askers[who].server != NULL);
    pool_checkin(&askers[who].server);
    CHECK(askers[who].server == NULL);
}

NOT_BY_ALL static void leave(unsigned who)
{
    pool_leave(&askers[who].ticket);
    askers[who].asking = false;
}

static bool holds(unsigned who)
{
    return askers[who].server != NULL;
}

static struct pool_counts counts(void)
{
    struct pool_counts c;
    pool_counts(pool, &c);
    return c;
}

NOT_BY_ALL static void check_counts(unsigned total, unsigned idle, unsigned waiting)
{
    struct pool_counts c = counts();
    CHECK(c.total == total);
    CHECK(c.idle == idle);
    CHECK(c.waiting == waiting);
}
