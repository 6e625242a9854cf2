# shellcheck shell=bash
# The claims that tour.sh checks, a function each. It prints what it found and fails when the claim is
# false; run under `set -e`, so that the first surprise ends it.

# ---------------------------------------------------------------- logging in

wrong_password_is_refused()
{
    local answer
    equal "the right password" "$(app -c 'SELECT 1')" 1
    answer=$(proxied app "not-$APP_PASSWORD" clinic -c 'SELECT 1' 2>&1) && { printf 'it was let in\n'; return 1; }
    contains "psql's answer" "$answer" 'authentication failed'
}

no_password_is_stored()
{
    local stored
    stored=$(as_server cat "$LIB_TMP/userlist.txt" "$LIB_TMP/pgusher.ini")
    equal "entries that are not SCRAM secrets" "$(as_server grep -c -v '" "SCRAM-SHA-256\$' "$LIB_TMP/userlist.txt" || true)" 0
    if [[ $stored == *"$APP_PASSWORD"* ]]; then printf 'the password is in the files\n'; return 1; fi
    # and the node did ask for one
    equal "the node's demand of TCP" "$(super "$PRIMARY_PORT" -c "SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE type = 'host'")" scram-sha-256
    equal "who the node says it is" "$(app -c 'SELECT session_user')" app
}

# ---------------------------------------------------------------- the right seat

read_on_replica()
{
    local mark
    mark=$(new_mark)
    equal "facilities" "$(app -c "SELECT count(*) AS $mark FROM facilities")" 8
    landed "$mark" replica
}

# seats_in_mode simple|extended|prepared. First the reads: who has just written may have to read on the
# primary, until a replica has caught up.
seats_in_mode()
{
    local read write script=$LIB_TMP/seats.sql
    read=$(new_mark); write=$(new_mark)
    printf 'SELECT count(*) AS %s FROM facilities;\n' "$read" > "$script"
    pgbench_app -c 2 -t 25 -M "$1" -f "$script"
    equal "reads on the primary, on replicas" "$(runs "$read" primary) $(runs "$read" replica1 replica2)" '0 50'
    printf '%s\n' "UPDATE users SET is_active = is_active WHERE id = '${PROVIDER_USER[8]}' RETURNING 1 AS $write;" > "$script"
    pgbench_app -c 1 -t 25 -M "$1" -f "$script"
    equal "writes on the primary, on replicas" "$(runs "$write" primary) $(runs "$write" replica1 replica2)" '25 0'
}

write_on_primary()
{
    local mark
    mark=$(new_mark)
    equal "rows" "$(app -c "UPDATE users SET is_active = is_active WHERE id = '${PROVIDER_USER[7]}' RETURNING 1 AS $mark")" 1
    landed "$mark" primary
}

doubt_on_primary()
{
    local mark sql
    for sql in "SELECT id AS @ FROM users ORDER BY id LIMIT 1 FOR UPDATE" \
               "WITH w AS (UPDATE users SET is_active = is_active WHERE id = '${PROVIDER_USER[7]}' RETURNING 1) SELECT count(*) AS @ FROM w" \
               "SELECT random() AS @, pg_current_xact_id()" \
               "SELECT pg_is_in_recovery() AS @, count(*) FROM facilities"; do
        mark=$(new_mark)
        app -c "${sql//@/$mark}" > /dev/null
        landed "$mark" primary || { printf 'statement: %s\n' "$sql"; return 1; }
    done
}

transactions_as_declared()
{
    local mark
    mark=$(new_mark)
    app -c "BEGIN READ ONLY" -c "SELECT count(*) AS $mark FROM facilities" -c COMMIT > /dev/null
    landed "$mark" replica
    mark=$(new_mark)
    app -c "BEGIN" -c "SELECT count(*) AS $mark FROM facilities" -c COMMIT > /dev/null
    landed "$mark" primary
}

