/* LDAP options: URLs, what does not fit together, and user names inside DNs and filters. */
#include "unit.h"

#include "auth/ldapopt.h"
#include "base/mem.h"

static struct arena memory;

static struct ldapopt parse(const char *text)
{
    struct ldapopt o;
    struct fault why = {0};
    if (ldapopt_parse(text, &memory, &o, &why) != E_OK) { fail_msg("%s", why.text); }
    return o;
}

static void check_refused(const char *text, const char *want)
{
    struct ldapopt o;
    struct fault why = {0};
    CHECK(ldapopt_parse(text, &memory, &o, &why) == E_CONFIG);
    CHECK_STR(why.text, want);
}

static void check_given(char *got, const char *want)
{
    CHECK_STR(got, want);
    mem_free(&got);
}

TEST(a_url_gives_host_base_attribute_scope_and_filter)
{
    struct ldapopt o = parse("ldapurl=\"ldaps://dir.example:1636/dc=x,dc=y?mail?one?\" ");
    CHECK_STR(o.server, "dir.example");
    CHECK(o.port == 1636 && o.scope == LDAPOPT_ONE);
    CHECK_STR(o.scheme, "ldaps");
    CHECK_STR(o.base_dn, "dc=x,dc=y");
    CHECK_STR(o.search_attribute, "mail");
    CHECK(o.search_filter == NULL);
    check_given(ldapopt_url(&o), "ldaps://dir.example:1636");
    o = parse("ldapurl=ldap://h/dc=a%20b");
    CHECK_STR(o.base_dn, "dc=a b");
    CHECK(o.scope == LDAPOPT_BASE && o.port == 0);
    o = parse("ldapurl=ldap://[::1]:99/dc=a??sub?(cn=$username)");
    CHECK_STR(o.server, "[::1]");
    CHECK(o.scope == LDAPOPT_SUB);
    check_given(ldapopt_url(&o), "ldap://[::1]:99");
    check_given(ldapopt_user_filter(&o, "ann"), "(cn=ann)");
    o = parse("ldapserver=h ldapbasedn=dc=a");
    CHECK(o.scope == LDAPOPT_SUB);
    check_given(ldapopt_user_filter(&o, "ann"), "(uid=ann)");
}

TEST(several_servers_become_several_urls)
{
    struct ldapopt o = parse("ldapserver=\"one two:77  three\" ldapport=1389 ldapprefix=uid=");
    check_given(ldapopt_url(&o), "ldap://one:1389 ldap://two:77 ldap://three:1389");
    o = parse("ldapprefix=uid=");
    CHECK(ldapopt_url(&o) == NULL);
}

TEST(a_user_name_cannot_leave_its_place_in_a_dn_or_a_filter)
{
    struct ldapopt o = parse("ldapprefix=\"uid=\" ldapsuffix=\",dc=x\"");
    check_given(ldapopt_user_dn(&o, "ann"), "uid=ann,dc=x");
    check_given(ldapopt_user_dn(&o, "a,dc=y"), "uid=a\\2cdc\\3dy,dc=x");
    check_given(ldapopt_user_dn(&o, "a+b \"c\\"), "uid=a\\2bb\\20\\22c\\5c,dc=x");
    o = parse("ldapsuffix=@example.net");
    check_given(ldapopt_user_dn(&o, "ann"), "ann@example.net");
    o = parse("ldapbasedn=dc=x ldapsearchfilter=(|(uid=$username)(mail=$username))");
    check_given(ldapopt_user_filter(&o, "a*)(uid=\\"),
                "(|(uid=a\\2a\\29\\28uid=\\5c)(mail=a\\2a\\29\\28uid=\\5c))");
}

TEST(quotes_around_values)
{
    struct ldapopt o = parse("  ldapprefix=\"a \"\"b\"\" c\"  ldapsuffix=d\t");
    CHECK_STR(o.prefix, "a \"b\" c");
    CHECK_STR(o.suffix, "d");
}

TEST(what_is_wrong_is_told)
{
    check_refused("ldapport", "expected name=value, not ldapport");
    check_refused("ldapcolor=1", "unknown LDAP option ldapcolor");
    check_refused("ldapprefix=\"a", "ldapprefix: the closing quote is missing");
    check_refused("ldapport=0", "0: expected a port from 1 to 65535");
    check_refused("ldapport=65536", "65536: expected a port from 1 to 65535");
    check_refused("ldaptls=2", "2: expected ldaptls 0 or 1");
    check_refused("ldapscheme=http", "http: expected ldap or ldaps");
    check_refused("ldapurl=http://x", "http: expected ldap or ldaps");
    check_refused("ldapurl=x", "x: expected ldap://...");
    check_refused("ldapurl=ldap://h/dc=%4", "ldap://h/dc=%4: malformed % in ldapurl");
    check_refused("ldapurl=ldap://h/dc=%00", "ldap://h/dc=%00: malformed % in ldapurl");
    check_refused("ldapurl=ldap://h/dc?a,b", "ldap://h/dc?a,b: expected one attribute in ldapurl");
    check_refused("ldapurl=ldap://h/dc??deep", "deep: expected scope base, one or sub");
    check_refused("ldapurl=ldap://h/d????x", "ldap://h/d????x: extensions are not supported in "
                                             "ldapurl");
    check_refused("ldapprefix=a ldaptls=1 ldapscheme=ldaps",
                  "ldaptls=1 cannot be used together with ldaps");
    check_refused("ldapbasedn=a ldapsearchattribute=b ldapsearchfilter=c",
                  "ldapsearchattribute and ldapsearchfilter are one too many");
    check_refused("", "ldap needs ldapbasedn, ldapprefix, ldapsuffix or an ldapurl with a base");
    check_refused("ldapprefix=a ldapbasedn=b",
                  "ldapprefix and ldapsuffix cannot be used together with ldapbasedn, ldapbinddn, "
                  "ldapbindpasswd, ldapsearchattribute, ldapsearchfilter or ldapurl");
}

static int free_memory(void **state)
{
    (void)state;
    arena_done(&memory);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_url_gives_host_base_attribute_scope_and_filter),
        RUN(several_servers_become_several_urls),
        RUN(a_user_name_cannot_leave_its_place_in_a_dn_or_a_filter),
        RUN(quotes_around_values),
        RUN(what_is_wrong_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, free_memory);
}
