/* Names asked for from one loop, on another: what is known at once, and who is told of what. */
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/resolve.h"

static char path[] =
    "/tmp/pgusher-resolv-XXXXXX"; /* asks 127.0.0.1, which does not answer at once */
static struct loop home, loop;
static struct resolver *resolver;
static unsigned resolved;
static struct address found;
static bool some;

static int start(void **state)
{
    (void)state;
    loop_init(&home);
    loop_init(&loop);
    CHECK(resolver_new(&home, path, &resolver, NULL) == E_OK);
    resolver_configure(resolver, 10 * US_PER_S, 10 * US_PER_S, 0);
    resolver_serve(resolver, &loop);
    resolved = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    resolver_stop(resolver);
    loop_done(&loop);
    loop_done(&home);
    resolver_free(&resolver);
    return 0;
}

static void on_resolved(void *arg, const struct address *a)
{
    (void)arg;
    resolved++;
    some = a != NULL;
    if (some) { found = *a; }
}

static struct resolve *ask(const char *host)
{
    struct address a;
    struct resolve *pending = NULL;
    CHECK(resolve_start(&loop, host, 7, &a, on_resolved, NULL, &pending) == E_AGAIN);
    CHECK(pending != NULL);
    return pending;
}

static void check_address(const char *host, int port, const char *want, int want_port)
{
    struct address a;
    struct resolve *pending = NULL;
    char text[64];
    int got_port;
    CHECK(resolve_start(&loop, host, port, &a, on_resolved, NULL, &pending) == E_OK);
    CHECK(pending == NULL);
    address_text(&a, text, sizeof text, &got_port);
    CHECK_STR(text, want);
    CHECK(got_port == want_port);
}

TEST(numbers_and_folders_are_addresses_at_once)
{
    check_address("127.0.0.1", 5432, "127.0.0.1", 5432);
    check_address("::1", 1, "::1", 1);
    check_address("/var/run/postgresql", 5432, "unix", 0);
    check_address("@abstract", 5432, "unix", 0);
    loop_turn(&home, false);
    loop_turn(&loop, false);
    CHECK(resolved == 0);
}

TEST(a_folder_too_long_for_a_socket_is_a_matter_of_configuration)
{
    char dir[200];
    struct address a;
    struct resolve *pending = NULL;
    memset(dir, 'd', sizeof dir);
    dir[0] = '/';
    dir[sizeof dir - 1] = '\0';
    CHECK(resolve_start(&loop, dir, 5432, &a, on_resolved, NULL, &pending) == E_CONFIG);
}

TEST(a_name_in_a_file_needs_no_question)
{
    (void)ask("localhost");
    CHECK(resolved == 0); /* not from within */
    loop_turn(&home, false);
    CHECK(resolver_queries(resolver) == 0);
    loop_turn(&loop, false);
    CHECK(resolved == 1 && some);
    char text[64];
    int port;
    address_text(&found, text, sizeof text, &port);
    CHECK(port == 7 && (strcmp(text, "127.0.0.1") == 0 || strcmp(text, "::1") == 0));
    struct address a;
    struct resolve *pending = NULL;
    CHECK(resolve_start(&loop, "localhost", 7, &a, on_resolved, NULL, &pending) == E_OK);
}

TEST(a_look_up_that_was_forgotten_calls_nobody)
{
    struct resolve *asked = ask("localhost"), *answered = ask("localhost");
    resolve_forget(&asked);
    CHECK(asked == NULL);
    resolve_forget(&asked);
    loop_turn(&home, false);
    resolve_forget(&answered);
    loop_turn(&loop, false);
    CHECK(resolved == 0);
}

TEST(who_waits_when_it_stops_is_told_that_there_is_nothing)
{
    (void)ask("a.invalid"); /* under way */
    loop_turn(&home, false);
    (void)ask("a.invalid");
    (void)ask("b.invalid"); /* not begun */
    resolver_stop(resolver);
    loop_turn(&loop, false);
    CHECK(resolved == 3 && !some && resolver_queries(resolver) == 0);
    struct address a;
    struct resolve *pending = NULL;
    CHECK(resolve_start(&loop, "c.invalid", 7, &a, on_resolved, NULL, &pending) == E_NOTFOUND);
    resolve_refresh(&loop, "c.invalid");
}

TEST(a_loop_that_is_not_served_knows_no_names)
{
    struct address a;
    struct resolve *pending = NULL;
    CHECK(resolve_start(&home, "localhost", 7, &a, on_resolved, NULL, &pending) == E_NOTFOUND);
    resolve_refresh(&home, "localhost");
}

#define EACH(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    static const char line[] = "nameserver 127.0.0.1\n";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, line, sizeof line - 1) == sizeof line - 1 && close(fd) == 0);
    const struct CMUnitTest tests[] = {
        EACH(numbers_and_folders_are_addresses_at_once),
        EACH(a_folder_too_long_for_a_socket_is_a_matter_of_configuration),
        EACH(a_name_in_a_file_needs_no_question),
        EACH(a_look_up_that_was_forgotten_calls_nobody),
        EACH(who_waits_when_it_stops_is_told_that_there_is_nothing),
        EACH(a_loop_that_is_not_served_knows_no_names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
