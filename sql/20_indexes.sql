-- One index per question the application asks; the question stands above it.
--
-- INCLUDE columns make the list views index-only scans. They cost space, never order.

BEGIN;

SET LOCAL client_min_messages = warning;

-- A provider's day, week, month: WHERE provider_id = ? AND starts_at >= ? AND starts_at < ?
CREATE INDEX IF NOT EXISTS appointments_provider_date ON appointments (provider_id, starts_at)
    INCLUDE (patient_id, status, duration_minutes);

-- A patient's history, newest first.
CREATE INDEX IF NOT EXISTS appointments_patient_date ON appointments (patient_id, starts_at DESC)
    INCLUDE (provider_id, status, duration_minutes);

-- "Does this provider have an appointment with this patient?": asked by row-level security for every
-- row of patients (30_rls.sql).
CREATE INDEX IF NOT EXISTS appointments_provider_patient ON appointments (provider_id, patient_id);

-- Upcoming appointments. "Upcoming" means later than now, but the predicate of an index must be
-- immutable: evaluated once, when the row is written, it can't look at the clock. What is decided when
-- the row is written is its status: an appointment that took place, was missed or was called off leaves
-- 'scheduled' and 'confirmed', and thereby this index, which so holds what lies ahead plus the few of
-- today not closed yet. The clock is in the query, as a range on the index's second column:
--     WHERE provider_id = ? AND status IN ('scheduled', 'confirmed') AND starts_at >= now()
CREATE INDEX IF NOT EXISTS appointments_upcoming ON appointments (provider_id, starts_at)
    INCLUDE (patient_id, status, duration_minutes)
    WHERE status IN ('scheduled', 'confirmed');

-- No slot is given twice; a cancelled one is free again. Booking is INSERT … ON CONFLICT DO NOTHING.
CREATE UNIQUE INDEX IF NOT EXISTS appointments_one_per_slot ON appointments (provider_id, starts_at)
    WHERE status <> 'cancelled';

-- When does this provider work: WHERE provider_id = ? AND day_of_week = ? ORDER BY start_time
CREATE UNIQUE INDEX IF NOT EXISTS provider_availabilities_slot
    ON provider_availabilities (provider_id, day_of_week, start_time)
    INCLUDE (end_time, slot_minutes, facility_id);

-- Signing in: WHERE email = ?, answered from the index alone.
CREATE UNIQUE INDEX IF NOT EXISTS users_login ON users (email)
    INCLUDE (id, password_hash, user_type, is_active);

-- The list of active users by type.
CREATE INDEX IF NOT EXISTS users_active ON users (user_type, last_name, first_name)
    INCLUDE (id, email)
    WHERE is_active;

-- The session behind a request's token; a revoked one isn't found at all.
CREATE UNIQUE INDEX IF NOT EXISTS user_sessions_token ON user_sessions (token_hash)
    INCLUDE (user_id, expires_at)
    WHERE revoked_at IS NULL;

-- "Sign out everywhere", and the cascade from users; the sweep of the expired.
CREATE INDEX IF NOT EXISTS user_sessions_user ON user_sessions (user_id);
CREATE INDEX IF NOT EXISTS user_sessions_expiry ON user_sessions (expires_at);

-- The list of patients, page by page: ORDER BY last_name, first_name, id
CREATE INDEX IF NOT EXISTS patients_list ON patients (last_name, first_name, id)
    INCLUDE (number, date_of_birth);

-- A facility's providers by specialty.
CREATE INDEX IF NOT EXISTS providers_list ON providers (facility_id, specialty)
    INCLUDE (number, user_id)
    WHERE is_active;

-- What is still owed, the oldest first.
CREATE INDEX IF NOT EXISTS payments_pending ON payments (due_on)
    INCLUDE (appointment_id, amount)
    WHERE status = 'pending';

-- An appointment's payments: row-level security and the foreign key ask for it.
CREATE INDEX IF NOT EXISTS payments_appointment ON payments (appointment_id);

-- The menu, in the order it is drawn.
CREATE INDEX IF NOT EXISTS menus_module ON menus (module_id, position);
CREATE INDEX IF NOT EXISTS menus_parent ON menus (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS permissions_module ON permissions (module_id);
CREATE INDEX IF NOT EXISTS role_permissions_permission ON role_permissions (permission_id);

-- What happened to this row; what did this person do; what happened in this week. The last is the only
-- one asked over long ranges of a table that only grows: a block range index does it in a few pages.
CREATE INDEX IF NOT EXISTS audit_logs_row ON audit_logs (table_name, row_id, at);
CREATE INDEX IF NOT EXISTS audit_logs_user ON audit_logs (user_id, at);
CREATE INDEX IF NOT EXISTS audit_logs_at ON audit_logs USING brin (at);

COMMIT;
