/* server_tls_* in libpq's words. */
#include "unit.h"

#include "base/mem.h"
#include "config/load.h"

static void check(const char *lines, const char *want)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    char *ini = mem_printf("[databases]\nx = host=h\n[pgusher]\n%s", lines);
    if (config_parse(bytes_str(ini), "ini", &cfg, &why) != E_OK) { fail_msg("%s", why.text); }
    char *got = config_libpq_tls(&cfg->o);
    CHECK_STR(got, want);
    mem_free(&got);
    mem_free(&ini);
    config_unref(&cfg);
}

#define VERSIONS(least, most)                                                                      \
    "ssl_min_protocol_version='" least "' ssl_max_protocol_version='" most "' "
#define SECURE   VERSIONS("TLSv1.2", "TLSv1.3")
#define NO(name) name "='/dev/null/none' "

TEST(what_is_not_given_is_not_looked_for)
{
    check("", "sslmode='prefer' " NO("sslrootcert") NO("sslcrl") NO("sslcert") NO("sslkey") SECURE);
}

TEST(an_authority_counts_where_certificates_are_verified)
{
    check("server_tls_ca_file = ca.pem\nserver_tls_crl_file = ca.crl\nserver_tls_sslmode = require",
          "sslmode='require' " NO("sslrootcert") NO("sslcrl") NO("sslcert") NO("sslkey") SECURE);
    check("server_tls_ca_file = ca.pem\nserver_tls_crl_file = ca.crl\n"
          "server_tls_sslmode = verify-full",
          "sslmode='verify-full' sslrootcert='ca.pem' sslcrl='ca.crl' " NO("sslcert") NO("sslkey")
              SECURE);
}

TEST(names_of_files_are_quoted)
{
    check("server_tls_cert_file = it's mine.pem\nserver_tls_key_file = a\\b sslmode=disable",
          "sslmode='prefer' " NO("sslrootcert")
              NO("sslcrl") "sslcert='it\\'s mine.pem' "
                           "sslkey='a\\\\b sslmode=disable' " SECURE);
}

static void check_versions(const char *words, const char *want)
{
    char *line = mem_printf("server_tls_protocols = %s", words);
    char *all = mem_printf(
        "sslmode='prefer' " NO("sslrootcert") NO("sslcrl") NO("sslcert") NO("sslkey") "%s", want);
    check(line, all);
    mem_free(&line);
    mem_free(&all);
}

TEST(versions_are_the_newest_without_a_gap)
{
    check_versions("tlsv1.3", VERSIONS("TLSv1.3", "TLSv1.3"));
    check_versions("tlsv1.2", VERSIONS("TLSv1.2", "TLSv1.2"));
    check_versions("all", VERSIONS("TLSv1", "TLSv1.3"));
    check_versions("all:!tlsv1.3", VERSIONS("TLSv1", "TLSv1.2"));
    check_versions("tlsv1.0, tlsv1.1, tlsv1.3", VERSIONS("TLSv1.3", "TLSv1.3"));
    check_versions("none of these", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_not_given_is_not_looked_for),
        RUN(an_authority_counts_where_certificates_are_verified),
        RUN(names_of_files_are_quoted),
        RUN(versions_are_the_newest_without_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
