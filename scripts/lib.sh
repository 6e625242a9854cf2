# shellcheck shell=bash
# Throwaway PostgreSQL and Redis servers for shell scripts. Source it under `set -euo pipefail`:
#
#     . scripts/lib.sh
#     install_packages postgresql redis-server
#     lib_begin                                   # $LIB_TMP, emptied and removed however the script ends
#     pick_port primary; start_primary "$LIB_TMP/primary" "$primary"
#     pick_port replica; add_replica "$LIB_TMP/replica" "$replica" "$primary"
#     pick_port redis;   start_redis "$LIB_TMP/redis" "$redis"
#     super "$primary" -c 'SELECT 1'
#
# Everything is below $LIB_TMP and nothing outlives the script. Servers run as an unprivileged user
# (postgres when the script runs as root, else whoever runs it), listen on 127.0.0.1 only, and are tuned
# to be thrown away: what a crash would cost them does not matter, so nothing waits for the disk.
#
# Settable before a server is started:
#   PG_LOG_STATEMENT  none (default), ddl, mod, all: DIR.log then tells which node ran what
#   PG_HOST_AUTH      scram-sha-256 (default), trust, md5, password: for connections over TCP. The unix
#                     sockets in $LIB_SOCKETS trust everybody who may enter that folder: the owner
#   PG_EXTRA          further lines for postgresql.conf

LIB_TMP=''
LIB_SOCKETS=''
LIB_USER=''
LIB_CLUSTERS=()         # data folders
LIB_PID_FILES=()        # of what isn't PostgreSQL
LIB_PIDS=()             # of children of this shell
LIB_PORTS=' '           # given out already

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# install_packages NAME...: those Debian packages that are missing. Root installs them, anybody else is
# told what to install. Neither a PostgreSQL cluster nor a service is created or started along the way.
install_packages()
{
    local name missing=()
    for name in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true) in
            installed) ;;
            *) missing+=("$name") ;;
        esac
    done
    if [ ${#missing[@]} -eq 0 ]; then return 0; fi
    if [ "$(id -u)" -ne 0 ]; then
        fail "these packages are missing, and installing them takes root: ${missing[*]}"
    fi
    say "Installing ${missing[*]}"
    apt_install "${missing[@]}"
}

apt_install()
(
    # A subshell, so that its trap takes back what keeps Debian from starting what it installs.
    log=$(mktemp)
    undo=("$log")
    no_cluster=/etc/postgresql-common/createcluster.d/pgusher-throwaway.conf
    trap 'rm -f "${undo[@]}"; rmdir --ignore-fail-on-non-empty "${no_cluster%/*}"' EXIT
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        undo+=(/usr/sbin/policy-rc.d)
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod 755 /usr/sbin/policy-rc.d
    fi
    mkdir -p "${no_cluster%/*}"
    undo+=("$no_cluster")
    printf 'create_main_cluster = false\n' > "$no_cluster"
    # before it is there, nobody can have wanted it to run
    had_redis=$(command -v redis-server || true)

    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends "$@"; } > "$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "apt-get could not install: $*"
    }
    if [ -z "$had_redis" ] && [ -d /run/systemd/system ]; then
        systemctl disable --quiet redis-server 2>> "$log" || fail "redis-server would start at boot: $(tail -n 1 "$log")"
    fi
)