own_write_is_read()
{
    # Replicas that replay nothing make it sure: whoever reads there, reads the past.
    local port round mark answer status=0
    for port in "$REPLICA1_PORT" "$REPLICA2_PORT"; do super "$port" -c 'SELECT pg_wal_replay_pause()' > /dev/null; done
    for round in 11 12 13; do
        mark=$(new_mark)
        answer=$(app -c "UPDATE users SET first_name = 'Round $round' WHERE id = '${PROVIDER_USER[9]}'" \
                     -c "SELECT first_name AS $mark FROM users WHERE id = '${PROVIDER_USER[9]}'")
        equal "read after the write" "$answer" "Round $round" || status=1
    done
    answer=$(super "$REPLICA1_PORT" -d clinic -c "SELECT first_name FROM users WHERE id = '${PROVIDER_USER[9]}'")
    for port in "$REPLICA1_PORT" "$REPLICA2_PORT"; do super "$port" -c 'SELECT pg_wal_replay_resume()' > /dev/null; done
    if [ "$answer" = 'Round 13' ]; then printf 'the replica was not behind: nothing is proven\n'; status=1; fi
    wait_for_replay "$PRIMARY_PORT" "$REPLICA1_PORT" "$REPLICA2_PORT"
    return "$status"
}

# ---------------------------------------------------------------- the cache

# cached_read [SPARE]: ten times the same. One reaches a node, plus SPARE where an answer may be lost:
# Redis has a few milliseconds to keep it and to give it back, and is not waited for.
cached_read()
{
    local mark sql first round
    mark=$(new_mark)
    sql="SELECT n.path AS $mark, m.title FROM modules m JOIN menus n ON n.module_id = m.id ORDER BY n.id"
    first=$(app -c "$sql")
    equal "runs after the first" "$(runs "$mark" "${TOUR_NODES[@]}")" 1
    for round in {2..10}; do equal "answer $round" "$(app -c "$sql")" "$first"; done
    at_most "runs after ten" "$(runs "$mark" "${TOUR_NODES[@]}")" $((1 + ${1:-0}))
    equal "the node's own answer" "$(truth "$sql")" "$first"
}

cached_read_in_mode()   # cached_read_in_mode simple|extended|prepared
{
    local mark script=$LIB_TMP/cached.sql
    mark=$(new_mark)
    printf '\\set module random(1, 2)\nSELECT path AS %s FROM menus WHERE module_id = :module::int ORDER BY id;\n' "$mark" > "$script"
    pgbench_app -c 4 -t 250 -M "$1" -f "$script"
    at_least "runs on nodes" "$(runs "$mark" "${TOUR_NODES[@]}")" 1
    # two texts or parameters; each of four clients may have been first
    at_most "runs on nodes of 1000" "$(runs "$mark" "${TOUR_NODES[@]}")" 8
}

cache_follows_writes()   # cache_follows_writes [SPARE]
{
    local mark sql minutes
    mark=$(new_mark)
    sql="SELECT slot_minutes AS $mark FROM provider_availabilities WHERE id = 5"
    for minutes in 15 20 25 30; do
        app -c "UPDATE provider_availabilities SET slot_minutes = $minutes WHERE id = 5"
        equal "read after the write" "$(app -c "$sql")" "$minutes"
        equal "read again" "$(app -c "$sql")" "$minutes"
    done
    at_most "runs of 8 reads" "$(runs "$mark" "${TOUR_NODES[@]}")" $((4 + ${1:-0}))
}

cache_keeps_roles_apart()
{
    # The answer an administrator got must not be given to one who may not ask.
    local mark sql answer round before
    mark=$(new_mark)
    sql="SELECT title AS $mark FROM modules ORDER BY id"
    for round in 1 2 3 4; do office -c "$sql" > /dev/null; done
    before=$(runs "$mark" "${TOUR_NODES[@]}")
    at_most "runs of 4 reads" "$before" 3
    app -c "$sql" > /dev/null
    equal "runs more with another role" $(($(runs "$mark" "${TOUR_NODES[@]}") - before)) 1
    answer=$(proxied pgusher "$MONITOR_PASSWORD" clinic -c "$sql" 2>&1) && { printf 'no right to read, but an answer\n'; return 1; }
    contains "the answer to one without rights" "$answer" 'modules'
}

