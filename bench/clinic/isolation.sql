-- Fails when a row of anybody but provider number :own is seen, or none at all.
--     PGOPTIONS="-c app.current_provider_id=<id of provider 7>" pgbench -n -D own=7 -f isolation.sql
-- Run it as two providers at once through one pool: that is the test.
SELECT count(*) FILTER (WHERE v.number <> :own::int) AS strangers, count(*) AS seen FROM (SELECT DISTINCT provider_id FROM appointments) a JOIN providers v ON v.id = a.provider_id \gset
\if :strangers <> 0 or :seen <> 1
-- a cast that fails, so that the client is aborted with this text
SELECT ('saw appointments of ' || :seen::int || ' providers, ' || :strangers::int || ' of them not the own one')::int;
\endif
