/* auth_hba_file: what each column may say, what is wrong with a line, and which rule fits. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/hba.h"

static struct ident *maps(const char *text)
{
    struct ident *i = NULL;
    struct fault why = {0};
    if (text != NULL) { CHECK(ident_parse(bytes_str(text), "ident", &i, &why) == E_OK); }
    return i;
}

static struct hba *parse_with(const char *text, const char *ident)
{
    struct hba *h = NULL;
    struct fault why = {0};
    enum err e = hba_parse(bytes_str(text), "hba", maps(ident), &h, &why);
    if (e != E_OK) { fail_msg("%s", why.text); }
    return h;
}

static struct hba *parse(const char *text)
{
    return parse_with(text, NULL);
}

static void check_refused_with(const char *text, const char *ident, const char *want)
{
    struct hba *h = NULL;
    struct fault why = {0};
    CHECK(hba_parse(bytes_str(text), "hba", maps(ident), &h, &why) == E_CONFIG);
    CHECK(h == NULL);
    CHECK_STR(why.text, want);
}

static void check_refused(const char *text, const char *want)
{
    check_refused_with(text, NULL, want);
}

/* from: NULL is the unix socket; "10.0.0.1", "::1"; a leading ! means over TLS. Returns the line of
 * the rule, 0: none. */
static int find(const struct hba *h, const char *from, const char *database, const char *user)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct hba_who who = {.database = database, .user = user};
    if (from != NULL && from[0] == '!') {
        who.tls = true;
        from++;
    }
    if (from != NULL && inet_pton(AF_INET, from, &in.sin_addr) == 1) {
        who.address = (const struct sockaddr *)&in;
    } else if (from != NULL) {
        CHECK(inet_pton(AF_INET6, from, &in6.sin6_addr) == 1);
        who.address = (const struct sockaddr *)&in6;
    }
    const struct hba_rule *r = hba_find(h, &who);
    return r == NULL ? 0 : r->line;
}

TEST(the_first_rule_that_fits_counts)
{
    struct hba *h = parse("# who may come\n"
                          "local all all peer\n"
                          "host app ann 10.0.0.0/8 reject\n"
                          "host app all 10.0.0.0/8 md5\n"
                          "\n"
                          "host all all all scram-sha-256\n");
    CHECK(find(h, NULL, "app", "ann") == 2);
    CHECK(find(h, "10.1.2.3", "app", "ann") == 3);
    CHECK(find(h, "10.1.2.3", "app", "bob") == 4);
    CHECK(find(h, "11.1.2.3", "app", "bob") == 6);
    CHECK(find(h, "::1", "app", "bob") == 6);
    hba_unref(&h);
}

TEST(without_a_rule_nobody_comes_in)
{
    struct hba *h = parse("host app ann 10.0.0.1/32 trust\n");
    CHECK(find(h, NULL, "app", "ann") == 0);
    CHECK(find(h, "10.0.0.2", "app", "ann") == 0);
    CHECK(find(h, "10.0.0.1", "other", "ann") == 0);
    CHECK(find(h, "10.0.0.1", "app", "an") == 0);
    CHECK(find(h, "10.0.0.1", "app", "ann") == 1);
    hba_unref(&h);
    h = parse("");
    CHECK(find(h, "10.0.0.1", "app", "ann") == 0);
    hba_unref(&h);
}

