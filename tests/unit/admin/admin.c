/* The console from its socket: two workers' loops in one thread, a socket pair for the client. */
#include "unit.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/mem.h"
#include "config/load.h"
#include "pgwire/compose.h"
#include "pgwire/frame.h"
#include "pgwire/response.h"

static const char ini[] = "[databases]\n"
                          "clinic = host=a,b port=6000 pool_size=7 cache=memory monitor_user=eye\n"
                          "blind = host=a cache=memory\n"
                          "[users]\n"
                          "app = pool_size=3\n"
                          "[pgusher]\n"
                          "default_pool_size = 9\n"
                          "[cache:ref]\n"
                          "tables = modules\n"
                          "ttl = 90\n"
                          "[settings]\n"
                          "app.who = %{user}\n";

static struct loop loops[2];
static struct loop *loop_list[2] = {&loops[0], &loops[1]};
static struct front fronts[2];
static struct front *front_list[2] = {&fronts[0], &fronts[1]};
static struct registry *registry;
static struct shared *shared;
static struct config *config;
static struct userlist *users;

static struct office *offices[2];
static struct client *client; /* on the second worker */
static int peer;
static struct buf got;  /* from the console, unread */
static struct buf said; /* what it said, in words */

/* ---- hooks, as seen */
static char asked[128];
static bool refuse;
static void (*answer)(void *, const struct fault *);
static void *answer_arg;

static void ask_reload(void *arg, struct loop *l, void (*done)(void *, const struct fault *),
                       void *done_arg)
{
    CHECK(arg == asked && l == &loops[1]);
    (void)snprintf(asked, sizeof asked, "reload");
    answer = done;
    answer_arg = done_arg;
}

static void ask_set(void *arg, struct loop *l, const char *key, const char *value,
                    void (*done)(void *, const struct fault *), void *done_arg)
{
    (void)arg;
    (void)l;
    (void)snprintf(asked, sizeof asked, "set %s %s", key, value);
    struct fault why;
    (void)fault_set(&why, E_NOTFOUND, "unknown key %s", key);
    done(done_arg, refuse ? &why : NULL);
}

static void ask_shutdown(void *arg, enum shutdown_mode mode)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "shutdown %d", (int)mode);
}

static void ask_suspend(void *arg, struct loop *l, void (*done)(void *, const struct fault *),
                        void *done_arg)
{
    CHECK(arg == asked && l == &loops[1]);
    (void)snprintf(asked, sizeof asked, "suspend");
    atomic_store(&shared->rest, REST_WANTED);
    answer = done;
    answer_arg = done_arg;
}

static void ask_resume(void *arg)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "resume");
    atomic_store(&shared->rest, REST_NONE);
}

static unsigned tell_doors(void *arg, int *fds, unsigned room)
{
    CHECK(arg == asked && room > 0);
    fds[0] = peer;
    return 1;
}

static void on_ready(void *arg, int events)
{
    struct client *c = arg;
    c->ops->events(c, events);
}

static void turn(void)
{
    for (int i = 0; i < 20; i++) {
        loop_turn(&loops[0], false);
        loop_turn(&loops[1], false);
    }
}

static int start(void **state)
{
    (void)state;
    struct fault why = {0};
    enum err e = config_parse(BYTES(ini), "test.ini", &config, &why);
    if (e == E_OK) {
        e = userlist_parse(bytes_str("\"listed\" \"x\"\n\"app\" \"y\"\n"), "auth_file", &users,
                           &why);
    }
    CHECK(e == E_OK);
    registry = registry_new(loop_list, 2);
    registry_configure(registry, config, users);
    shared = shared_new();
    const struct admin_hooks hooks = {ask_reload, ask_set,    ask_shutdown, ask_suspend,
                                      ask_resume, tell_doors, asked};
    for (unsigned i = 0; i < 2; i++) {
        loop_init(&loops[i]);
        loops[i].index = i;
        fronts[i] = (struct front){.loop = &loops[i],
                                   .registry = registry,
                                   .config = config,
                                   .shared = shared,
                                   .console = &admin_ops};
        dlist_init(&fronts[i].clients);
        offices[i] = office_new(&fronts[i], front_list, 2, NULL, &hooks);
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        office_free(&offices[i]);
        loop_done(&loops[i]);
    }
    registry_free(&registry);
    shared_free(&shared);
    config_unref(&config);
    userlist_unref(&users);
    buf_done(&got);
    buf_done(&said);
    return 0;
}

