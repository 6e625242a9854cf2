-- The list of patients, a page of 20 somewhere in it. Reads only.
-- Who asks: PGOPTIONS='-c app.current_provider_id=…'
\set page random(0, 5)
SELECT number, last_name, first_name, date_of_birth FROM patients ORDER BY last_name, first_name, id LIMIT 20 OFFSET 20 * :page;
