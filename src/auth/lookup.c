/*
 * One line per place: a connection, and who waits. A connection that is lost during a question is
 * opened anew and the question put again, once; it only reads.
 */
#include "auth/lookup.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "auth/answers.h"
#include "auth/keyring.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/side.h"

enum {
    QUESTIONS_MOST = 10000, /* of one line */
    LINES_MOST = 1000,
    QUERY_US = 10 * 1000000,
    IDLE_US = 60 * 1000000,    /* a connection nobody needs is closed */
    STANDBY_US = 10 * 1000000, /* a replica answers for so long, then the primary is looked for */
};

struct line {
    struct dlist node;
    struct lookup *all;
    uint8_t id[KEYRING_ID];
    char *name, *dbname, *user, *password, *query, *tls;
    struct host_config *hosts;
    size_t hosts_count, host; /* the one in use, or to be tried first */
    size_t tried;             /* since the last that answered: all as a primary, then as any */
    int64_t again_us;         /* another look for the primary is due; 0: it is the one asked */
    bool only_catalog;
    int64_t connect_timeout_us;
    struct side *side;
    bool asking, again;     /* a question is out; it is out for the second time */
    struct dlist questions; /* tickets; the first is out */
    unsigned waiting;
    struct timer idle;
};

struct lookup {
    struct loop *loop;
    struct answers *answers;
    struct dlist lines;
    unsigned lines_count, closing;
    bool stopped;
    atomic_int usual; /* enum secret_kind */
};

struct lookup_ticket {
    struct letter letter;
    struct dlist node; /* in its line */
    struct lookup *all;
    struct line *place; /* on the way there: what a line would be made of */
    struct loop *back;
    uint8_t answer_id[KEYRING_ID];
    char *user;
    int64_t ttl_us, negative_ttl_us;
    bool left; /* of the asker's thread alone */
    enum err e;
    struct credential *found;
    void (*done)(void *arg, enum err e, struct credential *found);
    void *arg;
};

/* ---- places and their ids */

static struct bytes text(const char *s)
{
    return bytes_str(s == NULL ? "" : s);
}

static void place_id(const struct lookup_place *p, uint8_t ret[KEYRING_ID])
{
    struct buf hosts = {0};
    char *tls = config_libpq_tls(p->tls);
    for (size_t i = 0; i < p->hosts_count; i++) {
        buf_printf(&hosts, "%s:%d,", p->hosts[i].host, p->hosts[i].port);
    }
    const struct bytes parts[] = {text(p->dbname),
                                  text(p->user),
                                  text(p->password),
                                  text(p->query),
                                  text(p->only_catalog ? "1" : "0"),
                                  text(tls),
                                  buf_view(&hosts)};
    keyring_id("auth_query place", parts, sizeof parts / sizeof parts[0], ret);
    buf_done(&hosts);
    mem_free(&tls);
}

static void answer_id(const struct lookup_place *p, const char *user, uint8_t ret[KEYRING_ID])
{
    uint8_t place[KEYRING_ID];
    place_id(p, place);
    const struct bytes parts[] = {bytes_of(place, sizeof place), bytes_str(user)};
    keyring_id("auth_query user", parts, 2, ret);
}

static char *copy(const char *s)
{
    return s == NULL ? NULL : mem_strdup(s);
}

static struct line *line_new(struct lookup *all, const struct lookup_place *p)
{
    struct line *l = mem_new(struct line);
    l->all = all;
    place_id(p, l->id);
    l->name = copy(p->name);
    l->dbname = copy(p->dbname);
    l->user = copy(p->user);
    l->password = copy(p->password);
    l->query = copy(p->query);
    l->only_catalog = p->only_catalog;
    l->tls = config_libpq_tls(p->tls);
    l->hosts = mem_array(struct host_config, p->hosts_count);
    l->hosts_count = p->hosts_count;
    for (size_t i = 0; i < p->hosts_count; i++) {
        l->hosts[i] = (struct host_config){copy(p->hosts[i].host), p->hosts[i].port};
    }
    l->connect_timeout_us = p->connect_timeout_us;
    dlist_init(&l->node);
    dlist_init(&l->questions);
    return l;
}

