# shellcheck shell=bash
# The tour of `quickstart --check`: each claim is a function that fails when the claim is false. What is
# believed is never pgusher's word but the nodes': each logs every statement it runs (log_statement = all),
# and each check marks its statements with a name of its own to find there. The functions are in claims.sh.
# Sourced by quickstart, whose app, office, console and super it uses.
. scripts/claims.sh

TOUR_NODES=(primary replica1 replica2)
TOUR_FAILED=0
TOUR_ROWS=()

# check CLAIM FUNCTION [ARGUMENT...]: a row of the table. What a failing function printed is shown. A
# pgusher that died of it is started again, so that the rows below say something of their own.
check()
{
    local claim=$1 output status died=no
    shift
    set +e
    output=$(set -e; "$@" 2>&1)
    status=$?
    set -e
    if ! alive "$PGUSHER_PID" && [ "$1" != stops_cleanly ]; then
        died=yes
        status=1
        output+=$'\npgusher died; the end of its log:\n'$(tail -n 15 "$LIB_TMP/pgusher.log")
    fi
    if [ "$status" -eq 0 ]; then
        TOUR_ROWS+=("PASS  $claim")
    else
        TOUR_ROWS+=("FAIL  $claim")
        TOUR_FAILED=$((TOUR_FAILED + 1))
    fi
    printf '%s\n' "${TOUR_ROWS[-1]}"
    if [ "$status" -ne 0 ]; then sed 's/^/      | /' <<< "${output:-(status $status)}"; fi
    if [ "$died" = yes ]; then start_pgusher; settle; fi
}

equal() { if [ "$2" != "$3" ]; then printf '%s: %s, expected %s\n' "$1" "$2" "$3"; return 1; fi; }
at_most() { if [ "$2" -gt "$3" ]; then printf '%s: %s, expected at most %s\n' "$1" "$2" "$3"; return 1; fi; }
at_least() { if [ "$2" -lt "$3" ]; then printf '%s: %s, expected at least %s\n' "$1" "$2" "$3"; return 1; fi; }
contains() { if [[ $2 != *"$3"* ]]; then printf '%s: %s, expected %s in it\n' "$1" "$2" "$3"; return 1; fi; }

new_mark() { printf 'tour_%s' "$(random_hex 6)"; }

# truth SQL: what the primary itself says, past pgusher and row-level security.
truth() { super "$PRIMARY_PORT" -d clinic -c "$1"; }

# runs MARK NODE...: how often these nodes together ran a statement with the mark in it.
runs()
{
    local mark=$1 node files=()
    shift
    for node in "$@"; do files+=("$LIB_TMP/$node.log"); done
    cat "${files[@]}" | grep -c -E "LOG:  (statement|execute [^ ]*): .*$mark" || true
}

# The process ids of the servers that ran it, a line each; primary only.
servers_of() { sed -n -E "s/^.* \[([0-9]+)\] .*LOG:  (statement|execute [^ ]*): .*$1.*/\1/p" "$LIB_TMP/primary.log" | sort -u; }

landed()    # landed MARK primary|replica: once, there, and nowhere else
{
    local on_primary on_replicas
    on_primary=$(runs "$1" primary)
    on_replicas=$(runs "$1" replica1 replica2)
    if [ "$2" = primary ]; then
        equal "runs on the primary, on replicas" "$on_primary $on_replicas" '1 0'
    else
        equal "runs on the primary, on replicas" "$on_primary $on_replicas" '0 1'
    fi
}

# as_provider NUMBER COMMAND...: with what the application of that provider says at login.
as_provider()
{
    local n=$1
    shift
    PGOPTIONS="-c app.current_provider_id=${PROVIDER[$n]} -c app.current_user_id=${PROVIDER_USER[$n]}" "$@"
}

