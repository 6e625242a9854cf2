"""
The clinic of sql/: its files load, and load again, and hold what they promise on the server itself. What pgusher makes
of it (seats, cache, identity) is ./quickstart --check.
"""

import pathlib
import subprocess

import psycopg
import pytest

from harness.postgres import BIN

FILES = sorted((pathlib.Path(__file__).parents[2] / "sql").glob("[0-9]*.sql"))


def load(node, database):
    for file in FILES:
        run = subprocess.run([BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(node.port),
                              "-U", "postgres", "-d", database, "-f", file], capture_output=True, text=True)
        assert run.returncode == 0 and run.stderr == "", f"{file.name}: {run.stderr}"


@pytest.fixture(scope="module")
def clinic(cluster):
    node = cluster.primary
    node.execute("CREATE DATABASE clinic", dbname="postgres")
    load(node, "clinic")
    node.execute("VACUUM ANALYZE", dbname="clinic")
    yield node
    node.execute("DROP DATABASE clinic WITH (FORCE)", dbname="postgres")


@pytest.fixture
def as_role(clinic):
    """as_role(NAME, SETTING=VALUE...) asks as that role."""
    with clinic.connect("clinic") as c:
        def become(role, **settings):
            c.execute("RESET ROLE")
            for name in ("current_provider_id", "current_user_id", "client_ip"):
                c.execute("SELECT set_config(%s, %s, false)", (f"app.{name}", settings.get(name, "")))
            c.execute(f"SET ROLE {role}")
            return c

        yield become


def provider(clinic, number):
    return str(clinic.execute("SELECT id FROM providers WHERE number = %s", (number,), "clinic")[0][0])


def test_the_files_may_be_loaded_again(clinic):
    what = ("SELECT (SELECT count(*) FROM providers), (SELECT count(*) FROM patients), (SELECT count(*) FROM appointments),"
            " (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public'), (SELECT count(*) FROM pg_policy),"
            " (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),"
            " (SELECT string_agg(relname || relacl::text, ' ' ORDER BY relname) FROM pg_class WHERE relacl IS NOT NULL"
            "  AND relnamespace = 'public'::regnamespace)")
    before = clinic.execute(what, dbname="clinic")
    load(clinic, "clinic")
    assert clinic.execute(what, dbname="clinic") == before
    assert before[0][:3] == (200, 5000, 100000)


@pytest.mark.parametrize("index,sql", [
    ("appointments_provider_date", "SELECT starts_at, status FROM appointments WHERE provider_id = '{p}' AND starts_at >= "
                                   "'2026-01-01' AND starts_at < '2026-01-08' ORDER BY starts_at"),
    ("appointments_patient_date", "SELECT starts_at, status FROM appointments WHERE patient_id = '{p}' ORDER BY starts_at DESC"),
    ("appointments_upcoming", "SELECT starts_at FROM appointments WHERE provider_id = '{p}' AND starts_at >= now() "
                              "AND status IN ('scheduled', 'confirmed') ORDER BY starts_at"),
    ("provider_availabilities_slot", "SELECT start_time, end_time FROM provider_availabilities WHERE provider_id = '{p}' "
                                     "AND day_of_week = 2 ORDER BY start_time"),
    ("users_active", "SELECT last_name FROM users WHERE user_type = 'staff' AND is_active ORDER BY last_name, first_name"),
    ("users_login", "SELECT id, password_hash FROM users WHERE email = 'a@b'"),
    ("payments_pending", "SELECT appointment_id, amount FROM payments WHERE status = 'pending' ORDER BY due_on LIMIT 20"),
    ("patients_list", "SELECT number, last_name FROM patients ORDER BY last_name, first_name, id LIMIT 20"),
    ("providers_list", "SELECT number FROM providers WHERE facility_id = '{p}' AND specialty = 'Cardiology' AND is_active"),
])
def test_each_question_has_its_index(clinic, index, sql):
    with clinic.connect("clinic") as c:
        c.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in c.execute("EXPLAIN " + sql.format(p=provider(clinic, 7))))
    assert index in plan and "Sort" not in plan, plan


def test_a_provider_sees_the_own_patients_and_nobody_sees_nobody(clinic, as_role):
    seven = provider(clinic, 7)
    expected = clinic.execute("SELECT count(DISTINCT patient_id), count(*) FROM appointments WHERE provider_id = %s",
                              (seven,), "clinic")[0]
    count = "SELECT (SELECT count(*) FROM patients), (SELECT count(*) FROM appointments)"
    assert as_role("app_readwrite", current_provider_id=seven).execute(count).fetchone() == expected
    assert as_role("app_readwrite").execute(count).fetchone() == (0, 0)
    assert as_role("app_admin").execute(count).fetchone() == (5000, 100000)
    with clinic.connect("clinic") as c:  # the setting was never made
        c.execute("SET ROLE app_readonly")
        assert c.execute(count).fetchone() == (0, 0)


@pytest.mark.parametrize("role,sql", [
    ("app_readonly", "INSERT INTO modules VALUES (99, 'x', 'x', 99)"),
    ("app_readonly", "UPDATE users SET is_active = false"),
    ("app_readonly", "SELECT password_hash FROM users"),
    ("app_readonly", "SELECT * FROM user_sessions"),
    ("app_readwrite", "DELETE FROM users"),
    ("app_readwrite", "TRUNCATE users CASCADE"),
    ("app_readwrite", "DELETE FROM appointments"),
    ("app_readwrite", "SELECT * FROM audit_logs"),
    ("app_readwrite", "INSERT INTO audit_logs (db_user, operation, table_name) VALUES ('x', 'INSERT', 'x')"),
    ("app_readwrite", "SELECT refresh_appointment_statistics()"),
    ("app_admin", "UPDATE audit_logs SET user_id = NULL"),
    ("app_admin", "CREATE TABLE mine (i int)"),
])
def test_roles_may_not_do_more_than_they_need(as_role, role, sql):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(role).execute(sql)


def test_a_write_leaves_who_from_where_what_and_when(clinic, as_role):
    person = clinic.execute("SELECT user_id::text FROM providers WHERE number = 7", dbname="clinic")[0][0]
    c = as_role("app_readwrite", current_user_id=person, client_ip="192.0.2.7")
    c.execute("UPDATE users SET first_name = 'Audited' WHERE id = %s", (person,))
    row = clinic.execute("SELECT user_id, client_ip, operation, table_name, row_before->>'first_name' <> 'Audited',"
                         " row_after->>'first_name', row_after ? 'password_hash', at > now() - interval '1 minute'"
                         " FROM audit_logs ORDER BY id DESC LIMIT 1", dbname="clinic")[0]
    assert row == (person, "192.0.2.7", "UPDATE", "users", True, "Audited", False, True)


def test_statistics_refresh_while_they_are_read(clinic, as_role):
    with clinic.connect("clinic") as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM appointment_statistics").fetchone() == (200,)
        as_role("app_admin").execute("SELECT refresh_appointment_statistics()")  # would wait for the reader's lock
        assert reader.execute("SELECT sum(appointments) FROM appointment_statistics").fetchone() == (100000,)
