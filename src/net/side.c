/*
 * libpq's connecting state machine and query functions, driven by uv_poll. Control thread.
 *
 * Three things need care. libpq resolves names with a blocking getaddrinfo(): names are resolved
 * here first and given as hostaddr. PQconnectPoll() may close its socket and open
 * another under the same number, so the watcher is closed before each call and made anew after it.
 * libpq has no connect timeout of its own in this mode: each step has a timer.
 */
#include "net/side.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "net/resolve.h"

enum side_state { SIDE_RESOLVING, SIDE_CONNECTING, SIDE_IDLE, SIDE_BUSY, SIDE_DEAD, SIDE_CLOSED };

struct side {
    enum side_state state;
    uv_timer_t timer; /* of the step under way */
    uv_poll_t *poll;  /* NULL: nothing is watched */
    struct loop *loop;
    struct resolve *resolve;
    PGconn *conn;
    PGresult *result; /* of the query under way: its first error, else its first result */
    char *host, *port, *dbname, *user, *password, *tls, *options;
    bool only_primary;
    int64_t connect_us; /* how long connecting may take */
    void (*opened)(void *arg, const struct fault *why);
    void (*done)(void *arg, PGresult *result, const struct fault *why);
    void *arg;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void go_on_connecting(struct side *s);
static void go_on_querying(struct side *s, bool readable);

/* ---- the watcher */

static void free_poll(uv_handle_t *handle)
{
    mem_free(&handle);
}

static void unwatch(struct side *s)
{
    if (s->poll == NULL) { return; }
    s->poll->data = NULL;
    uv_close((uv_handle_t *)s->poll, free_poll);
    s->poll = NULL;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct side *s = handle->data;
    if (s == NULL) { return; }
    if (s->state == SIDE_CONNECTING) {
        go_on_connecting(s);
    } else if (s->state == SIDE_BUSY) {
        go_on_querying(s, status != 0 || (events & UV_READABLE) != 0);
    }
}

/* False when the descriptor cannot be watched. */
static bool watch(struct side *s, int events)
{
    if (s->poll == NULL) {
        int fd = pq.socket(s->conn);
        if (fd < 0) { return false; }
        s->poll = mem_new(uv_poll_t);
        if (uv_poll_init(s->timer.loop, s->poll, fd) != 0) {
            mem_free(&s->poll); /* never became a handle */
            return false;
        }
        s->poll->data = s;
    }
    return uv_poll_start(s->poll, events, on_ready) == 0;
}

/* ---- failing */

/* "... FATAL:  28P01: text": the state that PQERRORS_VERBOSE puts before the text, or NULL. */
static const char *find_sqlstate(const char *text)
{
    for (const char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 1, ":  ")) {
        const char *state = at + 3;
        int n = 0;
        while (n < 5 && (isdigit((unsigned char)state[n]) || isupper((unsigned char)state[n]))) {
            n++;
        }
        if (n == 5 && state[5] == ':') { return state; }
    }
    return NULL;
}

/* libpq's words, the first line of them: what follows is guesses and source locations. */
static void fault_from_conn(const struct side *s, struct fault *why)
{
    const char *text = s->conn == NULL ? "out of memory" : pq.errorMessage(s->conn);
    int len = (int)strcspn(text, "\n");
    while (len > 0 && isspace((unsigned char)text[len - 1])) { len--; }
    const char *state = find_sqlstate(text);
    if (len == 0) {
        (void)fault_set(why, E_LOST, "the connection ended");
    } else if (state == NULL || state + 7 > text + len) {
        (void)fault_set(why, E_LOST, "%.*s", len, text);
    } else {
        char code[6] = {0};
        memcpy(code, state, 5);
        const char *rest = state + 7; /* "28P01: " */
        (void)fault_state(why, E_SERVER, code, "%.*s%.*s", (int)(state - text), text,
                          (int)(text + len - rest), rest);
    }
}

static void drop_conn(struct side *s)
{
    unwatch(s); /* before libpq closes the descriptor */
    if (s->conn == NULL) { return; }
    pq.clear(s->result);
    s->result = NULL;
    pq.finish(s->conn);
    s->conn = NULL;
}

/* Tells whoever waits; the last thing its caller does, since the callback may close the side. */
static void fail(struct side *s, const struct fault *why)
{
    bool connecting = s->state == SIDE_RESOLVING || s->state == SIDE_CONNECTING;
    s->state = SIDE_DEAD;
    resolve_forget(&s->resolve);
    (void)uv_timer_stop(&s->timer);
    drop_conn(s);
    if (connecting) {
        s->opened(s->arg, why);
    } else {
        s->done(s->arg, NULL, why);
    }
}

static void fail_conn(struct side *s)
{
    struct fault why = {0};
    fault_from_conn(s, &why);
    /* Its last words may be the server's own (57P01), but the connection is gone with them. */
    if (s->state == SIDE_BUSY) { why.code = E_LOST; }
    fail(s, &why);
}