TEST(each_method_is_known_by_its_name)
{
    struct hba *h = parse("host a trust all trust\nhost a reject all reject\n"
                          "host a password all password\nhost a plain all plain\n"
                          "host a md5 all md5\nhost a scram all scram-sha-256\n"
                          "local a peer peer\nhostssl a cert all cert\nhost a pam all pam\n"
                          "host a ldap all ldap ldapprefix=x\n");
    const struct {
        const char *user;
        enum hba_method method;
    } want[] = {{"trust", HBA_TRUST},    {"reject", HBA_REJECT}, {"password", HBA_PASSWORD},
                {"plain", HBA_PASSWORD}, {"md5", HBA_MD5},       {"scram", HBA_SCRAM},
                {"cert", HBA_CERT},      {"pam", HBA_PAM},       {"ldap", HBA_LDAP}};
    struct sockaddr_in in = {.sin_family = AF_INET};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        const struct hba_who who = {.database = "a",
                                    .user = want[i].user,
                                    .address = (const struct sockaddr *)&in,
                                    .tls = true};
        CHECK(hba_find(h, &who)->method == want[i].method);
    }
    const struct hba_who local = {.database = "a", .user = "peer"};
    CHECK(hba_find(h, &local)->method == HBA_PEER);
    CHECK_STR(hba_method_name(HBA_SCRAM), "scram-sha-256");
    CHECK_STR(hba_method_name(HBA_LDAP), "ldap");
    hba_unref(&h);
}

TEST(lists_keywords_and_quoted_names)
{
    struct hba *h = parse("local app,sameuser, \"all\" ann,\"bob, jr\",\"say \"\"hi\"\"\" trust\n"
                          "local \"sameuser\" all trust\n");
    CHECK(find(h, NULL, "app", "ann") == 1);
    CHECK(find(h, NULL, "app", "bob, jr") == 1);
    CHECK(find(h, NULL, "app", "say \"hi\"") == 1);
    CHECK(find(h, NULL, "ann", "ann") == 1);
    CHECK(find(h, NULL, "all", "ann") == 1);
    CHECK(find(h, NULL, "other", "ann") == 0);
    CHECK(find(h, NULL, "sameuser", "zoe") == 2);
    CHECK(find(h, NULL, "zoe", "zoe") == 0);
    hba_unref(&h);
    h = parse("local all \"all\" trust\n");
    CHECK(find(h, NULL, "app", "ann") == 0);
    CHECK(find(h, NULL, "app", "all") == 1);
    hba_unref(&h);
}

TEST(replication_is_only_for_who_replicates_and_all_is_not)
{
    struct hba *h = parse("local all all trust\nlocal replication all trust\n"
                          "local \"replication\" bob reject\n");
    struct hba_who who = {.database = "", .user = "bob", .replication = true};
    CHECK(hba_find(h, &who)->line == 2);
    who.replication = false;
    who.database = "replication";
    CHECK(hba_find(h, &who)->line == 1);
    hba_unref(&h);
}

TEST(addresses_by_bits_and_by_mask)
{
    struct hba *h = parse("host all a 10.1.2.3/32 trust\nhost all b 10.128.0.0/9 trust\n"
                          "host all c 10.1.0.0 255.255.0.0 trust\nhost all d fd00::/8 trust\n"
                          "host all e 0.0.0.0/0 trust\nhost all f ::1/128 trust\n"
                          "host all g fe80::1 ffff:: trust\nhost all h 10.1.2.77/24 trust\n");
    CHECK(find(h, "10.1.2.3", "x", "a") == 1 && find(h, "10.1.2.4", "x", "a") == 0);
    CHECK(find(h, "10.200.0.1", "x", "b") == 2 && find(h, "10.127.0.1", "x", "b") == 0);
    CHECK(find(h, "10.1.255.1", "x", "c") == 3 && find(h, "10.2.0.1", "x", "c") == 0);
    CHECK(find(h, "fdab::1", "x", "d") == 4 && find(h, "fe00::1", "x", "d") == 0);
    CHECK(find(h, "1.2.3.4", "x", "e") == 5 && find(h, "::1", "x", "e") == 0);
    CHECK(find(h, "::1", "x", "f") == 6 && find(h, "::2", "x", "f") == 0);
    CHECK(find(h, "fe80:1::9", "x", "g") == 7 && find(h, "fe81::9", "x", "g") == 0);
    CHECK(find(h, "10.1.2.1", "x", "h") == 8); /* bits beyond the mask do not matter */
    hba_unref(&h);
}

