/* SHOW CONFIG, SET, and the list of what this version does not act on. */
#include "unit.h"

#include <stdlib.h>

#include "config/load.h"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    CHECK(config_parse(bytes_str(text), "a.ini", &cfg, NULL) == E_OK);
    return cfg;
}

static void check_row(const struct config *cfg, const char *name, const char *value,
                      const char *def, bool changeable)
{
    struct config_row row;
    for (size_t i = 0; config_row(cfg, i, &row); i++) {
        if (strcmp(row.name, name) != 0) { continue; }
        CHECK_STR(row.value, value);
        CHECK_STR(row.def, def);
        CHECK(row.changeable == changeable);
        while (config_row(cfg, i, &row)) { i++; }
        return;
    }
    fail_msg("no row %s", name);
}

TEST(rows_are_sorted_by_name_and_each_has_help)
{
    struct config *cfg = load("");
    struct config_row row;
    const char *before = "";
    size_t i = 0;
    for (; config_row(cfg, i, &row); i++) {
        CHECK(strcmp(before, row.name) < 0);
        CHECK(row.help[0] != '\0');
        before = row.name;
    }
    CHECK(i > 110);
    config_unref(&cfg);
}

TEST(values_look_as_pgbouncer_shows_them)
{
    struct config *cfg =
        load("[pgbouncer]\nquery_wait_timeout = 1500ms\ncache_memory=1MB\n"
             "unix_socket_mode = 0700\nserver_fast_close = on\n"
             "redis_url = redis://u:secret@h:1/0\nauth_type=SCRAM-SHA-256\n"
             "auth_ldap_options = ldapbasedn=x ldapbindpasswd=\"a b\" ldapport=1\n");
    check_row(cfg, "query_wait_timeout", "1.5", "120", true);
    check_row(cfg, "cache_memory", "1048576", "64MB", true);
    check_row(cfg, "unix_socket_mode", "448", "0777", false);
    check_row(cfg, "server_fast_close", "1", "0", true);
    check_row(cfg, "auth_type", "scram-sha-256", "md5", true);
    check_row(cfg, "max_client_conn", "100", "100", true);
    check_row(cfg, "listen_addr", "", "", false);
    check_row(cfg, "auth_ldap_options", "ldapbasedn=x ldapbindpasswd=***** ldapport=1", "", true);
    check_row(cfg, "redis_url", "redis://u:******@h:1/0", "redis://127.0.0.1:6379/0", true);
    config_unref(&cfg);
}

TEST(set_makes_a_copy_that_outlives_its_origin)
{
    struct config *cfg = load("[databases]\nd = host=x\n[pgbouncer]\nlogfile = a.log\n");
    struct config *next = NULL, *last = NULL;
    CHECK(config_set(cfg, "server_check_query", "select 2", &next, NULL) == E_OK);
    CHECK_STR(cfg->o.server_check_query, "<empty>");
    CHECK(config_set(next, "max_client_conn", "7", &last, NULL) == E_OK);
    config_unref(&cfg);
    config_unref(&next);
    CHECK_STR(last->o.server_check_query, "select 2");
    CHECK(last->o.max_client_conn == 7);
    CHECK_STR(last->o.logfile, "a.log");
    CHECK_STR(config_database(last, "d")->hosts[0].host, "x");
    config_unref(&last);
}

TEST(set_refuses_what_a_load_would_refuse)
{
    struct config *cfg = load("[cache:r]\ntables = a\nttl = 1\n"), *next = NULL;
    struct fault why = {0};
    CHECK(config_set(cfg, "nothing", "1", &next, &why) == E_NOTFOUND);
    CHECK_STR(why.text, "unknown key nothing");
    CHECK(config_set(cfg, "max_client_conn", "x", &next, &why) == E_CONFIG);
    CHECK(config_set(cfg, "listen_port", "1", &next, &why) == E_CONFIG);
    CHECK_STR(why.text, "listen_port cannot be changed without a restart");
    CHECK(config_set(cfg, "auth_type", "hba", &next, &why) == E_CONFIG);
    CHECK(config_set(cfg, "cache_invalidation", "ttl", &next, &why) == E_CONFIG);
    CHECK_STR(why.text, "cache:r: mode strict needs cache_invalidation = writes");
    CHECK(next == NULL);
    config_unref(&cfg);
}

TEST(what_is_given_but_not_acted_on_is_listed)
{
    struct config *cfg =
        load("[pgbouncer]\nhttp_listen = 127.0.0.1:1\nauth_user = a\nclient_tls_sslmode=prefer\n"
             "[databases]\nd = auth_user=x\n[peers]\n1 = host=x\n");
    CHECK_STR(config_unsupported(cfg, 0),
              "http_listen is set, but this version does not act on it");
    CHECK(strstr(config_unsupported(cfg, 1), "[peers] is given, but without") != NULL);
    CHECK(config_unsupported(cfg, 2) == NULL);
    config_unref(&cfg);
    cfg = load("");
    CHECK(config_unsupported(cfg, 0) == NULL);
    config_unref(&cfg);
}

TEST(help_names_every_option)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    CHECK(out != NULL);
    config_help(out);
    CHECK(fclose(out) == 0);
    struct config *cfg = load("");
    struct config_row row;
    for (size_t i = 0; config_row(cfg, i, &row); i++) { CHECK(strstr(text, row.name) != NULL); }
    CHECK(strstr(text, "pool_mode = session\n") != NULL);
    config_unref(&cfg);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(rows_are_sorted_by_name_and_each_has_help), RUN(values_look_as_pgbouncer_shows_them),
        RUN(set_makes_a_copy_that_outlives_its_origin), RUN(set_refuses_what_a_load_would_refuse),
        RUN(what_is_given_but_not_acted_on_is_listed),  RUN(help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