cache_is_filled_by_anyone()
{
    # Each comes with settings that the server connection didn't have before.
    local mark sql round
    mark=$(new_mark)
    sql="SELECT code AS $mark FROM permissions ORDER BY id"
    for round in 1 2 3 4; do
        as_provider 7 app -c "$sql" > /dev/null
        as_provider 8 app -c "$sql" > /dev/null
    done
    at_most "runs of 8 reads by 2 people" "$(runs "$mark" "${TOUR_NODES[@]}")" 2
}

cache_stays_out_of_transactions()
{
    local mark sql
    mark=$(new_mark)
    sql="SELECT title AS $mark FROM modules WHERE id = 6"
    app -c "$sql" > /dev/null
    equal "own uncommitted write" "$(office -c BEGIN -c "UPDATE modules SET title = 'Changed' WHERE id = 6" -c "$sql" -c ROLLBACK)" Changed
    equal "after the rollback" "$(app -c "$sql")" Settings
}

# ---------------------------------------------------------------- identity

two_providers_one_server()
{
    # In transactions, so that all are on the primary; in turn, so that a server freed by one serves the next.
    local mark7 mark8 mark0 round rows shared expected7 expected8
    mark7=$(new_mark); mark8=$(new_mark); mark0=$(new_mark)
    expected7=$(truth "SELECT count(DISTINCT patient_id) FROM appointments WHERE provider_id = '${PROVIDER[7]}'")
    expected8=$(truth "SELECT count(DISTINCT patient_id) FROM appointments WHERE provider_id = '${PROVIDER[8]}'")
    if [ "$(patients_of 7 first)" = "$(patients_of 8 first)" ]; then printf 'both see the same patients\n'; return 1; fi
    for round in {1..10}; do
        equal "patients of 7, round $round" "$(patients_of 7 "$mark7")" "$expected7"
        equal "patients of 8, round $round" "$(patients_of 8 "$mark8")" "$expected8"
        rows=$(app -c BEGIN -c "SELECT count(*) AS $mark0 FROM patients" -c COMMIT)
        equal "patients of nobody, round $round" "$rows" 0
    done
    shared=$(comm -12 <(comm -12 <(servers_of "$mark7") <(servers_of "$mark8")) <(servers_of "$mark0") | wc -l)
    at_least "server connections that served 7, 8 and nobody" "$shared" 1
}

patients_of() { as_provider "$1" app -c BEGIN -c "SELECT count(*) AS $2 FROM patients" -c COMMIT; }

identity_is_protected()
{
    local sql answer
    for sql in "SET app.current_provider_id = '${PROVIDER[8]}'" "SET LOCAL app.current_provider_id = '${PROVIDER[8]}'" \
               "RESET app.current_provider_id" "SELECT set_config('app.current_provider_id', '${PROVIDER[8]}', false)" \
               "SET app.client_ip = '10.0.0.1'"; do
        answer=$(as_provider 7 app -v VERBOSITY=sqlstate -c "$sql" 2>&1) && { printf 'allowed: %s\n' "$sql"; return 1; }
        contains "$sql" "$answer" 42501
    done
    # and what a client says at login about where it comes from is refused or ignored, not believed
    answer=$(PGOPTIONS='-c app.client_ip=10.0.0.1' app -v VERBOSITY=sqlstate -c 'SHOW app.client_ip' 2>&1) || answer="refused: $answer"
    case $answer in 127.0.0.1 | refused*) ;; *) printf 'app.client_ip: %s\n' "$answer"; return 1 ;; esac
    # the connection that was refused something still works, and still is who it was
    equal "after a refusal" "$(as_provider 7 app -v ON_ERROR_STOP=0 -c "SET app.current_provider_id = ''" -c 'SHOW app.current_provider_id' 2> /dev/null)" "${PROVIDER[7]}"
}