TEST(lines_for_tls_and_for_clear_text)
{
    struct hba *h = parse("hostssl all all all trust\nhostnossl all all all reject\n");
    CHECK(find(h, "!10.0.0.1", "x", "a") == 1);
    CHECK(find(h, "10.0.0.1", "x", "a") == 2);
    CHECK(find(h, NULL, "x", "a") == 0);
    hba_unref(&h);
}

TEST(this_machines_addresses_and_networks)
{
    struct hba *h = parse("host all a samehost trust\nhost all b samenet trust\n"
                          "host all c \t samenet  reject\nhost all c all trust\n");
    CHECK(find(h, "127.0.0.1", "x", "a") == 1 && find(h, "127.3.2.1", "x", "a") == 0);
    CHECK(find(h, "127.0.0.1", "x", "b") == 2 && find(h, "127.3.2.1", "x", "b") == 2);
    CHECK(find(h, "203.0.113.9", "x", "a") == 0 && find(h, "203.0.113.9", "x", "b") == 0);
    CHECK(find(h, "2001:db8::9", "x", "a") == 0 && find(h, "2001:db8::9", "x", "b") == 0);
    CHECK(find(h, "127.3.2.1", "x", "c") == 3 && find(h, "203.0.113.9", "x", "c") == 4);
    CHECK(find(h, NULL, "x", "a") == 0);
    hba_unref(&h);
}

TEST(own_addresses_that_cannot_be_told_let_nobody_in)
{
    struct hba *h = parse("host all a samehost reject\nhost all all all trust\n");
    struct rlimit before, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = 0; /* no netlink socket */
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    int a = find(h, "203.0.113.9", "x", "a"), b = find(h, "203.0.113.9", "x", "b");
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(a == 0 && b == 2 && find(h, "203.0.113.9", "x", "a") == 2);
    hba_unref(&h);
}

TEST(lines_for_gssapi_encryption_are_for_nobody_and_the_others_for_all)
{
    struct hba *h = parse("hostgssenc all all all trust\nhostnogssenc all all 10.0.0.0/8 reject\n");
    CHECK(find(h, "10.0.0.1", "x", "a") == 2 && find(h, "!10.0.0.1", "x", "a") == 2);
    CHECK(find(h, "11.0.0.1", "x", "a") == 0 && find(h, NULL, "x", "a") == 0);
    hba_unref(&h);
}

TEST(options_of_the_methods)
{
    struct hba *h = parse_with("local all a peer map=office\nhost all b all pam pamservice=web\n"
                               "host all c all ldap ldapserver=\"a b\" ldapport=1389 "
                               "ldapprefix=\"uid=\" ldapsuffix=\",dc=x\"\nlocal all d peer\n",
                               "office root a\n");
    struct hba_who who = {.database = "x", .user = "a"};
    CHECK_STR(hba_find(h, &who)->map, "office");
    CHECK(ident_allows(hba_ident(h), hba_find(h, &who)->map, "root", "a"));
    who.user = "d";
    CHECK(hba_find(h, &who)->map == NULL);
    struct sockaddr_in in = {.sin_family = AF_INET};
    who.address = (const struct sockaddr *)&in;
    who.user = "b";
    CHECK_STR(hba_find(h, &who)->pam_service, "web");
    who.user = "c";
    const struct ldapopt *o = hba_find(h, &who)->ldap;
    CHECK_STR(o->server, "a b");
    CHECK(o->port == 1389);
    CHECK_STR(o->prefix, "uid=");
    CHECK_STR(o->suffix, ",dc=x");
    hba_unref(&h);
}

