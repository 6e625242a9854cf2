-- Believable data to try things on: 200 providers in 8 facilities, 5,000 patients, 100,000 appointments
-- from about eight months back to two and a half months ahead. The same every time it is loaded on the
-- same day (-v today=2026-01-31 fixes the day too). Does nothing where there are providers already.

SELECT EXISTS (SELECT 1 FROM providers) AS has_data \gset
\if :has_data
    \echo 90_data.sql: there are providers already, nothing to do
    \quit
\endif
\if :{?today}
\else
    SELECT current_date AS today \gset
\endif

BEGIN;

SET LOCAL timezone = 'UTC';

-- No triggers: this is nobody's change, so it isn't for the audit trail, which would take longer to write
-- than the data; and what is computed here refers to what is computed here.
SET LOCAL session_replication_role = replica;

SELECT setseed(0.42) \gset

-- ---------------------------------------------------------------- reference tables

INSERT INTO modules VALUES
    (1, 'calendar', 'Calendar', 1), (2, 'patients', 'Patients', 2), (3, 'billing', 'Billing', 3),
    (4, 'reports', 'Reports', 4), (5, 'staff', 'Staff', 5), (6, 'settings', 'Settings', 6);

INSERT INTO menus (id, module_id, parent_id, title, path, position) VALUES
    (1, 1, NULL, 'Calendar', '/calendar', 1),        (2, 1, 1, 'Today', '/calendar/today', 1),
    (3, 1, 1, 'Week', '/calendar/week', 2),          (4, 1, 1, 'Availability', '/calendar/availability', 3),
    (5, 2, NULL, 'Patients', '/patients', 2),        (6, 2, 5, 'Search', '/patients/search', 1),
    (7, 2, 5, 'Register', '/patients/new', 2),       (8, 3, NULL, 'Billing', '/billing', 3),
    (9, 3, 8, 'Pending payments', '/billing/pending', 1),
    (10, 3, 8, 'Refunds', '/billing/refunds', 2),    (11, 4, NULL, 'Reports', '/reports', 4),
    (12, 4, 11, 'Appointments', '/reports/appointments', 1),
    (13, 4, 11, 'Missed appointments', '/reports/missed', 2),
    (14, 5, NULL, 'Staff', '/staff', 5),             (15, 5, 14, 'Providers', '/staff/providers', 1),
    (16, 5, 14, 'Users', '/staff/users', 2),         (17, 6, NULL, 'Settings', '/settings', 6),
    (18, 6, 17, 'Facilities', '/settings/facilities', 1),
    (19, 6, 17, 'Audit', '/settings/audit', 2);

INSERT INTO permissions (id, module_id, code, title)
SELECT row_number() OVER (ORDER BY m.id, v.n), m.id, m.code || '.' || v.verb, v.title || ' ' || m.title
FROM modules m,
     (VALUES (1, 'view', 'View'), (2, 'create', 'Create'), (3, 'edit', 'Edit'), (4, 'delete', 'Delete'))
     AS v (n, verb, title);

INSERT INTO role_permissions (user_type, permission_id)
SELECT t.user_type, p.id
FROM permissions p
JOIN modules m ON m.id = p.module_id
JOIN (VALUES ('admin', '^.*$'), ('staff', '^(calendar|patients|billing)\.(view|create|edit)$|^reports\.view$'),
             ('provider', '^(calendar|patients)\.(view|create|edit)$|^(billing|reports)\.view$'),
             ('patient', '^calendar\.(view|create)$')) AS t (user_type, codes) ON p.code ~ t.codes;

-- ---------------------------------------------------------------- people

CREATE TEMPORARY TABLE first_names ON COMMIT DROP AS
SELECT n - 1 AS n, name FROM unnest(ARRAY[
    'Aaliyah', 'Adam', 'Amina', 'Anders', 'Anna', 'Arjun', 'Beatriz', 'Ben', 'Camille', 'Carlos', 'Chiara',
    'Clara', 'Daniel', 'David', 'Elena', 'Elif', 'Emil', 'Emma', 'Farah', 'Felix', 'Fiona', 'Grace', 'Hana',
    'Henrik', 'Ines', 'Ivan', 'Jakub', 'Jana', 'Jonas', 'Julia', 'Karim', 'Katarina', 'Lars', 'Laura',
    'Leila', 'Leon', 'Luca', 'Lucia', 'Magnus', 'Maria', 'Marta', 'Mateo', 'Mei', 'Mila', 'Milan', 'Nadia',
    'Nikolai', 'Nina', 'Noah', 'Nora', 'Oleg', 'Olivia', 'Omar', 'Oscar', 'Paula', 'Petra', 'Priya',
    'Rafael', 'Rosa', 'Samuel', 'Sara', 'Simon', 'Sofia', 'Stefan', 'Tara', 'Theo', 'Tomas', 'Vera',
    'Victor', 'Yara', 'Yusuf', 'Zoe']) WITH ORDINALITY AS t (name, n);