static int enter(void **state)
{
    (void)state;
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    peer = fds[1];
    static const char address[] = "10.1.2.3";
    client = mem_zeroed(sizeof *client + sizeof address);
    memcpy(client->address, address, sizeof address);
    client->front = &fronts[1];
    client->ops = &admin_ops;
    client->state = CLIENT_READY;
    client->status = 'I';
    client->admin = true;
    client->console_user = mem_strdup("root");
    client->id = 4711;
    client->startup = varset_ref(varset_empty());
    client->base = varset_ref(varset_empty());
    client->wanted = varset_ref(varset_empty());
    client->in_tx = varset_ref(varset_empty());
    dlist_push_back(&fronts[1].clients, &client->node);
    atomic_fetch_add(&fronts[1].clients_count, 1);
    atomic_fetch_add(&fronts[1].consoles_count, 1);
    stream_open(&client->stream, &loops[1], fds[0], on_ready, client);
    asked[0] = '\0';
    refuse = false;
    return 0;
}

static int leave(void **state)
{
    (void)state;
    if (!dlist_empty(&fronts[1].clients)) { client_close(client, "end of test"); }
    turn();
    (void)close(peer);
    buf_clear(&got);
    return 0;
}

/* ---- talking */

static void put_row(struct bytes body)
{
    unsigned count = get_u16(body.ptr);
    body = bytes_skip(body, 2);
    for (unsigned i = 0; i < count; i++) {
        uint32_t len = get_u32(body.ptr);
        body = bytes_skip(body, 4);
        buf_printf(&said, "%s", i == 0 ? "" : "|");
        if (len == UINT32_MAX) {
            buf_printf(&said, "~");
            continue;
        }
        buf_put(&said, body.ptr, len);
        body = bytes_skip(body, len);
    }
}

static void put_message(struct frame f, struct bytes body)
{
    struct error_msg m = {0};
    switch (f.type) {
    case 'T': buf_printf(&said, "T%u", get_u16(body.ptr)); break;
    case 'D': put_row(body); break;
    case 'C': buf_printf(&said, "=%s", (const char *)body.ptr); break;
    case 'E':
    case 'N':
        CHECK(response_read_error(body, &m) == E_OK);
        buf_printf(&said, "%s %s %s", m.severity, m.sqlstate, m.message);
        break;
    default: buf_printf(&said, "%c", f.type); break;
    }
    buf_printf(&said, "\n");
}

/* What the console has said since the last look; a line per message, "closed" at the end. */
static const char *hear(void)
{
    turn();
    buf_clear(&said);
    ssize_t n;
    while ((n = recv(peer, buf_reserve(&got, 65536), 65536, 0)) > 0) { got.end += (size_t)n; }
    struct frame f;
    while (frame_peek(buf_view(&got), &f) == E_OK && buf_len(&got) >= f.size) {
        put_message(f, frame_body(buf_view(&got), f));
        buf_consume(&got, f.size);
    }
    CHECK(buf_len(&got) == 0);
    if (n == 0) { buf_printf(&said, "closed\n"); }
    return buf_text(&said);
}