static void line_free(struct line *l)
{
    if (l == NULL) { return; }
    char **const texts[] = {&l->name, &l->dbname, &l->user, &l->query, &l->tls};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) { mem_free(texts[i]); }
    if (l->password != NULL) { mem_wipe(l->password, strlen(l->password)); }
    mem_free(&l->password);
    for (size_t i = 0; i < l->hosts_count; i++) { mem_free(&l->hosts[i].host); }
    mem_free(&l->hosts);
    mem_free(&l);
}

/* ---- tickets, back on the asker's loop */

static void ticket_free(struct lookup_ticket *t)
{
    credential_unref(&t->found);
    line_free(t->place);
    mem_free(&t->user);
    mem_free(&t);
}

static void open_answer(struct letter *l)
{
    struct lookup_ticket *t = container_of(l, struct lookup_ticket, letter);
    if (!t->left) { t->done(t->arg, t->e, t->found); }
    ticket_free(t);
}

void lookup_leave(struct lookup_ticket **t)
{
    if (*t != NULL) { (*t)->left = true; }
    *t = NULL;
}

/* ---- answering, on the control loop */

static void answer(struct lookup_ticket *t, enum err e, struct credential *found)
{
    t->e = e;
    t->found = found == NULL ? NULL : credential_ref(found);
    t->letter.open = open_answer;
    loop_post(t->back, &t->letter);
}

static void pump(struct line *l);

static struct lookup_ticket *first(struct line *l)
{
    return container_of(l->questions.next, struct lookup_ticket, node);
}

/* The first question is answered, and so are all others about the same user. */
static void settle(struct line *l, enum err e, struct credential *found)
{
    struct lookup_ticket *asked = first(l);
    int64_t now_us = clock_now_us();
    if (e == E_OK) { atomic_store(&l->all->usual, (int)credential_secret(found)->kind); }
    if (e == E_OK || e == E_NOTFOUND) {
        answers_keep(l->all->answers, asked->answer_id, found, now_us,
                     now_us + (e == E_OK ? asked->ttl_us : asked->negative_ttl_us));
    }
    char *user = mem_strdup(asked->user);
    dlist_each (node, &l->questions) {
        struct lookup_ticket *t = container_of(node, struct lookup_ticket, node);
        if (strcmp(t->user, user) != 0) { continue; }
        dlist_remove(&t->node);
        l->waiting--;
        answer(t, e, found);
    }
    mem_free(&user);
    l->asking = l->again = false;
}

static void log_failure(const struct line *l, const struct fault *why)
{
    log_error(NULL,
              "event=auth_query_failed database=%s auth_user=%s reason=\"%s\" "
              "next=\"%u logins are refused\"",
              l->name, l->user, why->text, l->waiting);
}

/* No server can be asked: all who wait hear it. */
static void give_up(struct line *l, const struct fault *why)
{
    log_failure(l, why);
    while (!dlist_empty(&l->questions)) {
        struct lookup_ticket *t = first(l);
        dlist_remove(&t->node);
        l->waiting--;
        answer(t, why->code == E_TIMEOUT ? E_TIMEOUT : E_LOST, NULL);
    }
    l->asking = l->again = false;
}

static void on_side_closed(void *arg)
{
    struct lookup *all = arg;
    all->closing--;
}

static void close_side(struct line *l)
{
    if (l->side == NULL) { return; }
    l->all->closing++;
    side_close(&l->side, on_side_closed, l->all);
}