# lib_begin: makes $LIB_TMP, and sees to it that everything is gone at the end of the script.
lib_begin()
{
    PG_BIN=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    [ -x "$PG_BIN/initdb" ] || fail "no PostgreSQL server below /usr/lib/postgresql"
    LIB_USER=$(id -un)
    if [ "$(id -u)" -eq 0 ]; then
        LIB_USER=postgres
        id "$LIB_USER" > /dev/null 2>&1 || fail "no user $LIB_USER to run servers as"
    fi
    LIB_TMP=$(mktemp -d "${TMPDIR:-/tmp}/pgusher.XXXXXX")
    trap stop_all EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    LIB_SOCKETS=$LIB_TMP/sockets
    [ ${#LIB_SOCKETS} -lt 80 ] || fail "TMPDIR is too long for a unix socket: $LIB_SOCKETS"
    mkdir -m 700 "$LIB_SOCKETS"
    if [ "$(id -u)" -eq 0 ]; then chown -R "$LIB_USER": "$LIB_TMP"; fi
}

# as_server COMMAND...: as the servers' user, from a folder that user may be in. The other form replaces
# the shell it is called in: for `exec_as_server COMMAND... &`, after which $! is the command itself.
as_server() ( exec_as_server "$@" )
exec_as_server()
{
    cd "$LIB_TMP"
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid="$LIB_USER" --regid="$LIB_USER" --init-groups -- "$@"
    fi
    exec "$@"
}

# pick_port NAME: a free loopback port into $NAME. Below the range the kernel takes ports of outgoing
# connections from, so that none of those is in the way between now and the start of the server.
pick_port()
{
    local port tries
    for tries in {1..200}; do
        port=$((15000 + (RANDOM * 32768 + RANDOM) % 15000))
        case $LIB_PORTS in *" $port "*) continue ;; esac
        if ! (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
            LIB_PORTS+="$port "
            printf -v "$1" %s "$port"
            return 0
        fi
    done
    fail "no free port found in $tries tries"
}

# start_primary DIR PORT: a new cluster. Superuser postgres, reached with `super PORT`. Log: DIR.log
start_primary()
{
    local dir=$1 port=$2
    as_server "$PG_BIN/initdb" -D "$dir" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
        --no-instructions > "$dir.initdb.log" 2>&1 || show_and_fail "initdb failed" "$dir.initdb.log"
    cat >> "$dir/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$LIB_SOCKETS'
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
# thrown away: nothing waits for the disk
fsync = off
full_page_writes = off
shared_buffers = 256MB
min_wal_size = 256MB
max_wal_size = 2GB
# replicas, and readers of changes
wal_level = logical
hot_standby = on
max_wal_senders = 20
max_replication_slots = 20
wal_keep_size = 512MB
wal_receiver_status_interval = 1s
# which node ran what
logging_collector = off
log_statement = '${PG_LOG_STATEMENT:-none}'
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
${PG_EXTRA:-}
CONF
    cat > "$dir/pg_hba.conf" <<HBA
local all         all              trust
local replication all              trust
host  all         all 127.0.0.1/32 ${PG_HOST_AUTH:-scram-sha-256}
host  replication all 127.0.0.1/32 ${PG_HOST_AUTH:-scram-sha-256}
HBA
    start_cluster "$dir" "$port"
}

# add_replica DIR PORT PRIMARY_PORT: a streaming, hot standby of it.
add_replica()
{
    local dir=$1 port=$2 primary=$3
    as_server "$PG_BIN/pg_basebackup" -h "$LIB_SOCKETS" -p "$primary" -U postgres -D "$dir" -R -X stream \
        -c fast --no-sync > "$dir.backup.log" 2>&1 || show_and_fail "pg_basebackup failed" "$dir.backup.log"
    start_cluster "$dir" "$port"
}

start_cluster()
{
    LIB_CLUSTERS+=("$1")
    as_server "$PG_BIN/pg_ctl" -D "$1" -l "$1.log" -o "-p $2" -w -s start > "$1.start.log" 2>&1 \
        || show_and_fail "PostgreSQL did not start on port $2" "$1.log"
}

# wait_for_replay PRIMARY_PORT REPLICA_PORT...: until each replica has replayed all there is now.
wait_for_replay()
{
    local primary=$1 lsn port tries
    shift
    lsn=$(super "$primary" -c 'SELECT pg_current_wal_lsn()')
    for port in "$@"; do
        for tries in {1..300}; do
            [ "$(super "$port" -c "SELECT pg_last_wal_replay_lsn() >= '$lsn'")" = t ] && continue 2
            sleep 0.1
        done
        fail "the replica on port $port has not caught up after $tries tries"
    done
}

# start_redis DIR PORT: keeps nothing on disk. Log: DIR/redis.log
start_redis()
{
    local dir=$1 port=$2 tries
    as_server mkdir -m 700 "$dir"
    LIB_PID_FILES+=("$dir/redis.pid")
    as_server redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --appendonly no \
        --daemonize yes --pidfile "$dir/redis.pid" --logfile "$dir/redis.log" > "$dir.start.log" 2>&1 \
        || show_and_fail "redis-server did not start on port $port" "$dir.start.log"
    for tries in {1..50}; do
        if [ "$(redis-cli -h 127.0.0.1 -p "$port" ping 2> /dev/null)" = PONG ]; then return 0; fi
        sleep 0.1
    done
    show_and_fail "redis-server does not answer on port $port after $tries tries" "$dir/redis.log"
}

# super PORT PSQL-ARGUMENT...: psql as the superuser of the cluster on that port, past any proxy.
super()
{
    local port=$1
    shift
    as_server "$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$LIB_SOCKETS" -p "$port" -U postgres "$@"
}

show_and_fail()
{
    if [ -s "$2" ]; then tail -n 15 "$2" >&2; fi
    fail "$1"
}

# alive PID: runs. One that has ended counts as gone, even where nobody has picked up its status yet.
alive()
{
    local stat
    read -r stat 2> /dev/null < "/proc/$1/stat" || return 1
    case ${stat##*) } in Z* | X*) return 1 ;; esac
}

# stop_process PID [SIGNAL [SECONDS]]: asks, waits, then insists.
stop_process()
{
    local pid=$1 signal=${2:-TERM} tries=$((${3:-5} * 20))
    kill -s "$signal" "$pid" 2> /dev/null || return 0
    while alive "$pid"; do
        if [ $((tries--)) -le 0 ]; then kill -s KILL "$pid" 2> /dev/null; break; fi
        sleep 0.05
    done
}

# stop_all: runs at the end of the script by itself. Children of the shell first: they are the clients.
stop_all()
{
    local status=$? pid dir file
    trap - EXIT
    trap '' HUP INT TERM        # an impatient second Ctrl-C must not leave half of it behind
    for pid in "${LIB_PIDS[@]}"; do stop_process "$pid" TERM; done
    for file in "${LIB_PID_FILES[@]}"; do
        if [ -s "$file" ]; then stop_process "$(cat "$file")" TERM; fi
    done
    for dir in "${LIB_CLUSTERS[@]}"; do
        as_server "$PG_BIN/pg_ctl" -D "$dir" -m immediate -w -s stop > /dev/null 2>&1 || true
    done
    if [ -n "$LIB_TMP" ]; then rm -rf "$LIB_TMP"; fi
    exit "$status"
}