static void say(struct bytes bytes)
{
    CHECK(send(peer, bytes.ptr, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len);
}

static const char *ask(const char *text)
{
    struct buf q = {0};
    compose_query(&q, text);
    say(buf_view(&q));
    buf_done(&q);
    return hear();
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static bool is_paused(void)
{
    return database_is_paused(registry_database(registry, "clinic"));
}

/* ---- tests */

TEST(version_is_one_column_that_starts_as_pgbouncers)
{
    const char *v = ask("SHOW VERSION;");
    CHECK(strncmp(v, "T1\nPgBouncer 1.25.2 (pgusher ", 29) == 0);
    CHECK(has(v, ")\n=SHOW\nZ\n"));
}

TEST(pools_has_the_consoles_own_row)
{
    CHECK_STR(ask("show pools"),
              "T17\npgbouncer|pgbouncer|1|0|0|0|0|0|0|0|0|0|0|0|0|statement|~\n=SHOW\nZ\n");
}

TEST(an_account_has_a_row_in_pools_stats_and_users)
{
    struct account *a = registry_account(registry, registry_database(registry, "clinic"), "app");
    stats_add(&a->stats[0].xacts, 5);
    CHECK(has(ask("SHOW POOLS"), "\nclinic|app|0|0|0|0|0|0|0|0|0|0|0|0|0|session|~\npgbouncer|"));
    CHECK(has(ask("SHOW STATS_TOTALS"), "T13\nclinic|0|5|0|0|0|0|0|0|0|0|0|0\npgbouncer|0|"));
    CHECK(has(ask("SHOW STATS"), "T25\nclinic|0|5|"));
    stats_add(&a->stats[1].binds, 6);
    CHECK(has(ask("SHOW TOTALS"), "\ntotal_ps_bind_count|6\n"));
    stats_add(&a->stats[1].queries, 9);
    stats_add(&a->stats[1].replica_queries, 4);
    CHECK_STR(ask("SHOW ROUTES"), "T9\nclinic|app|session|no|cluster|memory|9|4|0\n=SHOW\nZ\n");
    CHECK_STR(ask("SHOW USERS"),
              "T8\napp|3||~|0|0|0|0\nlisted|||~|0|0|0|0\npgbouncer|||~|0|0|0|0\n=SHOW\nZ\n");
}

TEST(databases_tells_lines_with_the_options_values)
{
    const char *d = ask("SHOW DATABASES");
    CHECK(has(d, "T17\nclinic|a,b|6000|clinic|~|7|0|0|3600|~|~|0|0|0|0|0|0\n"));
    CHECK(has(d, "\npgbouncer|~|6432|pgbouncer|pgbouncer|2|"));
}

TEST(clients_are_told_from_the_worker_that_has_them)
{
    const char *c = ask("SHOW CLIENTS");
    CHECK(has(c, "T21\nC|root|pgbouncer|none|idle|"));
    CHECK(has(c, "|4711\n=SHOW\nZ\n"));
    CHECK_STR(ask("SHOW SERVERS"), "T21\n=SHOW\nZ\n");
    CHECK_STR(ask("SHOW WORKERS"), "T5\n0|0|0|0|0\n1|1|0|0|0\n=SHOW\nZ\n");
}

TEST(what_the_ini_says_is_shown)
{
    CHECK(has(ask("SHOW CONFIG"), "\ndefault_pool_size|9|20|yes\n"));
    CHECK(has(ask("SHOW CACHE_RULES"), "T7\nref|public.modules|90s|strict|refuse|~|no\n"));
    CHECK(has(ask("SHOW SETTINGS"), "T5\n~|~|app.who|%{user}|no\n"));
    CHECK(has(ask("SHOW NODES"), "T9\nclinic|a|6000|"));
    CHECK(has(ask("SHOW LISTS"), "T2\ndatabases|3\n"));
}

TEST(every_show_answers_without_an_error)
{
    static const char *const names[] = {
        "STATS_AVERAGES", "MEM",       "STATE",   "SOCKETS",        "ACTIVE_SOCKETS", "PEERS",
        "PEER_POOLS",     "DNS_HOSTS", "CACHE",   "DNS_ZONES",      "PINS",           "HELP",
        "timezone",       "DateStyle", "CLIENTS", "client_encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "SHOW %s", names[i]);
        const char *told = ask(text);
        CHECK(!has(told, "ERROR") && has(told, "=SHOW\nZ\n"));
    }
}

TEST(why_a_statement_is_not_cached)
{
    CHECK(has(ask("SHOW CACHE WHY 'select 1 from modules'"), "T5\nno|no_catalog|"));
    CHECK(has(ask("SHOW CACHE WHY clinic 'selec ''x'''"), "\nno|"));
    CHECK_STR(ask("SHOW CACHE WHY blind 'select 1'"),
              "T5\nno|cache_off|no monitor_user|~|~\n=SHOW\nZ\n");
    CHECK_STR(ask("SHOW CACHE WHY zip 'select 1'"), "ERROR 3D000 no such database: zip\nZ\n");
    CHECK(has(ask("SHOW CACHE WHY clinic"), "ERROR 42601 expected: SHOW CACHE WHY"));
}

TEST(an_unknown_command_is_a_syntax_error_and_an_empty_one_is_none)
{
    CHECK_STR(ask("FOO BAR;"), "ERROR 42601 invalid command 'FOO BAR;', use SHOW HELP;\nZ\n");
    CHECK_STR(ask("SHOW FOO"), "ERROR 42601 invalid command 'SHOW FOO', use SHOW HELP;\nZ\n");
    CHECK_STR(ask("PAUSE a b"), "ERROR 42601 invalid command 'PAUSE a b', use SHOW HELP;\nZ\n");
    CHECK_STR(ask(";"), "I\nZ\n");
    CHECK_STR(ask("-- ping"), "I\nZ\n");
}

TEST(a_stats_user_may_look_but_not_touch)
{
    client->admin = false;
    client->stats_only = true;
    CHECK(has(ask("SHOW STATS"), "=SHOW\n"));
    CHECK_STR(ask("PAUSE"), "ERROR 42501 admin access needed\nZ\n");
    CHECK_STR(ask("RELOAD"), "ERROR 42501 admin access needed\nZ\n");
    CHECK_STR(ask("SET verbose = 1"), "ERROR 42501 admin access needed\nZ\n");
    CHECK_STR(ask("SHUTDOWN"), "ERROR 42501 admin access needed\nZ\n");
    CHECK_STR(ask("SET datestyle TO 'ISO'"), "NOTICE 00000 SET ignored\n=SET\nZ\n");
    CHECK_STR(asked, "");
    CHECK(!is_paused());
}

TEST(pause_and_resume_set_and_clear_the_flag)
{
    CHECK_STR(ask("RESUME"), "ERROR 55000 pooler is not paused/suspended\nZ\n");
    CHECK_STR(ask("PAUSE"), "=PAUSE\nZ\n");
    CHECK(is_paused());
    CHECK(has(ask("SHOW STATE"), "active|no\npaused|yes\n"));
    CHECK(has(ask("SHOW DATABASES"), "T17\nclinic|a,b|6000|clinic|~|7|0|0|3600|~|~|0|0|0|0|0|0\n"));
    CHECK_STR(ask("PAUSE"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("PAUSE nowhere"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("RESUME clinic"), "ERROR 55000 database clinic is not paused\nZ\n");
    CHECK_STR(ask("RESUME nowhere"), "ERROR 3D000 no such database: nowhere\nZ\n");
    CHECK_STR(ask("RESUME"), "=RESUME\nZ\n");
    CHECK(!is_paused());
    CHECK_STR(ask("PAUSE nowhere"), "ERROR 3D000 no such database: nowhere\nZ\n");
    CHECK_STR(ask("PAUSE pgbouncer"), "ERROR 0A000 cannot pause admin db: pgbouncer\nZ\n");
}

TEST(a_database_paused_by_its_name_is_resumed_by_its_name)
{
    CHECK_STR(ask("PAUSE ('clinic')"), "=PAUSE\nZ\n");
    CHECK_STR(ask("PAUSE clinic"), "=PAUSE\nZ\n");
    CHECK(is_paused());
    CHECK(has(ask("SHOW STATE"), "active|yes\npaused|no\n"));
    CHECK(has(ask("SHOW DATABASES"), "T17\nclinic|a,b|6000|clinic|~|7|0|0|3600|~|~|0|0|0|0|1|0\n"));
    CHECK_STR(ask("RESUME"), "ERROR 55000 pooler is not paused/suspended\nZ\n");
    CHECK_STR(ask("PAUSE"), "=PAUSE\nZ\n");
    CHECK_STR(ask("RESUME"), "=RESUME\nZ\n");
    CHECK(is_paused());
    CHECK_STR(ask("RESUME clinic"), "=RESUME\nZ\n");
    CHECK(!is_paused());
}

TEST(kill_pauses_what_is_in_use_by_its_name)
{
    (void)registry_account(registry, registry_database(registry, "clinic"), "app");
    CHECK_STR(ask("KILL"), "=KILL\nZ\n");
    CHECK(is_paused());
    CHECK_STR(ask("RESUME"), "ERROR 55000 pooler is not paused/suspended\nZ\n");
    CHECK_STR(ask("RESUME clinic"), "=RESUME\nZ\n");
    CHECK_STR(ask("PAUSE"), "=PAUSE\nZ\n");
    CHECK_STR(ask("KILL clinic"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("RESUME"), "=RESUME\nZ\n");
}

TEST(suspend_waits_for_all_to_rest_and_resume_ends_it)
{
    CHECK_STR(ask("PAUSE clinic"), "=PAUSE\nZ\n");
    CHECK_STR(ask("SUSPEND"), "ERROR 55000 cannot suspend with paused databases\nZ\n");
    CHECK_STR(ask("RESUME clinic"), "=RESUME\nZ\n");
    CHECK_STR(ask("SUSPEND"), "");
    CHECK_STR(asked, "suspend");
    answer(answer_arg, NULL);
    CHECK_STR(hear(), "=SUSPEND\nZ\n");
    CHECK(has(ask("SHOW STATE"), "active|no\npaused|no\nsuspended|yes\n"));
    CHECK_STR(ask("PAUSE"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("KILL"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("SUSPEND"), "ERROR 55000 already suspended/paused\nZ\n");
    CHECK_STR(ask("RESUME"), "=RESUME\nZ\n");
    CHECK_STR(asked, "resume");
}

TEST(a_canceled_suspend_is_a_resume)
{
    CHECK_STR(ask("SUSPEND"), "");
    admin_ops.cancel(client);
    CHECK_STR(asked, "resume");
    struct fault why;
    (void)fault_state(&why, E_CANCELED, "57014", "SUSPEND was ended by RESUME");
    answer(answer_arg, &why);
    CHECK_STR(hear(), "ERROR 57014 SUSPEND was ended by RESUME\nZ\n");
}

TEST(the_last_console_that_leaves_ends_a_suspension)
{
    CHECK_STR(ask("SUSPEND"), "");
    answer(answer_arg, NULL);
    CHECK_STR(hear(), "=SUSPEND\nZ\n");
    client_close(client, "gone");
    CHECK_STR(asked, "resume");
}

/* Reads one byte and the descriptor that came with it; -1: none did. */
static int receive_fd(void)
{
    uint8_t byte[4096];
    union {
        struct cmsghdr head;
        uint8_t room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {byte, sizeof byte};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof control.room};
    CHECK(recvmsg(peer, &m, 0) > 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = -1;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS) { memcpy(&fd, CMSG_DATA(c), sizeof fd); }
    return fd;
}

static void ask_fds(void)
{
    struct buf q = {0};
    compose_query(&q, "SHOW FDS");
    say(buf_view(&q));
    buf_done(&q);
    turn();
}

TEST(descriptors_go_along_to_our_own_user_over_a_unix_socket)
{
    client->unix_socket = true;
    ask_fds();
    int fd = receive_fd();
    if (fd < 0) { fd = receive_fd(); } /* the description may have come alone */
    CHECK(fd >= 0 && fd != peer);
    struct stat ours, theirs;
    CHECK(fstat(fd, &theirs) == 0 && fstat(peer, &ours) == 0);
    CHECK(ours.st_ino == theirs.st_ino); /* what tell_doors() told */
    (void)close(fd);
}

TEST(others_are_told_of_descriptors_but_get_none)
{
    ask_fds();
    CHECK(receive_fd() < 0);
    CHECK(strncmp(ask("SHOW FDS"), "T15\n", 4) == 0);
    CHECK(has(buf_text(&said), "|pooler|~|~|unix|0|0|0|~|~|~|~|~|~|~\n=SHOW\nZ\n"));
    client->admin = false;
    CHECK_STR(ask("SHOW FDS"), "ERROR 42501 admin access needed\nZ\n");
}

TEST(disable_and_enable_need_a_database)
{
    struct database *db = registry_database(registry, "clinic");
    CHECK_STR(ask("DISABLE"), "ERROR 42601 a database is required\nZ\n");
    CHECK_STR(ask("DISABLE \"clinic\""), "=DISABLE\nZ\n");
    CHECK(atomic_load(&db->disabled));
    CHECK_STR(ask("ENABLE clinic"), "=ENABLE\nZ\n");
    CHECK(!atomic_load(&db->disabled));
}

TEST(reload_answers_when_it_is_over_and_holds_back_what_follows)
{
    CHECK_STR(ask("RELOAD"), "");
    CHECK_STR(asked, "reload");
    CHECK_STR(ask("SHOW timezone"), "");
    answer(answer_arg, NULL);
    CHECK_STR(hear(), "=RELOAD\nZ\nT1\nGMT\n=SHOW\nZ\n");
    CHECK_STR(ask("RELOAD"), "");
    struct fault why;
    (void)fault_set(&why, E_CONFIG, "x.ini:3: nonsense");
    answer(answer_arg, &why);
    CHECK_STR(hear(), "ERROR F0000 RELOAD failed, see logs for additional details\nZ\n");
}

TEST(a_console_that_left_gets_no_answer)
{
    CHECK_STR(ask("RELOAD"), "");
    client_close(client, "gone");
    turn();
    answer(answer_arg, NULL);
    CHECK_STR(hear(), "closed\n");
}

TEST(a_tour_comes_home_to_nobody)
{
    struct buf q = {0};
    compose_query(&q, "SHOW CLIENTS");
    say(buf_view(&q));
    buf_done(&q);
    loop_turn(&loops[1], false); /* it has set out */
    client_close(client, "gone");
    CHECK_STR(hear(), "closed\n");
}

TEST(set_goes_to_the_hook_and_says_what_was_set)
{
    CHECK_STR(ask("SET default_pool_size = '7'"), "=SET default_pool_size=7\nZ\n");
    CHECK_STR(asked, "set default_pool_size 7");
    refuse = true;
    CHECK_STR(ask("SET nokey TO 1"), "ERROR 42704 unknown key nokey\nZ\n");
}

TEST(shutdown_that_waits_is_answered_and_at_once_its_end_is_the_answer)
{
    CHECK_STR(ask("SHUTDOWN WAIT_FOR_CLIENTS"), "=SHUTDOWN\nZ\n");
    CHECK_STR(asked, "shutdown 2");
    CHECK_STR(ask("SHUTDOWN NEVER"),
              "ERROR 42601 invalid command 'SHUTDOWN NEVER', use SHOW HELP;\nZ\n");
    CHECK_STR(ask("SHUTDOWN"), "");
    CHECK_STR(asked, "shutdown 0");
}

TEST(kill_client_finds_its_client_on_any_worker)
{
    CHECK_STR(ask("KILL_CLIENT 17"), "ERROR 42704 client not found\nZ\n");
    CHECK_STR(ask("KILL_CLIENT x"), "ERROR 22023 invalid client pointer supplied\nZ\n");
    CHECK_STR(ask("KILL_CLIENT 4711"), "FATAL 57P01 admin forced disconnect\nclosed\n");
}

TEST(the_extended_protocol_is_answered)
{
    struct buf m = {0};
    compose_statement(&m, "SHOW DateStyle");
    compose_bare(&m, 'S');
    compose_query(&m, "SHOW timezone");
    say(buf_view(&m));
    buf_done(&m);
    CHECK_STR(hear(), "1\n2\nISO\n=SHOW\nZ\nT1\nGMT\n=SHOW\nZ\n");
}

TEST(after_an_error_all_is_skipped_up_to_the_sync)
{
    struct buf m = {0};
    compose_statement(&m, "SHOW FOO");
    compose_statement(&m, "SHOW timezone");
    compose_query(&m, "SHOW timezone");
    compose_bare(&m, 'S');
    say(buf_view(&m));
    buf_done(&m);
    CHECK_STR(hear(), "1\n2\nERROR 42601 invalid command 'SHOW FOO', use SHOW HELP;\nZ\n");
}

TEST(what_drivers_say_first_is_swallowed)
{
    CHECK_STR(ask("SET extra_float_digits = 3"), "NOTICE 00000 SET ignored\n=SET\nZ\n");
    CHECK_STR(ask("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
              "NOTICE 00000 SET ignored\n=SET\nZ\n");
    CHECK_STR(ask("SET application_name = 'My App'"), "=SET\nZ\n");
    CHECK_STR(ask("SHOW application_name"), "T1\nMy App\n=SHOW\nZ\n");
    CHECK(has(ask("SHOW CLIENTS"), "|My App|0|4711\n"));
    CHECK_STR(ask("SELECT 1"), "T1\n1\n=SELECT 1\nZ\n");
    CHECK_STR(ask("SELECT current_user"), "T1\nroot\n=SELECT 1\nZ\n");
    CHECK_STR(ask("show transaction isolation level"), "T1\nread committed\n=SHOW\nZ\n");
    CHECK(client->status == 'I');
    CHECK_STR(ask("BEGIN ISOLATION LEVEL REPEATABLE READ"), "=BEGIN\nZ\n");
    CHECK(client->status == 'T');
    CHECK_STR(ask("COMMIT"), "=COMMIT\nZ\n");
    CHECK_STR(ask("START TRANSACTION"), "=START TRANSACTION\nZ\n");
    CHECK_STR(ask("ROLLBACK"), "=ROLLBACK\nZ\n");
    CHECK(client->status == 'I');
    CHECK_STR(ask("DISCARD ALL"), "=DISCARD ALL\nZ\n");
    CHECK_STR(ask("RESET ALL"), "=RESET\nZ\n");
    CHECK_STR(ask("DEALLOCATE s1"), "ERROR 26000 prepared statement \"s1\" does not exist\nZ\n");
}

TEST(a_simple_query_has_no_parameters)
{
    CHECK_STR(ask("KILL_CLIENT $1"), "ERROR 42P02 there is no parameter $1\nZ\n");
}

TEST(commands_may_come_in_pieces_and_together)
{
    say(BYTES("Q\0\0\0\x12SHOW tim"));
    CHECK_STR(hear(), "");
    say(BYTES("ezone\0Q\0\0\0\x05\0"));
    CHECK_STR(hear(), "T1\nGMT\n=SHOW\nZ\nI\nZ\n");
}

TEST(a_command_that_is_too_long_is_skipped)
{
    struct buf m = {0};
    char *text = mem_zeroed(100001);
    memset(text, 'x', 100000);
    compose_query(&m, text);
    compose_query(&m, "SHOW timezone");
    for (size_t at = 0; at < buf_len(&m);) {
        size_t part = buf_len(&m) - at < 30000 ? buf_len(&m) - at : 30000;
        say(bytes_of(buf_view(&m).ptr + at, part));
        at += part;
        turn();
    }
    CHECK_STR(hear(), "ERROR 54000 the command is too long\nZ\nT1\nGMT\n=SHOW\nZ\n");
    mem_free(&text);
    buf_done(&m);
}

TEST(malformed_messages_end_the_connection)
{
    say(BYTES("Q\0\0\0\3"));
    CHECK_STR(hear(), "FATAL 08P01 invalid length: message type 81\nclosed\n");
}

TEST(unknown_messages_and_queries_without_an_end_close_it_too)
{
    say(BYTES("Q\0\0\0\x08SHOW"));
    CHECK_STR(hear(), "FATAL 08P01 malformed message: message type 81\nclosed\n");
}

TEST(a_message_nobody_knows_is_fatal)
{
    say(BYTES("z\0\0\0\4"));
    CHECK_STR(hear(),
              "FATAL 08P01 unsupported packet type for admin console: message type 122\nclosed\n");
}

TEST(terminate_closes_without_a_word)
{
    say(BYTES("X\0\0\0\4"));
    CHECK_STR(hear(), "closed\n");
}

#define ON_CONSOLE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_CONSOLE(version_is_one_column_that_starts_as_pgbouncers),
        ON_CONSOLE(pools_has_the_consoles_own_row),
        ON_CONSOLE(an_account_has_a_row_in_pools_stats_and_users),
        ON_CONSOLE(databases_tells_lines_with_the_options_values),
        ON_CONSOLE(clients_are_told_from_the_worker_that_has_them),
        ON_CONSOLE(what_the_ini_says_is_shown),
        ON_CONSOLE(every_show_answers_without_an_error),
        ON_CONSOLE(why_a_statement_is_not_cached),
        ON_CONSOLE(an_unknown_command_is_a_syntax_error_and_an_empty_one_is_none),
        ON_CONSOLE(a_stats_user_may_look_but_not_touch),
        ON_CONSOLE(pause_and_resume_set_and_clear_the_flag),
        ON_CONSOLE(a_database_paused_by_its_name_is_resumed_by_its_name),
        ON_CONSOLE(kill_pauses_what_is_in_use_by_its_name),
        ON_CONSOLE(suspend_waits_for_all_to_rest_and_resume_ends_it),
        ON_CONSOLE(a_canceled_suspend_is_a_resume),
        ON_CONSOLE(the_last_console_that_leaves_ends_a_suspension),
        ON_CONSOLE(descriptors_go_along_to_our_own_user_over_a_unix_socket),
        ON_CONSOLE(others_are_told_of_descriptors_but_get_none),
        ON_CONSOLE(disable_and_enable_need_a_database),
        ON_CONSOLE(reload_answers_when_it_is_over_and_holds_back_what_follows),
        ON_CONSOLE(a_console_that_left_gets_no_answer),
        ON_CONSOLE(a_tour_comes_home_to_nobody),
        ON_CONSOLE(set_goes_to_the_hook_and_says_what_was_set),
        ON_CONSOLE(shutdown_that_waits_is_answered_and_at_once_its_end_is_the_answer),
        ON_CONSOLE(kill_client_finds_its_client_on_any_worker),
        ON_CONSOLE(the_extended_protocol_is_answered),
        ON_CONSOLE(after_an_error_all_is_skipped_up_to_the_sync),
        ON_CONSOLE(what_drivers_say_first_is_swallowed),
        ON_CONSOLE(a_simple_query_has_no_parameters),
        ON_CONSOLE(commands_may_come_in_pieces_and_together),
        ON_CONSOLE(a_command_that_is_too_long_is_skipped),
        ON_CONSOLE(malformed_messages_end_the_connection),
        ON_CONSOLE(unknown_messages_and_queries_without_an_end_close_it_too),
        ON_CONSOLE(a_message_nobody_knows_is_fatal),
        ON_CONSOLE(terminate_closes_without_a_word),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
