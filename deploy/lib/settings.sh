# shellcheck shell=bash disable=SC2034 # used by those that load this file
# Settings and places. The environment wins over deploy/.env, which wins over the defaults; what a
# service defaults by itself is left to it. deploy/.env.example describes each variable.

DEPLOY_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
SOURCE_DIR=$(dirname "$DEPLOY_DIR")

# Of NAME<SOURCE the service is told SOURCE as its NAME: each has an account of its own in a store.
COMMON_SETTINGS=(INSIEN_RUN_DIR INSIEN_INSTANCE LOG_LEVEL)
GATEWAY_SETTINGS=(
    HOST PORT WS_PORT INSIEN_API_URL INSIEN_WS_URL FILE_URL_SECRET
    'REDIS_URL<GATEWAY_REDIS_URL' AUTH_IPC SANDBOX_IPC
    IPC_CA_FILE 'IPC_CERT_FILE<GATEWAY_CERT_FILE' 'IPC_KEY_FILE<GATEWAY_KEY_FILE'
    ALLOWED_ORIGINS
    RATE_LIMITS RATE_LIMIT_EXEMPT TRUSTED_PROXIES MAX_CONNECTIONS MAX_CONNECTIONS_PER_ADDRESS CLIENT_BACKLOG_MB
    AUDIT_DATA_PLANE SANDBOX_ACTIVITY
    HOST_PORT_RANGE HOST_PORT_ADDRESS PREVIEW_DOMAIN PREVIEW_SCHEME PREVIEW_PORT PREVIEW_SECRET
    TLS_CERT_FILE TLS_KEY_FILE
)
AUTH_SETTINGS=(
    'DATABASE_URL<AUTH_DATABASE_URL' 'REDIS_URL<AUTH_REDIS_URL' AUTH_LISTEN
    IPC_CA_FILE 'IPC_CERT_FILE<AUTH_CERT_FILE' 'IPC_KEY_FILE<AUTH_KEY_FILE'
    KEY_CACHE_SECRET IDEMPOTENCY_SECRET BCRYPT_WORKERS
    CLERK_PUBLISHABLE_KEY CLERK_SECRET_KEY
    CLERK_JWKS_URL CLERK_JWT_KEY CLERK_ISSUER CLERK_AUTHORIZED_PARTIES CLERK_ALLOW_MISSING_AZP
    CLERK_IGNORE_CATEGORY CLERK_CLOCK_SKEW_S CLERK_API_URL CLERK_SESSION_CHECK_S CLERK_AUDIENCE
    CLERK_WEBHOOK_SIGNING_SECRET AUTH_ISSUER AUTH_JWKS_URL AUTH_AUDIENCE
)
SANDBOX_SETTINGS=(
    'DATABASE_URL<SANDBOX_DATABASE_URL' 'REDIS_URL<SANDBOX_REDIS_URL' SANDBOX_LISTEN
    IPC_CA_FILE 'IPC_CERT_FILE<SANDBOX_CERT_FILE' 'IPC_KEY_FILE<SANDBOX_KEY_FILE'
    DOCKER_HOST AGENT_JWT_SECRET SECRETS_KEY SECRETS_OLD_KEYS AGENT_BUNDLE SECCOMP_PROFILE SERVICE_USER VOLUMES_DIR VOLUMES_RESERVE_MB
    NODE_NAME SANDBOX_DEFAULT_NETWORK SANDBOX_SUBNET SANDBOX_RESTRICTED_SUBNET SANDBOX_BLOCKED_CIDRS
    START_CONCURRENCY RECONCILE_INTERVAL_S RECONCILE_UNKNOWN{,_AFTER_S} AGENT_LOST_AFTER_S
    SANDBOX_WARN_BEFORE_S NODE_MEMORY_MB TOTAL_MEMORY_MB DISK_CHECK_S SANDBOX_CPUSET LXCFS_DIR
    EVENT_RETENTION_DAYS WEBHOOK_ALLOWED_CIDRS
    NODE_FREE_DISK_MB SANDBOX_KEEP_DAYS IMAGE_KEEP_DAYS AUDIT_PERSONAL_DAYS DOCKER_DATA_DIR
    WARM_POOLS WARM_POOL_{MAX,MEMORY_MB,CONCURRENCY}
    TIER_{FREE,PRO,ENTERPRISE}_{SANDBOXES,MEMORY_MB,CPU_MILLI,PIDS,DISK_MB,LIFETIME_H,VOLUMES,VOLUME_MB,SNAPSHOT_MB,RATE_KBYTES}
    TEMPLATE_{BUILDS,LOCAL_IMAGES,REGISTRIES,RUNTIMES,TIMEOUT_S,IMAGE_MB,FOLDER_MB,CONCURRENCY}
    TEMPLATES_PER_USER
)
MIGRATE_SETTINGS=(DATABASE_URL MIGRATIONS_DIR)
DEPLOY_SETTINGS=(
    INSIEN_STATE_DIR INSIEN_BUILD_TYPE INSIEN_ADMIN_EMAIL DOCKERD_OPTIONS SANDBOX_IMAGES IPC_CERTS_DIR REDIS_URL
    {AUTH,SANDBOX}_DATABASE_URL {GATEWAY,AUTH,SANDBOX}_REDIS_URL
)
# Never written into a file of settings, only into a file of their own.
SECRET_SETTINGS=(
    DATABASE_URL {AUTH,SANDBOX}_DATABASE_URL REDIS_URL {GATEWAY,AUTH,SANDBOX}_REDIS_URL
    KEY_CACHE_SECRET CLERK_SECRET_KEY CLERK_JWT_KEY AGENT_JWT_SECRET
    CLERK_WEBHOOK_SIGNING_SECRET
    FILE_URL_SECRET PREVIEW_SECRET IDEMPOTENCY_SECRET SECRETS_KEY SECRETS_OLD_KEYS
)

