-- A provider's day, with the patients' names: two tables under row-level security. Reads only.
-- Who asks: PGOPTIONS='-c app.current_provider_id=…'
-- The bounds are cast to timestamptz: comparing it with a date isn't leakproof, so the server would look
-- at the time only after row-level security has looked at each row, instead of using both in one index.
\set day random(-200, 60)
SELECT a.id, a.starts_at, a.duration_minutes, a.status, p.number, p.last_name, p.first_name FROM appointments a JOIN patients p ON p.id = a.patient_id WHERE a.starts_at >= (current_date + :day::int)::timestamptz AND a.starts_at < (current_date + :day::int + 1)::timestamptz ORDER BY a.starts_at;
