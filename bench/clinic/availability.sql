-- "When does this doctor work on Tuesdays?" 1,000 different answers. Cacheable ([cache:availability]).
\set provider random(1, 200)
\set day random(1, 5)
SELECT a.start_time, a.end_time, a.slot_minutes FROM provider_availabilities a JOIN providers p ON p.id = a.provider_id WHERE p.number = :provider AND a.day_of_week = :day ORDER BY a.start_time;
