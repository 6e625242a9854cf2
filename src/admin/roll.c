/* Collected under a lock: pointers and integers only. */
#include "admin/roll.h"

#include "base/mem.h"

static void add_database(struct database *db, void *arg)
{
    struct database_roll *roll = arg;
    roll->items = mem_grow(roll->items, roll->count + 1, sizeof(void *));
    roll->items[roll->count++] = db;
}

struct database_roll roll_databases(struct registry *r)
{
    struct database_roll roll = {0};
    registry_each_database(r, add_database, &roll);
    return roll;
}

static void add_account(struct account *a, void *arg)
{
    struct account_roll *roll = arg;
    roll->items = mem_grow(roll->items, roll->count + 1, sizeof(void *));
    roll->items[roll->count++] = a;
}

struct account_roll roll_accounts(struct registry *r)
{
    struct account_roll roll = {0};
    registry_each_account(r, add_account, &roll);
    return roll;
}

struct database *roll_find(const struct database_roll *roll, const char *name)
{
    for (size_t i = 0; i < roll->count; i++) {
        struct database *db = roll->items[i];
        if (!atomic_load(&db->retired) && strcmp(db->name, name) == 0) { return db; }
    }
    return NULL;
}

struct pool_counts roll_counts(const struct account *a)
{
    struct pool_counts sum = {0};
    for (size_t i = 0; i < a->database->topology->count && !a->shares_pools; i++) {
        struct pool_counts c;
        pool_counts(a->pools[i], &c);
        sum.total += c.total;
        sum.idle += c.idle;
        sum.active += c.active;
        sum.login += c.login;
        sum.cleaning += c.cleaning;
        sum.waiting += c.waiting;
        sum.used += c.used;
        if (c.oldest_wait_us != 0 &&
            (sum.oldest_wait_us == 0 || c.oldest_wait_us < sum.oldest_wait_us)) {
            sum.oldest_wait_us = c.oldest_wait_us;
        }
    }
    return sum;
}

struct server_look {
    const struct loop *loop;
    struct server_roll *to;
};

/* Another loop's server is only asked whose it is; one of ours stays ours until we give it away. */
static void look_at(struct server *s, void *arg)
{
    struct server_look *look = arg;
    struct server_roll *to = look->to;
    if (atomic_load(&s->home) != look->loop || s->state == SERVER_DEAD) { return; }
    to->items = mem_grow(to->items, to->count + 1, sizeof *to->items);
    to->items[to->count++] = (struct server_seen){.server = s, .state = s->state};
}

void roll_servers(const struct account *a, const struct loop *l, struct server_roll *to)
{
    struct server_look look = {.loop = l, .to = to};
    for (size_t i = 0; i < a->database->topology->count && !a->shares_pools; i++) {
        pool_each_server(a->pools[i], look_at, &look);
    }
}