audit_names_the_person()
{
    local mark row
    mark=$(new_mark)
    as_provider 7 app -c "UPDATE users SET first_name = '$mark' WHERE id = '${PROVIDER_USER[7]}'"
    row=$(office -F ' ' -c "SELECT user_id, client_ip, db_user, operation, table_name FROM audit_logs WHERE row_after->>'first_name' = '$mark'")
    equal "the audit row" "$row" "${PROVIDER_USER[7]} 127.0.0.1 app UPDATE users"
    row=$(truth "SELECT row_before->>'first_name' <> '$mark' AND NOT row_after ? 'password_hash' FROM audit_logs WHERE row_after->>'first_name' = '$mark'")
    equal "before differs, no secret inside" "$row" t
    # nobody named: the write goes through, and the row does not name the one before
    mark=$(new_mark)
    app -c "UPDATE users SET first_name = '$mark' WHERE id = '${PROVIDER_USER[7]}'"
    row=$(office -F ' ' -P null=nobody -c "SELECT user_id, client_ip FROM audit_logs WHERE row_after->>'first_name' = '$mark'")
    equal "the audit row of nobody" "$row" "nobody 127.0.0.1"
}

# ---------------------------------------------------------------- transparent, bounded

session_state_is_kept_apart()
{
    equal "own SET" "$(app -c "SET work_mem = '7777kB'" -c 'SELECT 1' -c 'SHOW work_mem')" "$(printf '1\n7777kB')"
    equal "the next client's" "$(app -c 'SHOW work_mem')" "$(super "$PRIMARY_PORT" -c 'SHOW work_mem')"
}

copy_both_ways()
{
    local lines
    lines=$(office -c 'COPY (SELECT id, provider_id, starts_at, status FROM appointments) TO STDOUT' | wc -l)
    at_least "rows copied out" "$lines" 100000
    seq 1001 2000 | sed 's/.*/&\tmodule-&\tModule &\t&/' | office -c 'COPY modules FROM STDIN'
    equal "rows copied in" "$(truth 'SELECT count(*) FROM modules WHERE id > 1000')" 1000
    equal "rows deleted" "$(office -c 'WITH d AS (DELETE FROM modules WHERE id > 1000 RETURNING 1) SELECT count(*) FROM d')" 1000
}

big_row_is_streamed()
{
    local before after bytes
    before=$(awk '/^VmHWM/ {print $2}' "/proc/$PGUSHER_PID/status")
    bytes=$(app -c "SELECT repeat('x', 50000000)" | wc -c)
    after=$(awk '/^VmHWM/ {print $2}' "/proc/$PGUSHER_PID/status")
    equal "bytes" "$bytes" 50000001
    at_most "kB more at pgusher's peak" $((after - before)) 4096
}

abandoned_query_ends()
{
    local mark pid tries
    mark=$(new_mark)
    PGPASSWORD=$APP_PASSWORD "$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U app -d clinic -c "SELECT pg_sleep(60) AS $mark" > /dev/null 2>&1 &
    pid=$!
    for tries in {1..50}; do [ "$(sleeping "$mark")" -ge 1 ] && break; sleep 0.1; done
    equal "queries that run" "$(sleeping "$mark")" 1
    kill -KILL "$pid"
    for tries in {1..50}; do [ "$(sleeping "$mark")" -eq 0 ] && return 0; sleep 0.1; done
    printf 'still running after %s tries\n' "$tries"
    return 1
}

cancel_ends_the_query()
{
    local mark started=$SECONDS answer
    mark=$(new_mark)
    # SIGINT makes psql send a cancel request over a connection of its own
    answer=$(PGPASSWORD=$APP_PASSWORD timeout -s INT 1 "$PG_BIN/psql" -X -q -h 127.0.0.1 -p "$PORT" -U app -d clinic -c "SELECT pg_sleep(20) AS $mark" 2>&1 || true)
    contains "psql's answer" "$answer" 'canceling statement due to user request'
    at_most "seconds" $((SECONDS - started)) 5
    equal "queries that still run" "$(sleeping "$mark")" 0
}

sleeping()
{
    local port total=0
    for port in "$PRIMARY_PORT" "$REPLICA1_PORT" "$REPLICA2_PORT"; do
        total=$((total + $(super "$port" -c "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS $1'")))
    done
    printf %s "$total"
}