TEST(an_error_names_file_line_and_token)
{
    check_refused("local all all trust\nremote all all trust\n",
                  "hba:2: remote: expected local, host, hostssl, hostnossl, hostgssenc or "
                  "hostnogssenc");
    check_refused("local\n", "hba:1: end of line: expected databases");
    check_refused("local all\n", "hba:1: end of line: expected users");
    check_refused("local all all\n", "hba:1: end of line: expected a method");
    check_refused("host all all\n", "hba:1: end of line: expected an address");
    check_refused("local all all sasl\n",
                  "hba:1: sasl: expected method trust, reject, password, md5, scram-sha-256, peer, "
                  "cert, pam or ldap");
#define ADDRESS "expected all, samehost, samenet, or an address like 10.0.0.0/8 or fd00::/8"
    static const char *const host_names[] = {"db.example", ".example", "localhost", "\"all\"",
                                             "\"samenet\""};
    for (size_t i = 0; i < sizeof host_names / sizeof host_names[0]; i++) {
        char line[64], want[160];
        (void)snprintf(line, sizeof line, "host all all %s trust\n", host_names[i]);
        size_t quote = host_names[i][0] == '"';
        (void)snprintf(want, sizeof want,
                       "hba:1: %.*s: host names are not supported here, " ADDRESS,
                       (int)(strlen(host_names[i]) - 2 * quote), host_names[i] + quote);
        check_refused(line, want);
    }
    check_refused("host all all 10.0.0.256/32 trust\n", "hba:1: 10.0.0.256/32: " ADDRESS);
    check_refused("host all all 10.0.0/24 trust\n", "hba:1: 10.0.0/24: " ADDRESS);
    check_refused("host all all fe80::1%eth0/64 trust\n", "hba:1: fe80::1%eth0/64: " ADDRESS);
    check_refused("host all all samehost 255.0.0.0 trust\n",
                  "hba:1: 255.0.0.0: expected method trust, reject, password, md5, scram-sha-256, "
                  "peer, cert, pam or ldap");
    check_refused("host all all 10.0.0.0/33 trust\n",
                  "hba:1: 10.0.0.0/33: expected 0 to 32 bits behind the /, or 128 for IPv6");
    check_refused("host all all 10.0.0.0/ trust\n",
                  "hba:1: 10.0.0.0/: expected 0 to 32 bits behind the /, or 128 for IPv6");
    check_refused("host all all 10.0.0.0/-1 trust\n",
                  "hba:1: 10.0.0.0/-1: expected 0 to 32 bits behind the /, or 128 for IPv6");
    check_refused("host all all 10.0.0.1 trust\n",
                  "hba:1: trust: expected a mask like 255.255.255.0");
    check_refused("host all all 10.0.0.1 ffff:: trust\n",
                  "hba:1: ffff::: expected a mask like 255.255.255.0");
    check_refused("host all all 10.0.0.1\n", "hba:1: 10.0.0.1: expected /bits or a mask behind it");
    check_refused("host all all 1.1.1.1/32,2.2.2.2/32 trust\n",
                  "hba:1: 2.2.2.2/32: a list is not possible in this field");
    check_refused("local samerole all trust\n",
                  "hba:1: samerole: membership in roles is not known here");
    check_refused("local all +staff trust\n", "hba:1: +staff: roles' members and regular "
                                              "expressions are not supported here");
    check_refused("local /^a all trust\n",
                  "hba:1: /^a: regular expressions are not supported here");
    check_refused("local all @users trust\n", "hba:1: users: @FILE is not possible here");
    check_refused("local all \"ann trust\n", "hba:1: the closing quote of \"ann trust is missing");
    check_refused("local all ann, trust x\n", "hba:1: x: expected method trust, reject, password, "
                                              "md5, scram-sha-256, peer, cert, pam or ldap");
    check_refused("local all ,ann trust\n", "hba:1: a word is missing beside a comma");
    check_refused("host all all all peer\n", "hba:1: peer: only local lines can have this method");
    check_refused("host all all all cert\n",
                  "hba:1: cert: only hostssl lines can have this method");
}