CREATE TEMPORARY TABLE last_names ON COMMIT DROP AS
SELECT n - 1 AS n, name FROM unnest(ARRAY[
    'Abe', 'Adeyemi', 'Alvarez', 'Andersson', 'Bakker', 'Becker', 'Bernard', 'Bianchi', 'Botha', 'Brandt',
    'Carvalho', 'Castillo', 'Chen', 'Costa', 'Dahl', 'Demir', 'Diaz', 'Dubois', 'Eriksen', 'Evans', 'Fernandez',
    'Ferrari', 'Fischer', 'Fontaine', 'Garcia', 'Gomez', 'Greco', 'Haddad', 'Hansen', 'Hoffmann', 'Horvat',
    'Hughes', 'Ibrahim', 'Ivanova', 'Jansen', 'Johansson', 'Kaya', 'Keller', 'Khan', 'Kim', 'Kovacs', 'Kowalski',
    'Kumar', 'Lambert', 'Larsen', 'Lee', 'Lopez', 'Marino', 'Martin', 'Mendes', 'Meyer', 'Moreau', 'Moretti',
    'Murphy', 'Nguyen', 'Novak', 'Nowak', 'Okafor', 'Olsen', 'Ortega', 'Papadopoulos', 'Patel', 'Petrov', 'Popescu',
    'Ramos', 'Ricci', 'Rossi', 'Roux', 'Sato', 'Schmidt', 'Schneider', 'Sharma', 'Silva', 'Singh', 'Sokolova',
    'Suzuki', 'Tanaka', 'Torres', 'Vargas', 'Visser', 'Wagner', 'Walsh', 'Weber', 'Wilson', 'Yilmaz', 'Zhang']
    ) WITH ORDINALITY AS t (name, n);

-- 20 in the office, 200 providers, and two patients in five, who use the portal. One in twenty-five has
-- left. An id is computed from what it is for, so that scripts can name one: md5 of 'provider-7'.
CREATE TEMPORARY TABLE people ON COMMIT DROP AS
SELECT k.kind, g.n, md5(k.kind || '-user-' || g.n)::uuid AS user_id,
       f.name AS first_name, l.name AS last_name
FROM (VALUES ('staff', 20), ('provider', 200), ('patient', 5000)) AS k (kind, amount)
CROSS JOIN LATERAL (SELECT n, floor(random() * 72)::int AS first, floor(random() * 86)::int AS last
                    FROM generate_series(1, k.amount) AS n) AS g
JOIN first_names f ON f.n = g.first
JOIN last_names l ON l.n = g.last;

INSERT INTO users (id, user_type, email, password_hash, first_name, last_name, is_active, created_at)
SELECT user_id, CASE WHEN kind = 'staff' AND n <= 2 THEN 'admin' ELSE kind END,
       lower(first_name || '.' || last_name || '.' || left(kind, 2) || n || '@'
             || CASE kind WHEN 'patient' THEN 'mail' ELSE 'clinic' END || '.example'),
       '$argon2id$v=19$m=65536,t=3,p=4$' || md5('salt-' || kind || n) || '$' || md5('hash-' || kind || n),
       first_name, last_name, n % 25 <> 24, :'today'::timestamptz - interval '1 day' * (250 + n % 900)
FROM people
WHERE kind <> 'patient' OR n % 5 IN (1, 3);

INSERT INTO user_sessions (id, user_id, token_hash, client_ip, created_at, last_seen_at, expires_at)
SELECT md5('session-' || id)::uuid, id, sha256(convert_to('token-' || id, 'UTF8')),
       ('10.20.' || ascii(last_name) || '.' || ascii(first_name))::inet,
       :'today'::timestamptz + interval '7 hours', :'today'::timestamptz + interval '8 hours',
       :'today'::timestamptz + interval '30 days'
FROM users
WHERE is_active AND user_type <> 'patient';

INSERT INTO facilities (id, name, city, timezone)
SELECT md5('facility-' || n)::uuid, name, city, 'UTC'
FROM (VALUES (1, 'Harbour Clinic', 'Porto'), (2, 'Linden Medical Centre', 'Leipzig'),
             (3, 'North Bridge Surgery', 'Leeds'), (4, 'San Telmo Health', 'Seville'),
             (5, 'Riverside Practice', 'Ghent'), (6, 'Old Mill Clinic', 'Brno'),
             (7, 'Station Square Medical', 'Turin'), (8, 'Fjord Health', 'Bergen')) AS t (n, name, city);

