/* Loading: what lines of the ini become, and how errors name their place. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/load.h"

static struct config *load(const char *text)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    enum err e = config_parse(bytes_str(text), "a.ini", &cfg, &why);
    if (e != E_OK) { print_error("%s\n", why.text); }
    CHECK(e == E_OK);
    return cfg;
}

static void check_fails(const char *text, const char *reason)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    CHECK(config_parse(bytes_str(text), "a.ini", &cfg, &why) == E_CONFIG);
    CHECK(cfg == NULL);
    if (strstr(why.text, reason) != why.text) { print_error("%s\n%s\n", why.text, reason); }
    CHECK(strstr(why.text, reason) == why.text);
}

TEST(an_empty_file_has_pgbouncers_defaults)
{
    struct config *cfg = load("");
    CHECK(cfg->o.listen_port == 6432);
    CHECK(cfg->o.auth_type == AUTH_MD5);
    CHECK(cfg->o.pool_mode == POOL_SESSION);
    CHECK(cfg->o.default_pool_size == 20);
    CHECK(cfg->o.unix_socket_mode == 0777);
    CHECK(cfg->o.server_lifetime_us == 3600 * US_PER_S);
    CHECK(cfg->o.max_packet_size_bytes == 2147483647);
    CHECK_STR(cfg->o.server_reset_query, "DISCARD ALL");
    CHECK_STR(cfg->o.listen_addr, "");
    CHECK(cfg->o.read_consistency == READ_CLUSTER);
    CHECK(cfg->o.redis_timeout_us == 5 * US_PER_MS);
    CHECK(cfg->o.cache_max_entry_bytes == 256 * 1024);
    CHECK(cfg->o.max_inspect_bytes == 64 * 1024);
    config_unref(&cfg);
    CHECK(cfg == NULL);
}

TEST(both_names_of_the_main_section_are_one_section_and_the_last_key_wins)
{
    struct config *cfg = load("[pgbouncer]\nlisten_port = 1\n[databases]\n[pgusher]\n"
                              "listen_port=2\nquery_timeout = 1.5\n");
    CHECK(cfg->o.listen_port == 2);
    CHECK(cfg->o.query_timeout_us == 1500 * US_PER_MS);
    config_unref(&cfg);
}

TEST(comments_are_whole_lines_and_values_keep_their_semicolons)
{
    struct config *cfg = load("; one\r\n  # two\r\n[pgbouncer]\r\n"
                              "server_check_query = select 1 ; -- #x\r\n"
                              "   logfile =   /var/log/a b.log  \r\n");
    CHECK_STR(cfg->o.server_check_query, "select 1 ; -- #x");
    CHECK_STR(cfg->o.logfile, "/var/log/a b.log");
    config_unref(&cfg);
}

TEST(a_long_line_arrives_whole)
{
    enum { LEN = 60000 };
    char *text = test_malloc(LEN + 100);
    int n = sprintf(text, "[pgbouncer]\nadmin_users = ");
    memset(text + n, 'u', LEN);
    strcpy(text + n + LEN, "\nlisten_port = 7\n");
    struct config *cfg = load(text);
    CHECK(strlen(cfg->o.admin_users) == LEN);
    CHECK(cfg->o.listen_port == 7);
    config_unref(&cfg);
    test_free(text);
}

TEST(a_line_that_is_too_long_is_an_error)
{
    enum { LEN = 70000 };
    char *text = test_malloc(LEN + 100);
    int n = sprintf(text, "[pgbouncer]\nadmin_users = ");
    memset(text + n, 'u', LEN);
    text[n + LEN] = '\0';
    check_fails(text, "a.ini:2: longer than 65536 bytes");
    test_free(text);
}

TEST(an_error_names_file_line_key_and_what_was_expected)
{
    check_fails("[pgbouncer]\n\nlisten_prt = 1\n",
                "a.ini:3: unknown key listen_prt in [pgbouncer]; is it listen_port?");
    check_fails("[pgusher]\nzzz = 1\n", "a.ini:2: unknown key zzz in [pgusher]");
    check_fails("[pgbouncer]\nlisten_port = 70000\n",
                "a.ini:2: listen_port = 70000: expected a number from 0 to 65535");
    check_fails("[pgbouncer]\npool_mode = both\n",
                "a.ini:2: pool_mode = both: expected session, transaction or statement");
    check_fails("[pgbouncer]\nquery_timeout = 5 parsecs\n",
                "a.ini:2: query_timeout = 5 parsecs: expected seconds, or a time");
    check_fails("listen_port = 1\n", "a.ini:1: before the first [section]");
    check_fails("[pgbouncer]\nlisten_port\n", "a.ini:2: expected name = value");
    check_fails("[pgbouncer\n", "a.ini:1: expected a section like [databases]");
    check_fails("[nowhere]\na = 1\n", "a.ini:2: unknown section [nowhere]");
    check_fails("[pgbouncer]\n%include x.ini\n", "a.ini:2: %include is not possible here");
}

TEST(a_comment_behind_a_number_is_no_number)
{
    check_fails("[pgbouncer]\nworkers = 0 ; one per core\n",
                "a.ini:2: workers = 0 ; one per core: expected a number");
}

TEST(a_database_has_its_hosts_ports_and_parameters)
{
    struct config *cfg =
        load("[databases]\n"
             "clinic = host=pg1,pg2,/run/pg port=5432,5433,5434 dbname=c user=u password='a''b c' "
             "pool_size=7 replica_pool_size=8 reserve_pool=9 pool_mode=transaction "
             "read_write_split=on cache=memory read_consistency=cluster server_lifetime=60 "
             "auth_query='select ''x'''\n");
    const struct database_config *db = config_database(cfg, "clinic");
    CHECK(db != NULL && db->hosts_count == 3);
    CHECK_STR(db->hosts[0].host, "pg1");
    CHECK_STR(db->hosts[2].host, "/run/pg");
    CHECK(db->hosts[1].port == 5433 && db->hosts[2].port == 5434);
    CHECK_STR(db->dbname, "c");
    CHECK_STR(db->password, "a'b c");
    CHECK_STR(db->auth_query, "select 'x'");
    CHECK(db->pool_size == 7 && db->replica_pool_size == 8 && db->reserve_pool_size == 9);
    CHECK(db->pool_mode == POOL_TRANSACTION && db->read_write_split == 1);
    CHECK(db->cache == CACHE_MEMORY && db->read_consistency == READ_CLUSTER);
    CHECK(db->server_lifetime_us == 60 * US_PER_S && db->query_wait_timeout_us == -1);
    CHECK(db->min_pool_size == -1 && db->monitor_user == NULL);
    CHECK(config_database(cfg, "other") == NULL);
    config_unref(&cfg);
}

TEST(a_bare_database_is_its_own_name_on_the_unix_socket)
{
    struct config *cfg = load("[databases]\nx =\n* =\n[pgbouncer]\nunix_socket_dir = /run/s\n");
    const struct database_config *db = config_database(cfg, "x");
    CHECK_STR(db->dbname, "x");
    CHECK(db->hosts_count == 1 && db->hosts[0].port == 5432);
    CHECK_STR(db->hosts[0].host, "/run/s");
    CHECK(config_database(cfg, "*")->dbname == NULL);
    config_unref(&cfg);
}

TEST(one_port_serves_all_hosts_and_a_database_named_twice_is_the_last)
{
    struct config *cfg = load("[databases]\nd = host=x\n\"a = b:\"\"c\" = host=q\n"
                              "d = host=h1,h2 port=6000\n");
    CHECK(cfg->databases_count == 2);
    const struct database_config *db = config_database(cfg, "d");
    CHECK(db->hosts_count == 2 && db->hosts[0].port == 6000 && db->hosts[1].port == 6000);
    CHECK(config_database(cfg, "a = b:\"c") != NULL);
    config_unref(&cfg);
}

TEST(a_bad_database_line_says_why_and_never_shows_a_password)
{
    check_fails("[databases]\nd = host=a,b,c port=1,2\n", "a.ini:2: 2 ports for 3 hosts");
    check_fails("[databases]\nd = host=a,,c\n", "a.ini:2: host 2 of the list is empty");
    check_fails("[databases]\nd = port=0\n", "a.ini:2: port = 0: expected a number");
    check_fails("[databases]\nd = pool_sise=1\n",
                "a.ini:2: unknown parameter pool_sise; is it pool_size?");
    check_fails("[databases]\nd = hst=1\n", "a.ini:2: unknown parameter hst; is it host?");
    check_fails("[databases]\nd = password='x\n", "a.ini:2: password: the closing quote");
    check_fails("[databases]\nd = password=x secret\n", "a.ini:2: expected key=value pairs, and");
    check_fails("[databases]\npgbouncer = host=x\n",
                "a.ini:2: database name pgbouncer is the console's");
    check_fails("[databases]\nd =\n[pgbouncer]\nunix_socket_dir =\n",
                "a.ini:2: database d: expected host=");
}

TEST(cache_on_is_the_option_or_else_redis)
{
    struct config *cfg = load("[databases]\na = host=x cache=on\nb = host=x cache=0\n"
                              "[pgusher]\ncache = memory\n");
    CHECK(config_database(cfg, "a")->cache == CACHE_MEMORY);
    CHECK(config_database(cfg, "b")->cache == CACHE_OFF);
    config_unref(&cfg);
    cfg = load("[databases]\na = host=x cache=on\n");
    CHECK(config_database(cfg, "a")->cache == CACHE_REDIS);
    config_unref(&cfg);
}

TEST(users_and_peers_have_their_lines)
{
    struct config *cfg = load("[users]\njoe = pool_mode=statement query_timeout=10\n"
                              "[peers]\n3 = host=10.0.0.1 pool_size=2\n");
    const struct user_config *u = config_user(cfg, "joe");
    CHECK(u->pool_mode == POOL_STATEMENT && u->query_timeout_us == 10 * US_PER_S);
    CHECK(u->pool_size == -1 && u->transaction_timeout_us == -1);
    CHECK(cfg->peers_count == 1 && cfg->peers[0].id == 3 && cfg->peers[0].port == 6432);
    config_unref(&cfg);
    check_fails("[peers]\n0 = host=x\n", "a.ini:2: peer 0: expected a number from 1");
    check_fails("[peers]\n1 = port=1\n", "a.ini:2: peer 1: expected host=...");
    check_fails("[users]\njoe = pool_mod=session\n", "a.ini:2: unknown parameter pool_mod; is it");
}

TEST(a_cache_rule_names_folded_qualified_tables)
{
    struct config *cfg = load("[cache:ref]\ntables = Modules, clinic.menus , \"Odd Name\"\n"
                              "ttl = 1h\n[cache:slots]\ntables=a\nttl=30\nscope=provider_id\n"
                              "rls=keyed\nmode=ttl\n[cache:ref]\nttl = 2min\nempty_results=on\n");
    CHECK(cfg->rules_count == 2);
    const struct rule_config *r = &cfg->rules[0];
    CHECK(r->tables_count == 3 && r->mode == RULE_STRICT && r->rls == RLS_REFUSE);
    CHECK_STR(r->tables[0], "public.modules");
    CHECK_STR(r->tables[1], "clinic.menus");
    CHECK_STR(r->tables[2], "public.Odd Name");
    CHECK(r->ttl_us == 120 * US_PER_S && r->empty_results && r->scope == NULL);
    CHECK(cfg->rules[1].mode == RULE_TTL && cfg->rules[1].rls == RLS_KEYED);
    CHECK_STR(cfg->rules[1].scope, "provider_id");
    config_unref(&cfg);
}

TEST(an_incomplete_cache_rule_is_an_error)
{
    check_fails("[cache:r]\nttl = 1h\n", "a.ini:2: cache:r: expected tables = ...");
    check_fails("[cache:r]\ntables = a\n", "a.ini:2: cache:r: expected ttl = ...");
    check_fails("[cache:r]\nttl = 0\n", "a.ini:2: ttl = 0: expected a time above 0");
    check_fails("[cache:r]\ntables = a,,b\n", "a.ini:2: tables: expected table or schema.table");
    check_fails("[cache:r]\ntables = a b\n", "a.ini:2: tables: expected table or schema.table");
    check_fails("[cache:r]\nmode = fenced\n", "a.ini:2: mode = fenced: this version cannot keep");
    check_fails("[cache:r]\nmode = bounded\n", "a.ini:2: mode = bounded: this version cannot keep");
    check_fails("[cache:r]\ntable = a\n", "a.ini:2: unknown key table; expected tables, ttl");
    check_fails("[cache:r]\ntables=a\nttl=1\n[pgusher]\ncache_invalidation = ttl\n",
                "a.ini:2: cache:r: mode strict needs cache_invalidation = writes");
}

TEST(settings_have_scopes_templates_and_may_be_required)
{
    struct config *cfg = load("[settings]\nApp.Client_IP! = %{client_addr}\n"
                              "[settings:clinic]\napp.x = a%{tag:provider|none}b\n"
                              "[settings:clinic/joe]\napp.x = 1\n[settings:*/joe]\napp.x = 2\n"
                              "[settings]\napp.client_ip = %{startup:app.ip}\n");
    CHECK(cfg->settings_count == 4);
    const struct setting_config *s = cfg->settings;
    CHECK_STR(s[0].name, "app.client_ip");
    CHECK(!s[0].required && s[0].database == NULL && s[0].user == NULL);
    CHECK_STR(s[0].value, "%{startup:app.ip}");
    CHECK_STR(s[1].database, "clinic");
    CHECK(s[1].user == NULL);
    CHECK_STR(s[2].user, "joe");
    CHECK(s[3].database == NULL);
    config_unref(&cfg);
}