is_setting() {
    [[ " ${COMMON_SETTINGS[*]} ${GATEWAY_SETTINGS[*]} ${AUTH_SETTINGS[*]} ${SANDBOX_SETTINGS[*]} \
        ${MIGRATE_SETTINGS[*]} ${DEPLOY_SETTINGS[*]} ${SECRET_SETTINGS[*]/%/_FILE} " == *" $1 "* ]]
}

is_secret() {
    [[ " ${SECRET_SETTINGS[*]} " == *" $1 "* ]]
}

# Reads NAME=value lines; a value may stand in single or double quotes. Nothing is expanded or run.
read_dotenv() {
    local line name value number=0
    while IFS= read -r line || [ -n "$line" ]; do
        number=$((number + 1))
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] ||
            die "deploy/.env line $number is not NAME=value: write one variable a line."
        name=${BASH_REMATCH[2]}
        value=${BASH_REMATCH[3]}
        is_setting "$name" ||
            die "deploy/.env line $number: there is no setting $name; see deploy/.env.example."
        value=${value%"${value##*[![:space:]]}"}
        if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
            value=${BASH_REMATCH[1]}
        fi
        [ -n "${!name+set}" ] || export "$name=$value"
    done <"$1"
}

require_port() {
    [[ ${!1} =~ ^[1-9][0-9]{0,4}$ && ${!1} -le 65535 ]] ||
        die "$1 is '${!1}': set it to a port number from 1 to 65535."
}

