-- The audit trail: who (app.current_user_id), from where (app.client_ip), what (operation, the row
-- before and after) and when, for every row changed in the tables below.
--
-- SECURITY DEFINER, because those who cause the rows may neither write nor read audit_logs; its
-- search_path is pinned, so that nobody can slip another audit_logs in front. Settings that were never
-- set read as NULL, empty ones too: a write is never refused for lack of a name. The row says so then.
--
-- The trigger's arguments name columns that stay out of the trail (secrets).

BEGIN;

CREATE OR REPLACE FUNCTION public.write_audit_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secrets text[] := TG_ARGV;          -- NULL when there are none
    before_ jsonb;
    after_  jsonb;
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        before_ := to_jsonb(OLD) - coalesce(secrets, '{}');
    END IF;
    IF TG_OP IN ('UPDATE', 'INSERT') THEN
        after_ := to_jsonb(NEW) - coalesce(secrets, '{}');
    END IF;
    INSERT INTO public.audit_logs
        (user_id, client_ip, db_user, operation, table_name, row_id, row_before, row_after)
    VALUES
        (nullif(current_setting('app.current_user_id', true), ''),
         nullif(current_setting('app.client_ip', true), ''),
         session_user, TG_OP, TG_TABLE_NAME,
         coalesce(after_ ->> 'id', before_ ->> 'id'), before_, after_);
    RETURN NULL;                        -- an AFTER trigger's result is not looked at
END
$$;
REVOKE ALL ON FUNCTION public.write_audit_log() FROM PUBLIC;

-- TRUNCATE shows no rows, but it does happen.
CREATE OR REPLACE FUNCTION public.write_truncate_log() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.audit_logs (user_id, client_ip, db_user, operation, table_name)
    VALUES (nullif(current_setting('app.current_user_id', true), ''),
            nullif(current_setting('app.client_ip', true), ''),
            session_user, TG_OP, TG_TABLE_NAME);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.write_truncate_log() FROM PUBLIC;

DO $$
DECLARE
    audited record;
BEGIN
    FOR audited IN
        SELECT * FROM (VALUES
            ('users', quote_literal('password_hash')), ('facilities', ''), ('providers', ''),
            ('patients', ''), ('provider_availabilities', ''), ('appointments', ''),
            ('payments', ''), ('permissions', ''), ('role_permissions', '')
        ) AS t (name, secrets)
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER write_audit_log '
                       'AFTER INSERT OR UPDATE OR DELETE ON public.%I '
                       'FOR EACH ROW EXECUTE FUNCTION public.write_audit_log(%s)',
                       audited.name, audited.secrets);
        EXECUTE format('CREATE OR REPLACE TRIGGER write_truncate_log AFTER TRUNCATE ON public.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION public.write_truncate_log()', audited.name);
    END LOOP;
END
$$;

-- Sessions: signing in, signing out and being thrown out are events, "seen again" is not. It happens on
-- every request and would drown the trail.
CREATE OR REPLACE TRIGGER write_audit_log AFTER INSERT OR DELETE OR UPDATE OF revoked_at ON public.user_sessions
    FOR EACH ROW EXECUTE FUNCTION public.write_audit_log('token_hash');

COMMIT;
