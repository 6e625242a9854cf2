-- Roles, least privilege first.
--
--   app_readonly   reads what the application shows; not password hashes, session tokens, the trail
--   app_readwrite  app_readonly, and writes what the application writes. Never deletes users (they are
--                  deactivated: the trail names them), appointments (cancelled) or payments (refunded)
--   app_admin      app_readwrite, and the reference tables, deletion, all rows, and reading the trail.
--                  Nobody writes the trail: only its trigger does
--
-- Login roles are made when psql is given their password; without it they are left alone:
--   -v app_password=…      app           in app_readwrite: the application
--   -v admin_password=…    clinic_admin  in app_admin: the office
--   -v monitor_password=…  pgusher       in pg_monitor: pgusher's own probes, reads no table of ours
-- They are kept as SCRAM-SHA-256 secrets; those of pg_authid are what pgusher's auth_file holds.

BEGIN;

SET LOCAL client_min_messages = warning;    -- no notice for what is so already

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['app_readonly', 'app_readwrite', 'app_admin']
    LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', name);
        END IF;
        EXECUTE format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', name);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

-- Start from nothing, so that a right taken out of this file is gone after the next run.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, app_readonly, app_readwrite, app_admin;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, app_readonly, app_readwrite, app_admin;
-- Revoking a table's rights leaves its columns' rights standing only where they were granted
-- separately: these are.
REVOKE ALL (id, user_type, email, first_name, last_name, is_active, created_at, updated_at) ON users
    FROM app_readonly;

GRANT USAGE ON SCHEMA public TO app_readonly;

-- ---------------------------------------------------------------- app_readonly
GRANT SELECT ON modules, menus, permissions, role_permissions, facilities, providers, patients,
    provider_availabilities, appointments, payments TO app_readonly;
GRANT SELECT (id, user_type, email, first_name, last_name, is_active, created_at, updated_at) ON users
    TO app_readonly;

-- ---------------------------------------------------------------- app_readwrite
GRANT app_readonly TO app_readwrite;
GRANT SELECT, INSERT, UPDATE ON users, patients, appointments, payments TO app_readwrite;
GRANT SELECT, INSERT, UPDATE, DELETE ON user_sessions, provider_availabilities TO app_readwrite;
GRANT UPDATE ON providers TO app_readwrite;

-- ---------------------------------------------------------------- app_admin
GRANT app_readwrite TO app_admin;
GRANT INSERT, UPDATE, DELETE ON modules, menus, permissions, role_permissions, facilities, providers,
    users, patients, appointments, payments TO app_admin;
GRANT SELECT ON audit_logs TO app_admin;

DROP POLICY IF EXISTS office_sees_all ON appointments;
DROP POLICY IF EXISTS office_sees_all ON patients;
DROP POLICY IF EXISTS office_sees_all ON payments;
CREATE POLICY office_sees_all ON appointments TO app_admin USING (true);
CREATE POLICY office_sees_all ON patients TO app_admin USING (true);
CREATE POLICY office_sees_all ON payments TO app_admin USING (true);

-- ---------------------------------------------------------------- login roles
-- No password in the server's log, whatever log_statement says; only the superuser may ask for that.
SELECT current_setting('is_superuser')::boolean AS may_silence \gset
\if :may_silence
    SET LOCAL log_statement = 'none';
    SET LOCAL log_min_duration_statement = -1;
    SET LOCAL log_min_error_statement = 'panic';
\endif
SET LOCAL password_encryption = 'scram-sha-256';

\if :{?app_password}
    SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'app') AS missing \gset
    \if :missing
        CREATE ROLE app;
    \endif
    ALTER ROLE app LOGIN PASSWORD :'app_password';
    GRANT app_readwrite TO app;
\endif

\if :{?admin_password}
    SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'clinic_admin') AS missing \gset
    \if :missing
        CREATE ROLE clinic_admin;
    \endif
    ALTER ROLE clinic_admin LOGIN PASSWORD :'admin_password';
    GRANT app_admin TO clinic_admin;
\endif

\if :{?monitor_password}
    SELECT NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'pgusher') AS missing \gset
    \if :missing
        CREATE ROLE pgusher;
    \endif
    ALTER ROLE pgusher LOGIN PASSWORD :'monitor_password';
    GRANT pg_monitor TO pgusher;
    SELECT format('GRANT CONNECT ON DATABASE %I TO pgusher', current_database()) \gexec
\endif

COMMIT;