TEST(an_option_that_does_not_belong_is_an_error)
{
    check_refused("local all all md5 map=x\n",
                  "hba:1: map=x: a map is possible for peer and cert only");
    check_refused_with("local all all peer map=x\n", "y a b\n",
                       "hba:1: map=x: auth_ident_file has no such map");
    check_refused("local all all md5 strict\n", "hba:1: strict: expected name=value");
    check_refused("local all all md5 ldapserver=x\n",
                  "hba:1: ldapserver: no option of this method");
    check_refused("local all all ldap ldapprefix=a ldapcolor=x\n",
                  "hba:1: ldapcolor: no option of this method");
    check_refused("local all all ldap ldapport=no ldapprefix=a\n",
                  "hba:1: ldapport: no: expected a port from 1 to 65535");
    check_refused("local all all ldap\n", "hba:1: ldap: ldap needs ldapbasedn, ldapprefix, "
                                          "ldapsuffix or an ldapurl with a base");
    check_refused("local all all pam pamservice=../x\n",
                  "hba:1: pamservice=../x: expected the name of a PAM service");
}

TEST(a_zero_byte_is_an_error)
{
    struct hba *h = NULL;
    struct fault why = {0};
    CHECK(hba_parse(BYTES("local all\0all trust\n"), "hba", NULL, &h, &why) == E_CONFIG);
    CHECK_STR(why.text, "hba:1: a zero byte, expected text");
}

static char folder[] = "/tmp/pgusher-hba-XXXXXX";

static char *write_file(const char *name, const char *text)
{
    char *path = NULL;
    CHECK(asprintf(&path, "%s/%s", folder, name) > 0);
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    CHECK(fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

TEST(files_are_read_with_the_names_they_include)
{
    CHECK(mkdtemp(folder) != NULL);
    char *hba = write_file("hba", "local @dbs @users trust\nlocal all zoe peer map=m\n");
    char *dbs = write_file("dbs", "one two # three\nfour,@more\n");
    char *more = write_file("more", "five\n");
    char *users = write_file("users", "ann\n\"bob jr\"\nall_of\n");
    char *ident = write_file("ident", "m zoe zoe\n");
    char *loop = write_file("loop", "local @again all trust\n");
    char *again = write_file("again", "@again\n");
    struct hba *h = NULL;
    struct fault why = {0};
    CHECK(hba_load(hba, ident, &h, &why) == E_OK);
    CHECK(find(h, NULL, "two", "ann") == 1 && find(h, NULL, "five", "bob jr") == 1);
    CHECK(find(h, NULL, "three", "ann") == 0 && find(h, NULL, "x", "zoe") == 2);
    hba_unref(&h);

    char want[200];
    CHECK(hba_load(loop, "", &h, &why) == E_CONFIG && h == NULL);
    (void)snprintf(want, sizeof want, "%s:1: again: @FILE: too deep, 10 files at most", loop);
    CHECK_STR(why.text, want);
    CHECK(unlink(more) == 0);
    CHECK(hba_load(hba, ident, &h, &why) == E_IO && h == NULL);
    (void)snprintf(want, sizeof want, "%s:1: @%s: No such file or directory", hba, more);
    CHECK_STR(why.text, want);
    CHECK(hba_load(more, "", &h, &why) == E_IO && h == NULL);
    CHECK(hba_load(folder, "", &h, &why) == E_IO && h == NULL);
    char *files[] = {hba, dbs, more, users, ident, loop, again};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)unlink(files[i]);
        free(files[i]);
    }
    CHECK(rmdir(folder) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(the_first_rule_that_fits_counts),
        RUN(without_a_rule_nobody_comes_in),
        RUN(each_method_is_known_by_its_name),
        RUN(lists_keywords_and_quoted_names),
        RUN(replication_is_only_for_who_replicates_and_all_is_not),
        RUN(addresses_by_bits_and_by_mask),
        RUN(lines_for_tls_and_for_clear_text),
        RUN(this_machines_addresses_and_networks),
        RUN(own_addresses_that_cannot_be_told_let_nobody_in),
        RUN(lines_for_gssapi_encryption_are_for_nobody_and_the_others_for_all),
        RUN(options_of_the_methods),
        RUN(an_error_names_file_line_and_token),
        RUN(an_option_that_does_not_belong_is_an_error),
        RUN(a_zero_byte_is_an_error),
        RUN(files_are_read_with_the_names_they_include),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
