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

#define NO(name) name "='/dev/null/none' "

TEST(what_is_not_given_is_not_looked_for)
{
    check("", "sslmode='prefer' " NO("sslrootcert") NO("sslcrl") NO("sslcert") NO("sslkey"));
}

TEST(an_authority_counts_where_certificates_are_verified)
{
    check("server_tls_ca_file = ca.pem\nserver_tls_crl_file = ca.crl\nserver_tls_sslmode = require",
          "sslmode='require' " NO("sslrootcert") NO("sslcrl") NO("sslcert") NO("sslkey"));
    check("server_tls_ca_file = ca.pem\nserver_tls_crl_file = ca.crl\n"
          "server_tls_sslmode = verify-full",
          "sslmode='verify-full' sslrootcert='ca.pem' sslcrl='ca.crl' " NO("sslcert") NO("sslkey"));
}

TEST(names_of_files_are_quoted)
{
    check("server_tls_cert_file = it's mine.pem\nserver_tls_key_file = a\\b sslmode=disable",
          "sslmode='prefer' " NO("sslrootcert") NO("sslcrl") "sslcert='it\\'s mine.pem' "
                                                             "sslkey='a\\\\b sslmode=disable' ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(what_is_not_given_is_not_looked_for),
        RUN(an_authority_counts_where_certificates_are_verified),
        RUN(names_of_files_are_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