static void on_timer(uv_timer_t *timer)
{
    struct side *s = timer->data;
    struct fault why = {0};
    (void)fault_set(&why, E_TIMEOUT, "no answer from %s:%s in time", s->host, s->port);
    fail(s, &why);
}

static void set_timer(struct side *s, int64_t timeout_us)
{
    uv_update_time(s->timer.loop);
    uint64_t ms = (uint64_t)((timeout_us + US_PER_MS - 1) / US_PER_MS);
    (void)uv_timer_start(&s->timer, on_timer, ms, 0);
}

/* ---- connecting */

static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

static void start_connecting(struct side *s, const char *hosts, const char *addresses)
{
    /* A list of addresses needs a list of names of the same length; one port serves all. */
    /* Only the first dbname is taken apart as a connection string, and what follows it counts. */
    const char *names[] = {"dbname",     "host",
                           "hostaddr",   "port",
                           "dbname",     "user",
                           "password",   "application_name",
                           "options",    "client_encoding",
                           "gssencmode", "target_session_attrs",
                           NULL};
    const char *values[] = {s->tls,     hosts,   addresses,   s->port,
                            s->dbname,  s->user, s->password, "pgusher",
                            s->options, "UTF8",  "disable",   s->only_primary ? "primary" : "any",
                            NULL};
    s->state = SIDE_CONNECTING;
    struct fault why = {0};
    if (pq_load(&why) != E_OK) {
        fail(s, &why);
        return;
    }
    s->conn = pq.connectStartParams(names, values, 1);
    if (s->conn == NULL || pq.status(s->conn) == CONNECTION_BAD) {
        fail_conn(s);
        return;
    }
    (void)pq.setErrorVerbosity(s->conn, PQERRORS_VERBOSE); /* SQLSTATE in the text of a refusal */
    (void)pq.setNoticeReceiver(s->conn, ignore_notice, NULL);
    if (!watch(s, UV_WRITABLE)) { fail_conn(s); }
}

static void go_on_connecting(struct side *s)
{
    unwatch(s);
    switch (pq.connectPoll(s->conn)) {
    case PGRES_POLLING_READING:
        if (!watch(s, UV_READABLE)) { fail_conn(s); }
        return;
    case PGRES_POLLING_WRITING:
        if (!watch(s, UV_WRITABLE)) { fail_conn(s); }
        return;
    case PGRES_POLLING_OK: break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE: fail_conn(s); return;
    }
    if (pq.setnonblocking(s->conn, 1) != 0) {
        fail_conn(s);
        return;
    }
    (void)uv_timer_stop(&s->timer);
    s->state = SIDE_IDLE;
    s->opened(s->arg, NULL);
}

static void fail_name(struct side *s)
{
    struct fault why = {0};
    (void)fault_set(&why, E_NOTFOUND, "no address for \"%s\"", s->host);
    fail(s, &why);
}

/* To all that is known of the name, one after the other. */
static void connect_known(struct side *s)
{
    struct address list[NAMES_ADDRESSES];
    unsigned count = names_list(s->loop->names, s->host, list);
    struct buf hosts = {0}, addresses = {0};
    for (unsigned i = 0; i < count; i++) {
        char text[64];
        int port;
        address_text(&list[i], text, sizeof text, &port);
        buf_printf(&hosts, "%s%s", i == 0 ? "" : ",", s->host);
        buf_printf(&addresses, "%s%s", i == 0 ? "" : ",", text);
    }
    if (count == 0) {
        fail_name(s);
    } else {
        start_connecting(s, buf_text(&hosts), buf_text(&addresses));
    }
    buf_done(&hosts);
    buf_done(&addresses);
}

static void on_resolved(void *arg, const struct address *a)
{
    struct side *s = arg;
    s->resolve = NULL;
    if (a == NULL) {
        fail_name(s);
    } else {
        connect_known(s);
    }
}

/* A number or a unix folder needs no lookup. Started from the timer, so that no callback comes
   before side_open() has returned. */
static void on_start(uv_timer_t *timer)
{
    struct side *s = timer->data;
    set_timer(s, s->connect_us);
    if (s->host[0] == '/' || s->host[0] == '@') {
        start_connecting(s, s->host, NULL);
        return;
    }
    struct in6_addr number;
    if (uv_inet_pton(AF_INET, s->host, &number) == 0 ||
        uv_inet_pton(AF_INET6, s->host, &number) == 0) {
        start_connecting(s, s->host, s->host);
        return;
    }
    struct address first;
    enum err e = resolve_start(s->loop, s->host, 0, &first, on_resolved, s, &s->resolve);
    if (e == E_OK) {
        connect_known(s);
    } else if (e != E_AGAIN) {
        fail_name(s);
    }
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

struct side *side_open(struct loop *loop, const struct side_target *target, int64_t timeout_us,
                       void (*opened)(void *arg, const struct fault *why), void *arg)
{
    struct side *s = mem_new(struct side);
    s->host = mem_strdup(target->host);
    s->port = mem_printf("%d", target->port);
    s->dbname = copy(target->dbname);
    s->user = copy(target->user);
    s->password = copy(target->password);
    s->tls = mem_strdup(target->tls == NULL ? "sslmode=prefer" : target->tls);
    s->only_primary = target->only_primary;
    /* Nobody else's schema may stand before pg_catalog in what the control thread runs. */
    s->options = mem_printf("%s-c statement_timeout=%lld",
                            target->own_search_path ? "" : "-c search_path=pg_catalog ",
                            (long long)(target->statement_timeout_us / US_PER_MS));
    s->opened = opened;
    s->arg = arg;
    s->loop = loop;
    (void)uv_timer_init(&loop->uv, &s->timer);
    s->timer.data = s;
    s->connect_us = timeout_us;
    (void)uv_timer_start(&s->timer, on_start, 0, 0);
    return s;
}

/* ---- querying */

/* E_SERVER for the statement's own error; anything else libpq says about the connection is fatal.
 */
static bool result_failed(const PGresult *r, struct fault *why)
{
    ExecStatusType status = pq.resultStatus(r);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_EMPTY_QUERY) {
        return false;
    }
    const char *state = pq.resultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = pq.resultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    (void)fault_state(why, E_SERVER, state == NULL ? "XX000" : state, "%s",
                      text == NULL ? "unexpected kind of result" : text);
    return true;
}

