/* Lines as they land in a file. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static char path[64];
static char text[8192];

static void open_log(struct log_options o)
{
    (void)snprintf(path, sizeof path, "/tmp/pgusher-unit-log-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)close(fd);
    o.path = path;
    CHECK(log_open(&o) == E_OK);
}

/* What was logged, without the time and the process: from the level on. */
static const char *read_log(void)
{
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    size_t len = fread(text, 1, sizeof text - 1, f);
    text[len] = '\0';
    (void)fclose(f);
    (void)unlink(path);
    char *level = strstr(text, "] ");
    return level == NULL ? text : level + 2;
}

static const struct log_options plain = {.most = LOG_LEVEL_LOG};

TEST(a_line_begins_with_time_zone_process_and_level)
{
    open_log(plain);
    log_info(NULL, "hello %d", 5);
    CHECK_STR(read_log(), "LOG hello 5\n");
    int y, mo, d, h, mi, s, ms, pid, at = 0;
    char zone[16];
    CHECK(sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d.%3d %15[A-Z0-9+-] [%d] %n", &y, &mo, &d, &h, &mi,
                 &s, &ms, zone, &pid, &at) == 9);
    CHECK(pid == (int)getpid() && strcmp(text + at, "LOG hello 5\n") == 0);
}

/* What stands behind C-0xptr: */
static const char *told(struct log_who who)
{
    open_log(plain);
    who.kind = 'C';
    who.ptr = &who;
    log_warn(&who, "!");
    const char *line = read_log();
    CHECK(strncmp(line, "WARNING C-0x", 12) == 0);
    return strstr(line, ": ") + 2;
}

TEST(who_it_is_about_is_told_as_pgbouncer_tells_it)
{
    CHECK_STR(
        told((struct log_who){.database = "d", .user = "u", .address = "10.0.0.1", .port = 5}),
        "d/u@10.0.0.1:5 !\n");
    CHECK_STR(told((struct log_who){.database = "d", .user = "u", .address = "::1", .port = 5}),
              "d/u@[::1]:5 !\n");
    CHECK_STR(told((struct log_who){.address = "unix", .peer_pid = 7, .port = 6432}),
              "(nodb)/(nouser)@unix(7):6432 !\n");
    CHECK_STR(told((struct log_who){.database = "d", .user = "u", .address = "/tmp", .port = 5}),
              "d/u@unix:5 !\n");
    CHECK_STR(told((struct log_who){.database = "d", .user = "u", .address = "pg.example"}),
              "d/u@pg.example !\n");
}

TEST(a_line_break_from_outside_makes_no_second_line)
{
    CHECK_STR(told((struct log_who){.database = "d\n1", .user = "u", .address = "a"}),
              "d 1/u@a !\n");
    open_log(plain);
    log_info(NULL, "%s", "a\r\nb");
    CHECK_STR(read_log(), "LOG a  b\n");
}

TEST(levels_and_topics_are_the_operators_choice)
{
    open_log(plain);
    log_debug(NULL, "not told");
    CHECK_STR(read_log(), "");
    CHECK(log_tells(LOG_CONNECTIONS) && log_tells(LOG_POOLER_ERRORS));
    open_log((struct log_options){.most = LOG_LEVEL_DEBUG, .silent = {[LOG_CONNECTIONS] = true}});
    log_debug(NULL, "told");
    CHECK_STR(read_log(), "DEBUG told\n");
    CHECK(!log_tells(LOG_CONNECTIONS) && log_tells(LOG_DISCONNECTIONS));
}

TEST(json_has_the_same_fields_as_keys)
{
    open_log((struct log_options){.most = LOG_LEVEL_LOG, .json = true});
    struct log_who who = {.kind = 'S', .database = "d", .user = "u\"", .address = "::1", .port = 5};
    log_info(&who, "say \"hi\"");
    (void)read_log();
    CHECK(strstr(text, "\"level\":\"LOG\",\"kind\":\"S\"") != NULL);
    CHECK(strstr(text, "\"who\":\"d/u\\\"@[::1]:5\",\"message\":\"say \\\"hi\\\"\"}\n") != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_line_begins_with_time_zone_process_and_level),
        RUN(who_it_is_about_is_told_as_pgbouncer_tells_it),
        RUN(a_line_break_from_outside_makes_no_second_line),
        RUN(levels_and_topics_are_the_operators_choice),
        RUN(json_has_the_same_fields_as_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