TEST(a_setting_that_cannot_be_injected_is_an_error)
{
    check_fails("[settings]\nrole = x\n", "a.ini:2: role: this setting cannot be injected");
    check_fails("[settings]\nSESSION_AUTHORIZATION = x\n", "a.ini:2: session_authorization: this");
    check_fails("[settings]\nis_superuser = x\n", "a.ini:2: is_superuser: this setting");
    check_fails("[settings]\n1a = x\n", "a.ini:2: 1a: expected a setting's name");
    check_fails("[settings]\na..b = x\n", "a.ini:2: a..b: expected a setting's name");
    check_fails("[settings]\n\"a b\" = x\n", "a.ini:2: a b: expected a setting's name");
    check_fails("[settings]\n! = x\n", "a.ini:2: : expected a setting's name");
    check_fails("[settings]\na.b = %{usr}\n", "a.ini:2: %{usr}: expected user, database");
    check_fails("[settings]\na.b = %{user\n", "a.ini:2: expected } to close %{");
    check_fails("[settings]\na.b = %{tag:}\n", "a.ini:2: %{tag:}: expected user");
    check_fails("[settings]\na.b = %{jwt:sub}\n", "a.ini:2: %{jwt:sub}: this version has no such");
    check_fails("[settings:]\na.b = 1\n", "a.ini:2: [settings:]: expected [settings:DB]");
}