# pgbench_app ARGUMENT...: fails unless pgbench finished with nothing failed.
pgbench_app()
{
    local output
    output=$(PGPASSWORD=$APP_PASSWORD timeout 120 "$PG_BIN/pgbench" -n -h 127.0.0.1 -p "$PORT" -U app "$@" clinic 2>&1) \
        || { tail -n 15 <<< "$output"; return 1; }
    grep -q '^number of failed transactions: 0 ' <<< "$output" || { tail -n 15 <<< "$output"; return 1; }
    if grep -q -i -E 'aborted|error' <<< "$output"; then tail -n 15 <<< "$output"; return 1; fi
}

clinic_load()   # clinic_load simple|extended|prepared: all scripts, and two providers at once
{
    local script scripts=() last errors pid rows status=0
    for script in bench/clinic/*.sql; do
        case $script in */isolation.sql) ;; *) scripts+=(-f "$script") ;; esac
    done
    errors=$(cat "$LIB_TMP"/{primary,replica1,replica2}.log | grep -c -E 'app@clinic (ERROR|FATAL)' || true)
    last=$(truth 'SELECT coalesce(max(id), 0) FROM audit_logs')
    as_provider 12 pgbench_app -M "$1" -c 4 -T 3 -D own=12 -f bench/clinic/isolation.sql &
    pid=$!
    as_provider 11 pgbench_app -M "$1" -c 8 -j 2 -T 3 -D own=11 "${scripts[@]}" -f bench/clinic/isolation.sql || status=1
    wait "$pid" || status=1
    rows=$(truth "SELECT count(*) FROM audit_logs WHERE id > $last")
    at_least "writes in the audit trail" "$rows" 10 || status=1
    rows=$(truth "SELECT count(*) FROM audit_logs WHERE id > $last
        AND (user_id, client_ip) IS DISTINCT FROM ('${PROVIDER_USER[11]}', '127.0.0.1')")
    equal "writes of anybody else" "$rows" 0 || status=1
    equal "errors on the nodes" "$(cat "$LIB_TMP"/{primary,replica1,replica2}.log | grep -c -E 'app@clinic (ERROR|FATAL)' || true)" "$errors" || status=1
    return "$status"
}