/* Two texts, one row; the name is the one that was asked for. */
static enum err read_result(const char *user, PGresult *result, struct credential **ret,
                            struct fault *why)
{
    int rows = pq.ntuples(result), columns = pq.nfields(result);
    if (columns != 2) {
        return fault_set(why, E_CONFIG, "expected 2 columns from auth_query, not %d", columns);
    }
    if (rows == 0) { return E_NOTFOUND; }
    if (rows > 1) {
        return fault_set(why, E_CONFIG, "expected 1 row from auth_query, not %d", rows);
    }
    if (pq.getisnull(result, 0, 0) != 0) { /* a function that found nothing returns such a row */
        return E_NOTFOUND;
    }
    if (strcmp(pq.getvalue(result, 0, 0), user) != 0) {
        return fault_set(why, E_CONFIG, "auth_query returned another user than it was asked for");
    }
    const char *secret = pq.getisnull(result, 0, 1) != 0 ? NULL : pq.getvalue(result, 0, 1);
    if (credential_new(user, secret, ret) != E_OK) {
        return fault_set(why, E_CONFIG, "auth_query returned a malformed SCRAM secret");
    }
    return E_OK;
}

static void on_answer(void *arg, PGresult *result, const struct fault *failed)
{
    struct line *l = arg;
    struct credential *found = NULL;
    struct fault why = {0};
    if (failed != NULL && failed->code != E_SERVER) { /* the connection is gone */
        close_side(l);
        if (l->again || failed->code == E_TIMEOUT) {
            give_up(l, failed);
        } else {
            l->again = true;
            l->asking = false;
        }
        pump(l);
        return;
    }
    enum err e = failed == NULL ? read_result(first(l)->user, result, &found, &why) : E_SERVER;
    if (failed != NULL) { why = *failed; }
    if (e != E_OK && e != E_NOTFOUND) { log_failure(l, &why); }
    settle(l, e, found);
    credential_unref(&found);
    pump(l);
}

/* A replica may not have heard of a new password yet, or be left behind for good. */
static bool wants_primary(const struct line *l)
{
    return l->hosts_count > 1 && l->tried < l->hosts_count;
}

static void on_opened(void *arg, const struct fault *why)
{
    struct line *l = arg;
    if (why == NULL) {
        l->again_us = wants_primary(l) || l->hosts_count == 1 ? 0 : clock_now_us() + STANDBY_US;
        l->tried = 0;
        pump(l);
        return;
    }
    close_side(l);
    l->host = (l->host + 1) % l->hosts_count;
    if (++l->tried >= (l->hosts_count == 1 ? 1 : 2 * l->hosts_count)) {
        l->tried = 0;
        give_up(l, why);
    }
    pump(l);
}

static void open_side(struct line *l)
{
    const struct side_target target = {
        .host = l->hosts[l->host].host,
        .port = l->hosts[l->host].port,
        .dbname = l->dbname,
        .user = l->user,
        .password = l->password,
        .own_search_path = !l->only_catalog,
        .only_primary = wants_primary(l),
        .tls = l->tls,
        .statement_timeout_us = QUERY_US,
    };
    l->side = side_open(l->all->loop, &target, l->connect_timeout_us, on_opened, l);
}

static void on_idle(struct timer *t)
{
    close_side(container_of(t, struct line, idle));
}

/* Whatever can be done next for those who wait. */
static void pump(struct line *l)
{
    if (l->asking || l->all->stopped) { return; }
    if (dlist_empty(&l->questions)) {
        if (l->side != NULL) {
            timer_set(&l->all->loop->timers, &l->idle, clock_now_us() + IDLE_US);
        }
        return;
    }
    timer_clear(&l->all->loop->timers, &l->idle);
    if (side_idle(l->side) && l->again_us > 0 && clock_now_us() >= l->again_us) { close_side(l); }
    if (l->side == NULL) {
        open_side(l);
    } else if (side_idle(l->side)) {
        const char *const params[] = {first(l)->user};
        l->asking = true;
        side_query_params(l->side, l->query, params, 1, 2 * (int64_t)QUERY_US, on_answer, l);
    }
}

/* ---- questions, on the control loop */

static struct line *find_line(struct lookup *all, const uint8_t id[KEYRING_ID])
{
    dlist_each (node, &all->lines) {
        struct line *l = container_of(node, struct line, node);
        if (memcmp(l->id, id, KEYRING_ID) == 0) { return l; }
    }
    return NULL;
}

