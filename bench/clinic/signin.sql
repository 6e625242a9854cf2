-- Somebody signs in: the lookup, and a new session. A read, then a write.
\set provider random(1, 200)
SELECT u.id, u.password_hash, u.user_type FROM users u JOIN providers p ON p.user_id = u.id WHERE p.number = :provider;
INSERT INTO user_sessions (user_id, token_hash, client_ip, expires_at)
SELECT p.user_id, sha256(uuid_send(gen_random_uuid())), '10.20.30.40', now() + interval '12 hours'
FROM providers p WHERE p.number = :provider;