pool_limit_holds()
{
    local pid port most=0 now
    as_provider 7 pgbench_app -c 40 -j 2 -T 3 -f bench/clinic/book.sql -f bench/clinic/day.sql &
    pid=$!
    while alive "$pid"; do
        for port in "$PRIMARY_PORT" "$REPLICA1_PORT" "$REPLICA2_PORT"; do
            now=$(super "$port" -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
            if [ "$now" -gt "$most" ]; then most=$now; fi
        done
    done
    wait "$pid"
    at_least "server connections of 40 clients" "$most" 2
    at_most "server connections of 40 clients" "$most" 10
}

# ---------------------------------------------------------------- what is printed to be tried

# tried NUMBER: the output of the commands that explain() prints below that number.
tried() { explain | sed -n "/^  $1\\./,/^\$/s/^     //p" | PSQLRC=/dev/null bash 2>&1; }

things_to_try()
{
    local output before
    output=$(tried 1)
    contains "1" "$output" 'primary.log:0'
    contains "1" "$output" 'log:1'
    contains "2" "$(tried 2)" "$PRIMARY_PORT"
    before=$(tried 3)
    contains "3" "$before" /calendar
    equal "3, again" "$(tried 3)" "$before"
    output=$(tried 4 | grep '|' | grep -v count)
    equal "4, rows, different ones" "$(wc -l <<< "$output") $(sort -u <<< "$output" | wc -l)" '3 3'
    contains "4, nobody" "$output" ' 0 |'
    output=$(tried 5)
    contains "5, who" "$output" "${PROVIDER_USER[7]}"
    contains "5, where and what" "$output" '127.0.0.1 | UPDATE    | provider_availabilities'
}

# ---------------------------------------------------------------- operators

console_answers()
{
    local command
    for command in 'SHOW POOLS' 'SHOW CLIENTS' 'SHOW SERVERS' 'SHOW DATABASES' 'SHOW USERS' 'SHOW STATS' \
                   'SHOW CONFIG' 'SHOW LISTS' 'SHOW CACHE'; do
        at_least "rows of $command" "$(console -c "$command" | wc -l)" 1
    done
    contains "SHOW VERSION" "$(console -c 'SHOW VERSION')" PgBouncer
    contains "SHOW NODES" "$(console -c 'SHOW NODES')" "$REPLICA2_PORT"
    at_least "SHOW CACHE WHY" "$(console -c "SHOW CACHE WHY 'SELECT count(*) FROM patients'" | wc -c)" 2
    proxied app "$APP_PASSWORD" pgusher -c 'SHOW POOLS' > /dev/null 2>&1 && { printf 'app is let in\n'; return 1; }
    return 0
}

reload_is_all_or_nothing()
{
    local answer
    ini=$LIB_TMP/pgusher.ini                            # not local: the trap outlives the function
    as_server cp "$ini" "$ini.good"
    trap 'as_server mv -f "$ini.good" "$ini"' EXIT      # however this ends
    as_server sed -i 's/^pool_mode.*/pool_mode = sometimes/' "$ini"
    answer=$(as_server "$LIB_TMP/pgusher" --check-config "$ini" 2>&1) && { printf 'the check passed\n'; return 1; }
    contains "--check-config" "$answer" "$ini:$(grep -n '^pool_mode' "$ini" | cut -d: -f1)"
    console -c RELOAD > /dev/null 2>&1 && { printf 'the reload passed\n'; return 1; }
    equal "a query after the failed reload" "$(app -c 'SELECT 1')" 1
    as_server cp "$ini.good" "$ini"
    console -c RELOAD > /dev/null
    equal "a query after the good reload" "$(app -c 'SELECT 1')" 1
}

stops_cleanly()
{
    local started=$SECONDS port left=0
    kill -TERM "$PGUSHER_PID"
    while alive "$PGUSHER_PID" && [ $((SECONDS - started)) -lt 10 ]; do sleep 0.1; done
    alive "$PGUSHER_PID" && { printf 'still there after 10 s\n'; return 1; }
    sleep 0.2
    for port in "$PRIMARY_PORT" "$REPLICA1_PORT" "$REPLICA2_PORT"; do
        left=$((left + $(super "$port" -c "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('app', 'pgusher')")))
    done
    equal "connections left on the nodes" "$left" 0
}

# ---------------------------------------------------------------- Redis

redis_holds_no_secrets()
{
    local keys
    keys=$(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" dbsize)
    at_least "keys in Redis" "$keys" 1
    # all of it: names and values
    if redis-cli -h 127.0.0.1 -p "$REDIS_PORT" --scan | while read -r key; do
           printf '%s\n' "$key"
           redis-cli -h 127.0.0.1 -p "$REDIS_PORT" --raw get "$key"
       done 2>&1 | grep -a -q -i -E 'modules|/calendar|Settings'; then
        printf 'SQL or rows are readable in Redis\n'
        return 1
    fi
}

redis_may_die()
{
    local mark sql
    mark=$(new_mark)
    sql="SELECT path AS $mark FROM menus ORDER BY id LIMIT 1"
    equal "with Redis" "$(app -c "$sql")" /calendar
    redis-cli -h 127.0.0.1 -p "$REDIS_PORT" shutdown nosave > /dev/null 2>&1 || true
    equal "without Redis" "$(app -c "$sql")" /calendar
    equal "a write without Redis" "$(app -c "UPDATE provider_availabilities SET slot_minutes = 45 WHERE id = 7 RETURNING slot_minutes")" 45
    equal "read after it" "$(app -c "SELECT slot_minutes AS $mark FROM provider_availabilities WHERE id = 7")" 45
    pgbench_app -c 8 -t 100 -M prepared -f bench/clinic/menu.sql -f bench/clinic/availability.sql
}
