/* Rows of [settings]: which apply, and what they become. */
#include "unit.h"

#include "config/load.h"
#include "settings/identity.h"

static struct identity *compile(const char *ini, const char *database, const char *user)
{
    struct config *cfg = NULL;
    struct fault why = {0};
    enum err e = config_parse(bytes_str(ini), "a.ini", &cfg, &why);
    if (e != E_OK) { print_error("%s\n", why.text); }
    CHECK(e == E_OK);
    struct identity *id = identity_compile(cfg, database, user);
    config_unref(&cfg); /* the identity does not need it */
    return id;
}

static const struct varset *apply(const struct identity *id, struct identity_sources from)
{
    struct varset_edit e;
    struct fault why = {0};
    varset_edit_begin(&e, varset_empty());
    CHECK(identity_apply(id, &from, &e, &why) == E_OK);
    return varset_edit_end(&e);
}

static void check_refused(const struct identity *id, struct identity_sources from,
                          const char *reason)
{
    struct varset_edit e;
    struct fault why = {0};
    varset_edit_begin(&e, varset_empty());
    CHECK(identity_apply(id, &from, &e, &why) == E_DENIED);
    CHECK_STR(why.sqlstate, "28000");
    CHECK_STR(why.text, reason);
    varset_edit_drop(&e);
}

TEST(no_row_no_identity)
{
    struct identity *id = compile("[settings:other]\na.b = 1\n", "db", "joe");
    CHECK(id == NULL);
    CHECK(!identity_protects(id, "a.b") && !identity_uses_tags(id));
    CHECK(identity_ref(id) == NULL);
    identity_unref(&id);
}

TEST(the_narrowest_row_wins_in_any_order)
{
    static const char ini[] = "[settings:db/joe]\na.b = 4\n[settings:db]\na.b = 3\n"
                              "[settings:*/joe]\na.b = 2\n[settings]\na.b = 1\n"
                              "[settings:x]\na.b=5\n";
    static const struct {
        const char *database, *user, *value;
    } cases[] = {{"db", "joe", "4"}, {"db", "ann", "3"}, {"y", "joe", "2"}, {"y", "ann", "1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct identity *id = compile(ini, cases[i].database, cases[i].user);
        const struct varset *v = apply(id, (struct identity_sources){0});
        CHECK(varset_count(v) == 1);
        CHECK_STR(varset_get(v, "a.b"), cases[i].value);
        varset_unref(&v);
        identity_unref(&id);
    }
}

TEST(every_source_lands_in_its_value)
{
    struct identity *id =
        compile("[settings]\na.all = %{user}/%{database}/%{client_addr}:%{client_port}/"
                "%{application_name}/%{tls_cn}/%{startup:App.Id}/%{tag:t}/100%\n",
                "db", "joe");
    struct varset_edit e;
    varset_edit_begin(&e, varset_empty());
    varset_edit_set(&e, "app.id", "42");
    const struct varset *startup = varset_edit_end(&e);
    CHECK(identity_uses_tags(id));
    const struct varset *v = apply(id, (struct identity_sources){
                                           .user = "joe",
                                           .database = "db",
                                           .client_addr = "10.0.0.1",
                                           .client_port = 5000,
                                           .application_name = "psql",
                                           .tls_cn = "cn",
                                           .startup = startup,
                                           .text = BYTES("select 1 /*t='x'*/"),
                                       });
    CHECK_STR(varset_get(v, "a.all"), "joe/db/10.0.0.1:5000/psql/cn/42/x/100%");
    varset_unref(&v);
    varset_unref(&startup);
    identity_unref(&id);
}

TEST(a_missing_source_is_its_default_or_nothing)
{
    struct identity *id = compile("[settings]\na.x = %{tls_cn|none}\na.y = <%{tls_cn}>\n"
                                  "a.z = %{client_port|0}%{application_name|}\n",
                                  "db", "joe");
    const struct varset *v = apply(id, (struct identity_sources){.application_name = ""});
    CHECK_STR(varset_get(v, "a.x"), "none");
    CHECK_STR(varset_get(v, "a.y"), "<>");
    CHECK_STR(varset_get(v, "a.z"), "0");
    varset_unref(&v);
    identity_unref(&id);
}

TEST(a_required_source_that_is_missing_or_empty_is_a_refusal)
{
    struct identity *id = compile("[settings]\na.x! = %{startup:a.x}\n", "db", "joe");
    check_refused(id, (struct identity_sources){0}, "setting \"a.x\" is required");
    struct varset_edit e;
    varset_edit_begin(&e, varset_empty());
    varset_edit_set(&e, "a.x", "");
    const struct varset *startup = varset_edit_end(&e);
    check_refused(id, (struct identity_sources){.startup = startup}, "setting \"a.x\" is required");
    varset_unref(&startup);
    identity_unref(&id);
}

TEST(a_row_with_tags_waits_for_a_statement)
{
    struct identity *id = compile("[settings]\na.t! = %{tag:t}\na.u = %{user}\n", "db", "joe");
    const struct varset *v = apply(id, (struct identity_sources){.user = "joe"});
    CHECK(varset_get(v, "a.t") == NULL);
    CHECK_STR(varset_get(v, "a.u"), "joe");
    varset_unref(&v);
    check_refused(id, (struct identity_sources){.text = BYTES("select 1")},
                  "setting \"a.t\" is required");
    v = apply(id, (struct identity_sources){.text = BYTES("select 1 /*t='9'*/")});
    CHECK_STR(varset_get(v, "a.t"), "9");
    varset_unref(&v);
    identity_unref(&id);
}

TEST(a_row_protects_its_name_in_any_case)
{
    struct identity *id = compile("[settings]\nApp.Who = x\n", "db", "joe");
    CHECK(identity_protects(id, "app.who") && identity_protects(id, "APP.WHO"));
    CHECK(!identity_protects(id, "app.whom") && !identity_protects(id, ""));
    struct identity *second = identity_ref(id);
    identity_unref(&id);
    CHECK(identity_protects(second, "app.who"));
    identity_unref(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(no_row_no_identity),
        RUN(the_narrowest_row_wins_in_any_order),
        RUN(every_source_lands_in_its_value),
        RUN(a_missing_source_is_its_default_or_nothing),
        RUN(a_required_source_that_is_missing_or_empty_is_a_refusal),
        RUN(a_row_with_tags_waits_for_a_statement),
        RUN(a_row_protects_its_name_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
