# shellcheck shell=bash
# A private PostgreSQL cluster that listens on a unix socket only.

POSTGRES_BIN=/usr/lib/postgresql/15/bin
POSTGRES_USER_NAME=postgres

as_postgres() {
    (cd / && exec chpst -u "$POSTGRES_USER_NAME" "$@")
}

# In a folder of its own first, so that a broken initdb leaves nothing that looks like a cluster.
make_cluster() {
    local dir=$DATA_DIR/postgres
    [ ! -e "$dir/PG_VERSION" ] || return 0
    say postgres "making a cluster"
    rm -rf "$dir.new"
    install -d -m 0700 -o "$POSTGRES_USER_NAME" "$dir.new"
    quietly "initdb failed in $dir.new: the lines above say why." \
        as_postgres "$POSTGRES_BIN/initdb" -D "$dir.new" -E UTF8 --locale=C.UTF-8 \
        --auth=peer
    printf 'local all postgres peer\nlocal all all scram-sha-256\n' >"$dir.new/pg_hba.conf"
    mv "$dir.new" "$dir"
}

write_postgres_config() {
    install -d -m 0750 -o "$POSTGRES_USER_NAME" -g "$SERVICE_USER" "$POSTGRES_SOCKET_DIR"
    write_file 0644 "$DATA_DIR/postgres/postgresql.conf" <<S
listen_addresses = ''
unix_socket_directories = '$POSTGRES_SOCKET_DIR'
max_connections = 60
shared_buffers = 64MB
maintenance_work_mem = 32MB
max_wal_size = 512MB
min_wal_size = 64MB
max_wal_senders = 0
max_logical_replication_workers = 0
wal_level = minimal
jit = off
huge_pages = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
lc_messages = 'C.UTF-8'
S
}

# SIGTERM would make PostgreSQL wait for its clients to leave; SIGINT ends it cleanly at once.
define_postgres() {
    local data=$DATA_DIR/postgres
    define_service postgres <<S
#!/bin/sh
exec 2>&1
cd /
exec chpst -u $POSTGRES_USER_NAME setpriv --pdeathsig INT $POSTGRES_BIN/postgres -D '$data'
S
    mkdir -p "$SERVICE_DIR/postgres/control"
    write_file 0755 "$SERVICE_DIR/postgres/control/t" <<S
#!/bin/sh
kill -INT "\$(head -n 1 '$data/postmaster.pid')"
S
}

postgres_answers() {
    "$POSTGRES_BIN/pg_isready" -q -h "$POSTGRES_SOCKET_DIR"
}

# postgres_role [SERVICE], postgres_password [SERVICE], postgres_url [SERVICE]: how a service signs in;
# without one, the owner of the database, as whom migrations and insien-admin run. What each may do is
# in migrations/grants.sql.
postgres_role() {
    printf 'insien%s' "${1:+_$1}"
}

postgres_password() {
    made_secret "database_password${1:+_$1}"
}

postgres_url() {
    printf 'postgresql://%s:%s@/insien?host=%s' "$(postgres_role "${1:-}")" "$(postgres_password "${1:-}")" \
        "$POSTGRES_SOCKET_DIR"
}

role_can_log_in() {
    PGPASSWORD=$(postgres_password "${1:-}") PGCONNECT_TIMEOUT=5 psql -qAtX -h "$POSTGRES_SOCKET_DIR" \
        -U "$(postgres_role "${1:-}")" -d insien -c 'SELECT 1' >/dev/null 2>&1
}

service_can_log_in() {
    role_can_log_in && role_can_log_in auth && role_can_log_in sandbox
}

make_database() {
    ! service_can_log_in || return 0
    say postgres "making the database and its roles"
    quietly "the database can't be made: the lines above say why." create_roles_and_database
}

create_roles_and_database() {
    local psql=(psql -qAtX -v ON_ERROR_STOP=1 -h "$POSTGRES_SOCKET_DIR" -d postgres)
    local service role
    for service in '' auth sandbox; do
        role=$(postgres_role "$service")
        [ -n "$(as_postgres "${psql[@]}" -c "SELECT 1 FROM pg_roles WHERE rolname = '$role'")" ] ||
            as_postgres "${psql[@]}" -c "CREATE ROLE $role LOGIN"
        as_postgres "${psql[@]}" <<<"ALTER ROLE $role PASSWORD '$(postgres_password "$service")'"
    done
    [ -n "$(as_postgres "${psql[@]}" -c "SELECT 1 FROM pg_database WHERE datname = 'insien'")" ] ||
        as_postgres "${psql[@]}" -c 'CREATE DATABASE insien OWNER insien'
    as_postgres "${psql[@]}" -c 'REVOKE ALL ON DATABASE insien FROM PUBLIC' \
        -c 'GRANT CONNECT ON DATABASE insien TO insien_auth, insien_sandbox'
}

ensure_postgres() {
    if [ -z "$PRIVATE_POSTGRES" ]; then
        say postgres "using DATABASE_URL as set$(has_own_account AUTH_DATABASE_URL DATABASE_URL ||
            printf ', for the services too: AUTH_DATABASE_URL and SANDBOX_DATABASE_URL would give them less')"
        return 0
    fi
    service_start postgres "$DATA_DIR/postgres/postgresql.conf"
    if ! wait_until 30 postgres_answers; then
        show_tail "$(service_log postgres)"
        die "PostgreSQL does not come up: the lines above (from $(service_log postgres)) say why."
    fi
    make_database
}

# Before the supervisor starts, so that it takes up all services at once.
prepare_postgres() {
    [ -n "$PRIVATE_POSTGRES" ] || return 0
    make_cluster
    write_postgres_config
    define_postgres
}