TEST(what_safety_rests_on_and_this_version_lacks_is_an_error)
{
    check_fails("[pgbouncer]\nauth_type = hba\n", "a.ini:2: auth_type: hba needs auth_hba_file");
    check_fails("[pgbouncer]\nauth_type = ldap\n",
                "a.ini:2: auth_type: ldap needs auth_ldap_options");
    check_fails("[pgbouncer]\nauth_type = cert\n", "a.ini:2: auth_type: cert needs client_tls");
    check_fails("[pgbouncer]\ncache_invalidation = notify\n",
                "a.ini:2: cache_invalidation: this version has only ttl and writes");
    check_fails("[pgbouncer]\nredis_url = rediss://h\n", "a.ini:2: redis_url: this version has");
}

TEST(a_redis_url_has_a_known_form)
{
    static const char *const good[] = {"redis://h", "redis://h:1/2", "redis://u:p@[::1]:6379/0",
                                       "unix:///run/r.sock", "redis://:p%2F@h/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "[pgusher]\nredis_url = %s\n", good[i]);
        struct config *cfg = load(text);
        config_unref(&cfg);
    }
    check_fails("[pgusher]\nredis_url = h:1\n", "a.ini:2: redis_url: expected redis://");
    check_fails("[pgusher]\nredis_url = redis://\n", "a.ini:2: redis_url: expected redis://");
    check_fails("[pgusher]\nredis_url = redis://h:x\n", "a.ini:2: redis_url: expected redis://");
    check_fails("[pgusher]\nredis_url = redis://h/x\n", "a.ini:2: redis_url: expected redis://");
}