INSERT INTO providers (id, number, user_id, facility_id, specialty, is_active)
SELECT md5('provider-' || n)::uuid, n, user_id, md5('facility-' || n % 8 + 1)::uuid,
       (ARRAY['General practice', 'Paediatrics', 'Cardiology', 'Dermatology', 'Orthopaedics', 'Gynaecology',
              'Neurology', 'Ophthalmology', 'Psychiatry', 'Physiotherapy'])[n % 10 + 1], n % 25 <> 24
FROM people WHERE kind = 'provider';

INSERT INTO patients (id, number, user_id, first_name, last_name, date_of_birth, phone, created_at)
SELECT md5('patient-' || n)::uuid, n, CASE WHEN n % 5 IN (1, 3) THEN user_id END, first_name, last_name,
       :'today'::date - floor(random() * 92 * 365)::int,
       '+00 555 ' || lpad((n * 7919 % 1000000)::text, 6, '0'),
       :'today'::timestamptz - interval '1 day' * (250 + n % 900)
FROM people WHERE kind = 'patient';

-- ---------------------------------------------------------------- working hours: Monday to Friday, 8-12 and 13-17

INSERT INTO provider_availabilities (provider_id, facility_id, day_of_week, start_time, end_time, slot_minutes)
SELECT p.id, p.facility_id, day, half.starts, half.ends, 30
FROM providers p, generate_series(1, 5) AS day,
     (VALUES (time '08:00', time '12:00'), (time '13:00', time '17:00')) AS half (starts, ends)
ORDER BY p.number, day, half.starts;

-- ---------------------------------------------------------------- appointments
-- Sixteen slots a day, five days a week. A provider's 500 appointments are about one in seven of their
-- slots, in order, never two in one: number k lies in the seven slots from 7k on. 500 * 7 / 80 slots =
-- 44 weeks, 33 of them in the past. A provider's patients are the 250 numbers from 25 * provider on,
-- the first of them seen more often.

CREATE TEMPORARY TABLE drawn ON COMMIT DROP AS
SELECT p.n AS provider, k, 7 * k + floor(random() * 7)::int AS slot,
       (25 * p.n + floor(random() * random() * 250)::int) % 5000 + 1 AS patient,
       random() AS fate
FROM generate_series(1, 200) AS p (n), generate_series(0, 499) AS k;

INSERT INTO appointments (provider_id, patient_id, facility_id, starts_at, duration_minutes, status, reason,
                          created_at, updated_at)
SELECT md5('provider-' || provider)::uuid, md5('patient-' || patient)::uuid,
       md5('facility-' || provider % 8 + 1)::uuid, starts_at,
       CASE WHEN k % 5 = 0 THEN 20 ELSE 30 END,
       CASE WHEN starts_at < :'today'::timestamptz
            THEN CASE WHEN fate < 0.82 THEN 'completed' WHEN fate < 0.93 THEN 'cancelled' ELSE 'no_show' END
            ELSE CASE WHEN fate < 0.60 THEN 'scheduled' WHEN fate < 0.93 THEN 'confirmed' ELSE 'cancelled' END
       END,
       (ARRAY['Check-up', 'Follow-up', 'New complaint', 'Test results', 'Vaccination', 'Prescription',
              'Referral', NULL])[floor(fate * 100)::int % 8 + 1],
       starts_at - interval '1 day' * (3 + k % 40), starts_at - interval '1 day' * (1 + k % 3)
FROM drawn,
     LATERAL (SELECT date_trunc('week', :'today'::timestamptz) - interval '33 weeks'
                     + interval '1 week' * (slot / 80) + interval '1 day' * (slot / 16 % 5)
                     + interval '30 minutes' * (16 + slot % 16 + CASE WHEN slot % 16 >= 8 THEN 2 ELSE 0 END)
                     AS starts_at) AS t
ORDER BY starts_at, provider;

-- ---------------------------------------------------------------- payments: half of what was completed
-- (the insurer pays the rest by the quarter); of the last month, one in four is still open.

INSERT INTO payments (appointment_id, amount, method, status, due_on, paid_at)
SELECT id, 20 + 5 * (id % 17), (ARRAY['card', 'card', 'insurance', 'cash', 'transfer'])[id % 5 + 1],
       status, due_on, CASE WHEN status IN ('paid', 'refunded') THEN due_on - interval '10 days' END
FROM (SELECT id, (starts_at + interval '14 days')::date AS due_on,
             CASE WHEN id % 97 = 0 THEN 'refunded' WHEN id % 89 = 0 THEN 'failed'
                  WHEN starts_at > :'today'::timestamptz - interval '30 days' AND id % 8 < 2 THEN 'pending'
                  ELSE 'paid' END AS status
      FROM appointments
      WHERE status = 'completed' AND id % 2 = 0) AS t
ORDER BY id;

COMMIT;

-- ANALYZE for the planner, and VACUUM for the visibility map, without which nothing is index-only.
VACUUM (ANALYZE);
REFRESH MATERIALIZED VIEW appointment_statistics;
