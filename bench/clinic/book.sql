-- Books a slot in the next months for a random patient, if it is free, and bills it: one transaction.
-- Who asks: PGOPTIONS='-c app.current_provider_id=… -c app.current_user_id=…'
\set patient random(1, 5000)
\set slot random(1, 4000)
BEGIN;
INSERT INTO appointments (provider_id, patient_id, facility_id, starts_at, reason) SELECT v.id, md5('patient-' || :patient::int)::uuid, v.facility_id, (current_date + 90)::timestamptz + interval '30 minutes' * :slot::int, 'Check-up' FROM providers v WHERE v.id = current_setting('app.current_provider_id')::uuid ON CONFLICT DO NOTHING;
INSERT INTO payments (appointment_id, amount, method, due_on) SELECT a.id, 40, 'card', current_date + 104 FROM appointments a WHERE a.starts_at = (current_date + 90)::timestamptz + interval '30 minutes' * :slot::int AND a.status = 'scheduled' LIMIT 1;
COMMIT;