/* A line that nobody waits for makes room for another. */
static bool drop_unused_line(struct lookup *all)
{
    dlist_each (node, &all->lines) {
        struct line *l = container_of(node, struct line, node);
        if (!dlist_empty(&l->questions)) { continue; }
        timer_clear(&all->loop->timers, &l->idle);
        close_side(l);
        dlist_remove(&l->node);
        all->lines_count--;
        line_free(l);
        return true;
    }
    return false;
}

static void open_question(struct letter *letter)
{
    struct lookup_ticket *t = container_of(letter, struct lookup_ticket, letter);
    struct lookup *all = t->all;
    if (all->stopped) { /* its client is gone with all others */
        ticket_free(t);
        return;
    }
    struct line *l = find_line(all, t->place->id);
    if (l == NULL && (all->lines_count < LINES_MOST || drop_unused_line(all))) {
        l = t->place;
        t->place = NULL;
        l->idle.due = on_idle;
        dlist_push_back(&all->lines, &l->node);
        all->lines_count++;
    }
    if (l == NULL || l->waiting >= QUESTIONS_MOST) {
        log_error(NULL, "event=auth_query_refused reason=\"too many logins wait for it\"");
        answer(t, E_LIMIT, NULL);
        return;
    }
    dlist_push_back(&l->questions, &t->node);
    l->waiting++;
    pump(l);
}

enum err lookup_ask(struct lookup *l, const struct lookup_place *place, const char *user,
                    struct loop *back,
                    void (*done)(void *arg, enum err e, struct credential *found), void *arg,
                    struct lookup_ticket **ret, struct credential **ret_found)
{
    uint8_t id[KEYRING_ID];
    answer_id(place, user, id);
    enum err e = answers_find(l->answers, id, clock_now_us(), ret_found);
    if (e != E_AGAIN) { return e; }
    struct lookup_ticket *t = mem_new(struct lookup_ticket);
    dlist_init(&t->node);
    t->all = l;
    t->place = line_new(l, place);
    t->back = back;
    memcpy(t->answer_id, id, sizeof id);
    t->user = mem_strdup(user);
    t->ttl_us = place->ttl_us;
    t->negative_ttl_us = place->negative_ttl_us;
    t->done = done;
    t->arg = arg;
    t->letter.open = open_question;
    loop_post(l->loop, &t->letter);
    *ret = t;
    return E_AGAIN;
}

enum secret_kind lookup_usual(const struct lookup *l)
{
    return (enum secret_kind)atomic_load(&l->usual);
}

void lookup_forget(struct lookup *l, const struct lookup_place *place, const char *user)
{
    uint8_t id[KEYRING_ID];
    answer_id(place, user, id);
    answers_forget(l->answers, id);
}

void lookup_forget_all(struct lookup *l)
{
    answers_clear(l->answers);
}

/* ---- life */

struct lookup *lookup_new(struct loop *loop)
{
    struct lookup *l = mem_new(struct lookup);
    l->loop = loop;
    l->answers = answers_new(ANSWERS_MOST);
    atomic_init(&l->usual, SECRET_SCRAM);
    dlist_init(&l->lines);
    return l;
}

void lookup_stop(struct lookup *all)
{
    all->stopped = true;
    dlist_each (node, &all->lines) {
        struct line *l = container_of(node, struct line, node);
        timer_clear(&all->loop->timers, &l->idle);
        close_side(l);
        while (!dlist_empty(&l->questions)) {
            struct lookup_ticket *t = first(l);
            dlist_remove(&t->node);
            ticket_free(t);
        }
        dlist_remove(&l->node);
        line_free(l);
    }
    while (all->closing > 0) { (void)uv_run(&all->loop->uv, UV_RUN_ONCE); }
}

void lookup_free(struct lookup **pl)
{
    struct lookup *l = *pl;
    *pl = NULL;
    if (l == NULL) { return; }
    assert(dlist_empty(&l->lines));
    answers_free(&l->answers);
    mem_free(&l);
}