static void keep_result(struct side *s, PGresult *r)
{
    struct fault why = {0};
    if (s->result == NULL || (!result_failed(s->result, &why) && result_failed(r, &why))) {
        pq.clear(s->result);
        s->result = r;
        return;
    }
    pq.clear(r);
}

static void finish_query(struct side *s)
{
    struct fault why = {0};
    PGresult *result = s->result;
    s->result = NULL;
    if (pq.status(s->conn) == CONNECTION_BAD || result == NULL) {
        pq.clear(result);
        fail_conn(s);
        return;
    }
    (void)uv_timer_stop(&s->timer);
    (void)uv_poll_stop(s->poll);
    s->state = SIDE_IDLE;
    bool failed = result_failed(result, &why);
    s->done(s->arg, failed ? NULL : result, failed ? &why : NULL);
    pq.clear(result);
}

static void go_on_querying(struct side *s, bool readable)
{
    if (readable && pq.consumeInput(s->conn) == 0) {
        fail_conn(s);
        return;
    }
    int unsent = pq.flush(s->conn);
    if (unsent < 0) {
        fail_conn(s);
        return;
    }
    while (pq.isBusy(s->conn) == 0) {
        PGresult *r = pq.getResult(s->conn);
        if (r == NULL) {
            finish_query(s);
            return;
        }
        keep_result(s, r);
    }
    if (!watch(s, UV_READABLE | (unsent > 0 ? UV_WRITABLE : 0))) { fail_conn(s); }
}

/* A send that fails is reported from the loop like any other loss: the socket reads as closed. */
static void on_unsendable(uv_timer_t *timer)
{
    fail_conn(timer->data);
}

void side_query_params(struct side *s, const char *sql, const char *const *params,
                       unsigned params_count, int64_t timeout_us,
                       void (*done)(void *arg, PGresult *result, const struct fault *why),
                       void *arg)
{
    assert(s->state == SIDE_IDLE);
    s->state = SIDE_BUSY;
    s->done = done;
    s->arg = arg;
    int sent = params_count == 0 ? pq.sendQuery(s->conn, sql)
                                 : pq.sendQueryParams(s->conn, sql, (int)params_count, NULL, params,
                                                      NULL, NULL, 0);
    int unsent = sent == 0 ? -1 : pq.flush(s->conn);
    if (unsent < 0 || !watch(s, UV_READABLE | (unsent > 0 ? UV_WRITABLE : 0))) {
        (void)uv_timer_start(&s->timer, on_unsendable, 0, 0);
        return;
    }
    set_timer(s, timeout_us);
}

void side_query(struct side *s, const char *sql, int64_t timeout_us,
                void (*done)(void *arg, PGresult *result, const struct fault *why), void *arg)
{
    side_query_params(s, sql, NULL, 0, timeout_us, done, arg);
}

bool side_idle(const struct side *s)
{
    return s != NULL && s->state == SIDE_IDLE;
}

/* ---- closing */

static void on_closed(uv_handle_t *handle)
{
    struct side *s = handle->data;
    void (*closed)(void *arg) = s->closed;
    void *arg = s->closed_arg;
    mem_free(&s);
    if (closed != NULL) { closed(arg); }
}

static void free_text(struct side *s)
{
    mem_free(&s->host);
    mem_free(&s->port);
    mem_free(&s->dbname);
    mem_free(&s->user);
    if (s->password != NULL) { mem_wipe(s->password, strlen(s->password)); }
    mem_free(&s->password);
    mem_free(&s->tls);
    mem_free(&s->options);
}

void side_close(struct side **ret, void (*closed)(void *arg), void *arg)
{
    struct side *s = *ret;
    *ret = NULL;
    if (s == NULL) {
        if (closed != NULL) { closed(arg); }
        return;
    }
    s->state = SIDE_CLOSED;
    resolve_forget(&s->resolve);
    drop_conn(s);
    free_text(s);
    s->closed = closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}
