/* What SET, RESET, set_config() and their like are found to change. */
#include "unit.h"

#include "query/told.h"

static void check_told(const char *sql, const char *expected)
{
    char *told = tell_text(bytes_str(sql));
    if (strcmp(told, expected) != 0) { print_error("%s\n", sql); }
    CHECK_STR(told, expected);
    free(told);
}

TEST(a_value_is_told_as_set_config_would_take_it)
{
    check_told("SET App.Tenant = 'x''y'", "SET {app.tenant=x'y}");
    check_told("set session work_mem to '64MB'", "SET {work_mem=64MB}");
    check_told("set x to -5", "SET {x=-5}");
    check_told("set x to 1.50", "SET {x=1.50}");
    check_told("set x to -2.5e3", "SET {x=-2.5e3}");
    check_told("set x to 99999999999", "SET {x=99999999999}");
    check_told("set x to on", "SET {x=on}");
    check_told("set x to True", "SET {x=true}");
    check_told("set x to Warning", "SET {x=warning}");
    check_told("set x to ''", "SET {x=}");
    check_told("set local x to 1", "SET_LOCAL {local x=1}");
}

TEST(a_list_is_joined_and_identifiers_in_it_are_quoted_when_needed)
{
    check_told("set search_path to app, \"$user\", 'Mixed', public",
               "SET {list search_path=app, \"$user\", \"Mixed\", public}");
    check_told("set search_path = 'a, b'", "SET {search_path=\"a, b\"}");
    check_told("set schema 'app'", "SET {search_path=app}");
    check_told("set datestyle to iso, 'DMY'", "SET {list datestyle=iso, DMY}");
    check_told("set x to 'a b', 2", "SET {list x=a b, 2}");
}

TEST(a_time_zone_is_told_unless_it_is_an_interval)
{
    check_told("set time zone 'Europe/Rome'", "SET {timezone=Europe/Rome}");
    check_told("set time zone utc", "SET {timezone=utc}");
    check_told("set time zone -7", "SET {timezone=-7}");
    check_told("set time zone interval '-08:00' hour to minute", "SET SETTING {timezone}");
    check_told("set time zone local", "SET {resets timezone}");
    check_told("set local time zone default", "SET_LOCAL {resets local timezone}");
}

TEST(other_spellings_of_set_are_understood)
{
    check_told("set names 'latin1'", "SET {client_encoding=latin1}");
    check_told("set xml option document", "SET {xmloption=DOCUMENT}");
    check_told("set role admin", "SET SETTING {role=admin}");
    check_told("set local role admin", "SET_LOCAL {local role=admin}");
    check_told("set session authorization 'bob'", "SET SETTING {session_authorization=bob}");
    check_told("set session authorization default", "SET {resets session_authorization}");
    check_told("set x from current", "SET SETTING {x}");
    check_told("set x to default", "SET {resets x}");
}

TEST(reset_is_told_apart_from_reset_all)
{
    check_told("reset X", "RESET {resets x}");
    check_told("reset time zone", "RESET {resets timezone}");
    check_told("reset role", "RESET {resets role}");
    check_told("reset all", "RESET_ALL resets_all resets_last");
}

TEST(what_belongs_to_the_transaction_is_no_setting_of_the_session)
{
    check_told("set transaction read only", "SET_TRANSACTION");
    check_told("set transaction snapshot 'x'", "SET_TRANSACTION");
    check_told("set constraints all immediate", "SET_TRANSACTION");
    check_told("set transaction_isolation to 'serializable'",
               "SET_TRANSACTION {local transaction_isolation=serializable}");
}

TEST(session_characteristics_are_the_defaults_they_set)
{
    check_told(
        "set session characteristics as transaction isolation level repeatable read, read only",
        "SET_CHARACTERISTICS SETTING {default_transaction_isolation=repeatable read}"
        " {default_transaction_read_only=on}");
    check_told("set session characteristics as transaction not deferrable",
               "SET_CHARACTERISTICS SETTING {default_transaction_deferrable=off}");
}

TEST(set_config_is_told_as_far_as_its_arguments_are_constant)
{
    check_told("select set_config('A.b', 'v', false)",
               "SELECT reads_only fusible SETTING calls:set_config {called a.b=v}");
    check_told(
        "select pg_catalog.set_config('a.b'::text, $1::text, true)",
        "SELECT reads_only fusible params calls:pg_catalog.set_config {local called a.b=$1}");
    check_told("select set_config($1, $2, $3)",
               "SELECT reads_only fusible params SETTING calls:set_config {called $1=$2}");
    check_told("select set_config('a.b', null, false)",
               "SELECT reads_only fusible SETTING calls:set_config {resets called a.b}");
    check_told("select set_config('a.' || 'b', upper('x'), 't')",
               "SELECT reads_only fusible calls:set_config calls:upper {local called ?}");
    check_told("select set_config('a.b', '1.0'::int::text, false)",
               "SELECT reads_only fusible SETTING calls:set_config {called a.b}");
    check_told("select set_config(new_value => 'a', setting_name => 'b', is_local => true)",
               "SELECT reads_only fusible SETTING calls:set_config {called ?}");
    check_told("select mine.set_config('a', 'b', true)",
               "SELECT reads_only fusible SETTING calls:mine.set_config {called ?}");
}

TEST(readers_of_settings_are_told)
{
    check_told("show Search_Path", "SHOW reads_only fusible {reads search_path}");
    check_told("show all", "SHOW reads_only fusible {reads all}");
    check_told("show transaction isolation level",
               "SHOW reads_only fusible {reads transaction_isolation}");
    check_told("select current_setting('App.U', true)",
               "SELECT reads_only fusible calls:current_setting {reads called app.u}");
    check_told("select current_setting($1)",
               "SELECT reads_only fusible params calls:current_setting {reads called $1}");
    check_told("select current_setting(a) from t",
               "SELECT reads_only fusible reads:t calls:current_setting {reads called ?}");
}

TEST(an_update_of_pg_settings_may_change_any_setting)
{
    check_told("update pg_catalog.pg_settings set setting = 'x' where name = 'y'",
               "MODIFY fusible SETTING writes:pg_catalog.pg_settings {called ?}");
    check_told("with u as (update pg_settings set setting = 1 returning 1) table u",
               "SELECT fusible SETTING writes:pg_settings {called ?}");
}

TEST(settings_of_roles_databases_and_functions_are_seen)
{
    check_told("alter role bob set app.u = 'x'", "DDL writes_all {app.u=x}");
    check_told("alter database d reset app.u", "DDL writes_all {resets app.u}");
    check_told("alter system set work_mem = 1", "DDL writes_all {work_mem=1}");
    check_told("create function f() returns int language sql set app.u = 'x' as 'select 1'",
               "DDL writes_all body {app.u=x}");
    check_told("alter function f() set app.u = 'x'", "DDL writes_all {app.u=x}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(a_value_is_told_as_set_config_would_take_it),
        RUN(a_list_is_joined_and_identifiers_in_it_are_quoted_when_needed),
        RUN(a_time_zone_is_told_unless_it_is_an_interval),
        RUN(other_spellings_of_set_are_understood),
        RUN(reset_is_told_apart_from_reset_all),
        RUN(what_belongs_to_the_transaction_is_no_setting_of_the_session),
        RUN(session_characteristics_are_the_defaults_they_set),
        RUN(set_config_is_told_as_far_as_its_arguments_are_constant),
        RUN(readers_of_settings_are_told),
        RUN(an_update_of_pg_settings_may_change_any_setting),
        RUN(settings_of_roles_databases_and_functions_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