static char *write_file(const char *folder, const char *name, const char *text)
{
    char *path = NULL;
    CHECK(asprintf(&path, "%s/%s", folder, name) > 0);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0);
    CHECK(fclose(f) == 0);
    return path;
}

TEST(an_include_is_read_in_place_and_its_errors_name_its_own_lines)
{
    char folder[] = "/tmp/pgusher-config-XXXXXX", text[256];
    CHECK(mkdtemp(folder) != NULL);
    char *inner = write_file(folder, "inner.ini", "listen_port = 5\n[databases]\nd = host=x\n");
    (void)snprintf(text, sizeof text, "[pgbouncer]\n%%include %s\ne = host=y\n", inner);
    char *outer = write_file(folder, "outer.ini", text);
    struct config *cfg = NULL;
    struct fault why = {0};
    CHECK(config_load(outer, &cfg, &why) == E_OK);
    CHECK(cfg->o.listen_port == 5 && cfg->databases_count == 2);
    CHECK_STR(cfg->path, outer);
    CHECK_STR(cfg->o.conffile, outer);
    config_unref(&cfg);

    free(write_file(folder, "inner.ini", "\nlisten_port = x\n"));
    CHECK(config_load(outer, &cfg, &why) == E_CONFIG);
    (void)snprintf(text, sizeof text, "%s:2: listen_port = x", inner);
    CHECK(strstr(why.text, text) == why.text);

    CHECK(unlink(inner) == 0);
    CHECK(config_load(outer, &cfg, &why) == E_IO);
    (void)snprintf(text, sizeof text, "%s:2: cannot read %s: No such file", outer, inner);
    CHECK(strstr(why.text, text) == why.text);

    (void)snprintf(text, sizeof text, "%%include %s\n", outer);
    free(write_file(folder, "outer.ini", text));
    CHECK(config_load(outer, &cfg, &why) == E_CONFIG);
    CHECK(strstr(why.text, ":1: %include: too deep") != NULL);
    CHECK(unlink(outer) == 0 && rmdir(folder) == 0);
    free(inner);
    free(outer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(an_empty_file_has_pgbouncers_defaults),
        RUN(both_names_of_the_main_section_are_one_section_and_the_last_key_wins),
        RUN(comments_are_whole_lines_and_values_keep_their_semicolons),
        RUN(a_long_line_arrives_whole),
        RUN(a_line_that_is_too_long_is_an_error),
        RUN(an_error_names_file_line_key_and_what_was_expected),
        RUN(a_comment_behind_a_number_is_no_number),
        RUN(a_database_has_its_hosts_ports_and_parameters),
        RUN(a_bare_database_is_its_own_name_on_the_unix_socket),
        RUN(one_port_serves_all_hosts_and_a_database_named_twice_is_the_last),
        RUN(a_bad_database_line_says_why_and_never_shows_a_password),
        RUN(cache_on_is_the_option_or_else_redis),
        RUN(users_and_peers_have_their_lines),
        RUN(a_cache_rule_names_folded_qualified_tables),
        RUN(an_incomplete_cache_rule_is_an_error),
        RUN(settings_have_scopes_templates_and_may_be_required),
        RUN(a_setting_that_cannot_be_injected_is_an_error),
        RUN(what_safety_rests_on_and_this_version_lacks_is_an_error),
        RUN(a_redis_url_has_a_known_form),
        RUN(an_include_is_read_in_place_and_its_errors_name_its_own_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
