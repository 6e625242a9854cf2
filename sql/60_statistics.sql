-- Appointment statistics per provider, computed once and read often.
--
-- The unique index is what REFRESH … CONCURRENTLY needs: it compares old and new rows by it, so that
-- readers are never locked out. Counts only, nothing about any patient: whoever may read the view sees
-- every provider's numbers, row-level security ends at a materialized view.

BEGIN;

SET LOCAL client_min_messages = warning;

-- Dropped rather than kept "if it exists": this file is the definition. It takes half a second.
DROP MATERIALIZED VIEW IF EXISTS appointment_statistics;
CREATE MATERIALIZED VIEW appointment_statistics AS
SELECT p.id                                                            AS provider_id,
       p.number                                                        AS provider_number,
       count(a.id)                                                     AS appointments,
       count(DISTINCT a.patient_id)                                    AS patients,
       count(*) FILTER (WHERE a.status IN ('scheduled', 'confirmed'))  AS open,
       count(*) FILTER (WHERE a.status = 'completed')                  AS completed,
       count(*) FILTER (WHERE a.status = 'cancelled')                  AS cancelled,
       count(*) FILTER (WHERE a.status = 'no_show')                    AS missed,
       round(100.0 * count(*) FILTER (WHERE a.status = 'no_show')
             / nullif(count(*) FILTER (WHERE a.status IN ('completed', 'no_show')), 0), 1)
                                                                       AS missed_percent,
       coalesce(sum(a.duration_minutes) FILTER (WHERE a.status = 'completed'), 0) AS minutes_worked,
       min(a.starts_at)                                                AS first_at,
       max(a.starts_at)                                                AS last_at
FROM providers p
LEFT JOIN appointments a ON a.provider_id = p.id
GROUP BY p.id, p.number;

CREATE UNIQUE INDEX appointment_statistics_provider ON appointment_statistics (provider_id);

GRANT SELECT ON appointment_statistics TO app_readonly;

-- Only an owner may refresh; this lends that right, and nothing else, to the office:
--     SELECT refresh_appointment_statistics();
CREATE OR REPLACE FUNCTION public.refresh_appointment_statistics() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.appointment_statistics;
$$;
REVOKE ALL ON FUNCTION public.refresh_appointment_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.refresh_appointment_statistics() TO app_admin;

COMMIT;