# The folder that holds what one deployment knows.
find_state() {
    [ ! -f "$DEPLOY_DIR/.env" ] || read_dotenv "$DEPLOY_DIR/.env"
    STATE_DIR=${INSIEN_STATE_DIR:-$DEPLOY_DIR/state}
    [[ $STATE_DIR == /* ]] || STATE_DIR=$PWD/$STATE_DIR
}

# Every path of this instance. The state folder holds what one deployment knows; what other users of
# the machine must reach (programs, data of PostgreSQL) is in DATA_DIR, see data.sh.
load_settings() {
    find_state
    export INSIEN_INSTANCE=${INSIEN_INSTANCE:-insien}
    export INSIEN_RUN_DIR=${INSIEN_RUN_DIR:-/run/insien}
    export INSIEN_BUILD_TYPE=${INSIEN_BUILD_TYPE:-Release}
    export HOST=${HOST:-127.0.0.1} PORT=${PORT:-3000} WS_PORT=${WS_PORT:-3001}
    export DOCKER_HOST=${DOCKER_HOST:-unix:///var/run/docker.sock}
    export SERVICE_USER=${SERVICE_USER:-insien}
    export TLS_CERT_FILE=${TLS_CERT_FILE:-} TLS_KEY_FILE=${TLS_KEY_FILE:-}
    export LC_ALL=C.UTF-8
    unset DOCKER_CONTEXT # would win over DOCKER_HOST

    [[ $INSIEN_INSTANCE =~ ^[a-z0-9][a-z0-9-]{0,15}$ ]] ||
        die "INSIEN_INSTANCE is '$INSIEN_INSTANCE': use at most 16 of a-z, 0-9 and '-', beginning with a letter or digit."
    [[ $INSIEN_RUN_DIR == /* && ${#INSIEN_RUN_DIR} -le 48 ]] ||
        die "INSIEN_RUN_DIR is '$INSIEN_RUN_DIR': use an absolute path of at most 48 bytes (paths of sockets are short)."
    require_port PORT
    require_port WS_PORT
    [ "$PORT" != "$WS_PORT" ] || die "PORT and WS_PORT are both $PORT: give them different values."

    local host=$HOST
    case $host in 0.0.0.0 | ::) host=127.0.0.1 ;; esac
    case $host in *:*) host="[$host]" ;; esac
    local tls=
    [ -z "$TLS_CERT_FILE" ] || tls=s
    LOCAL_URL="http$tls://$host:$PORT"
    INSIEN_API_URL=${INSIEN_API_URL:-$LOCAL_URL}
    export INSIEN_WS_URL=${INSIEN_WS_URL:-ws$tls://$host:$WS_PORT}
    INSIEN_ADMIN_EMAIL=${INSIEN_ADMIN_EMAIL:-admin@localhost}

    DATA_DIR=$(data_place "$STATE_DIR")
    LOG_DIR=$STATE_DIR/log
    SERVICE_DIR=$STATE_DIR/service
    BUILD_DIR=$STATE_DIR/build/$INSIEN_BUILD_TYPE
    PREFIX=$DATA_DIR/$INSIEN_BUILD_TYPE
    SECRET_DIR=$DATA_DIR/secrets
    ENV_FILE=$STATE_DIR/env

    # The operator's own database or Redis instead of private ones.
    PRIVATE_POSTGRES=yes
    [ -z "${DATABASE_URL:-}${DATABASE_URL_FILE:-}" ] || PRIVATE_POSTGRES=
    PRIVATE_REDIS=yes
    [ -z "${REDIS_URL:-}${REDIS_URL_FILE:-}" ] || PRIVATE_REDIS=
    POSTGRES_SOCKET_DIR=$INSIEN_RUN_DIR/postgres
    REDIS_SOCKET=$INSIEN_RUN_DIR/redis.sock
    IPC_CERTS_DIR=${IPC_CERTS_DIR:-$DATA_DIR/certs}
    export AGENT_BUNDLE=${AGENT_BUNDLE:-$PREFIX/share/insien/insien-agent.tar}
    export SECCOMP_PROFILE=${SECCOMP_PROFILE:-$PREFIX/share/insien/seccomp.json}
    export VOLUMES_DIR=${VOLUMES_DIR:-$DATA_DIR/volumes}
    export MIGRATIONS_DIR=${MIGRATIONS_DIR:-$PREFIX/share/insien/migrations}
}

require_root() {
    [ "$(id -u)" = 0 ] || die "must be run by root (it installs packages and starts Docker): run 'sudo deploy/${0##*/}'."
}

# One deploy command at a time on a state folder. Children must not inherit descriptor 9.
lock_state() {
    mkdir -p "$STATE_DIR"
    exec 9>"$STATE_DIR/lock"
    flock -n 9 || die "another deploy command is at work on $STATE_DIR: wait for it to end, then run this again."
}
