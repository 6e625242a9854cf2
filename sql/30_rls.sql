-- Row-level security: a provider sees the appointments that are theirs, the patients they have one
-- with, and the payments for them. Who the provider is says the setting app.current_provider_id, which
-- pgusher sets from what the application said at login and which the client can't change afterwards.
--
-- Where it is not set, and where it is empty (what pgusher sets when the application named nobody, and
-- what PostgreSQL leaves behind after a SET LOCAL), nullif makes it NULL: nothing is equal to that, so
-- nothing is seen and nothing fails. Anything else that is not a uuid is an error, not an empty list.
--
-- The setting is read in the policy itself and not in a function of ours: the planner computes it once
-- per query and uses it as an index key, and pgusher can read from the policy which setting the answer
-- depends on, and puts it in the cache's key (rls = keyed).
--
-- Office staff, who see everyone, log in to a role of app_admin; its policies are in 50_roles.sql.
-- FORCE: without it the tables' owner would not be bound by any of this.

BEGIN;

ALTER TABLE appointments ENABLE ROW LEVEL SECURITY;
ALTER TABLE appointments FORCE ROW LEVEL SECURITY;
ALTER TABLE patients     ENABLE ROW LEVEL SECURITY;
ALTER TABLE patients     FORCE ROW LEVEL SECURITY;
ALTER TABLE payments     ENABLE ROW LEVEL SECURITY;
ALTER TABLE payments     FORCE ROW LEVEL SECURITY;

-- DROP POLICY IF EXISTS would say so each time there is none
SET LOCAL client_min_messages = warning;

-- USING serves as WITH CHECK too: what you may not see you may not write.
DROP POLICY IF EXISTS provider_owns ON appointments;
CREATE POLICY provider_owns ON appointments
    USING (provider_id = nullif(current_setting('app.current_provider_id', true), '')::uuid);

-- EXISTS, so that the planner may choose: one probe of (provider_id, patient_id) for a patient asked
-- for by key, one hashed list of the provider's patients for a scan.
DROP POLICY IF EXISTS provider_treats ON patients;
DROP POLICY IF EXISTS provider_treats_update ON patients;
DROP POLICY IF EXISTS known_user_registers ON patients;
CREATE POLICY provider_treats ON patients FOR SELECT
    USING (EXISTS (SELECT 1 FROM appointments a
                   WHERE a.patient_id = patients.id
                     AND a.provider_id = nullif(current_setting('app.current_provider_id', true), '')::uuid));
CREATE POLICY provider_treats_update ON patients FOR UPDATE
    USING (EXISTS (SELECT 1 FROM appointments a
                   WHERE a.patient_id = patients.id
                     AND a.provider_id = nullif(current_setting('app.current_provider_id', true), '')::uuid));
-- A patient is registered before their first appointment, when nobody treats them yet: for that it
-- takes a provider, any provider. (Registering two in one go with RETURNING takes app_admin.)
CREATE POLICY known_user_registers ON patients FOR INSERT
    WITH CHECK (nullif(current_setting('app.current_provider_id', true), '')::uuid IS NOT NULL);

DROP POLICY IF EXISTS provider_bills ON payments;
CREATE POLICY provider_bills ON payments
    USING (EXISTS (SELECT 1 FROM appointments a
                   WHERE a.id = payments.appointment_id
                     AND a.provider_id = nullif(current_setting('app.current_provider_id', true), '')::uuid));

COMMIT;