# settle: pgusher answers before it knows the nodes and the catalog; all doubt goes to the primary then.
# Waits until a read was given to a replica. If none ever is, the checks say so.
settle()
{
    local tries mark
    for tries in {1..50}; do
        mark=$(new_mark)
        app -c "SELECT count(*) AS $mark FROM facilities" > /dev/null 2>&1 || true
        if [ "$(runs "$mark" replica1 replica2)" -gt 0 ]; then return 0; fi
        sleep 0.1
    done
    say "no read on a replica after $tries tries"
}

tour()
{
    local n mode
    declare -gA PROVIDER PROVIDER_USER
    for n in 7 8 9 11 12; do
        PROVIDER[$n]=$(truth "SELECT id FROM providers WHERE number = $n")
        PROVIDER_USER[$n]=$(truth "SELECT user_id FROM providers WHERE number = $n")
    done

    settle
    check "login: the right password is let in, a wrong one is not" wrong_password_is_refused
    check "login: SCRAM all the way, with no clear-text password stored" no_password_is_stored
    check "seat: a read runs on a replica, and only there" read_on_replica
    check "seat: a write runs on the primary, and only there" write_on_primary
    for mode in simple extended prepared; do
        check "seat: pgbench -M $mode, 50 reads on replicas, 25 writes on the primary" seats_in_mode "$mode"
    done
    check "seat: FOR UPDATE, a writing CTE, volatile functions: the primary" doubt_on_primary
    check "seat: READ ONLY transactions on a replica, others on the primary" transactions_as_declared
    check "seat: a client reads its own write while replicas are behind" own_write_is_read
    check "cache: repeated reads reach no node, same answer" cached_read
    for mode in simple extended prepared; do
        check "cache: pgbench -M $mode, 1000 reads, a handful reach a node" cached_read_in_mode "$mode"
    done
    check "cache: after a write through pgusher the next read is fresh" cache_follows_writes
    check "cache: roles don't share answers, no right means no answer" cache_keeps_roles_apart
    check "cache: filled whoever asks, whatever the server was set to before" cache_is_filled_by_anyone
    check "cache: a transaction sees its own writes, nobody else does" cache_stays_out_of_transactions
    check "identity: two providers, one server connection, their own rows each" two_providers_one_server
    check "identity: SET, RESET and set_config of it fail with 42501" identity_is_protected
    check "identity: the audit row names the person and the address" audit_names_the_person
    check "state: one client's SET stays its own" session_state_is_kept_apart
    check "COPY out of 100,000 rows, COPY in of 1,000" copy_both_ways
    check "a row of 50 MB is streamed, not held" big_row_is_streamed
    check "a cancel request ends the query" cancel_ends_the_query
    check "the query of a client that died is ended" abandoned_query_ends
    for mode in simple extended prepared; do
        check "load: pgbench -c 8 -M $mode, two providers at once, nothing fails" clinic_load "$mode"
    done
    check "pool: 40 clients never hold more than 10 connections of a node" pool_limit_holds
    check "printed: the five things to try do what is said" things_to_try
    check "console: answers administrators, and nobody else" console_answers
    check "reload: a wrong file is named by line and changes nothing" reload_is_all_or_nothing
    check "stop: SIGTERM ends it and leaves no connection behind" stops_cleanly

    configure redis
    start_pgusher
    settle
    check "redis: repeated reads reach no node, same answer" cached_read 2
    check "redis: pgbench -M extended, 1000 reads, a handful reach a node" cached_read_in_mode extended
    check "redis: after a write through pgusher the next read is fresh" cache_follows_writes 2
    check "redis: holds neither SQL nor rows in the clear" redis_holds_no_secrets
    check "redis: gone, and nothing fails" redis_may_die

    printf '\n'
    printf '%s\n' "${TOUR_ROWS[@]}" ''
    printf '%s of %s passed in %s s\n' $((${#TOUR_ROWS[@]} - TOUR_FAILED)) "${#TOUR_ROWS[@]}" "$SECONDS"
    if [ "$TOUR_FAILED" -gt 0 ]; then return 1; fi
}
