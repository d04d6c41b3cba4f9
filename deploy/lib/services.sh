# shellcheck shell=bash disable=SC2034 # settings are read by their name
# The three services: their settings, secrets, run scripts, and their coming up.

SERVICES=(auth sandbox gateway) # in the order in which they start
HEALTH_DEADLINE_S=30

random_hex() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# keep_secret NAME: writes the value on standard input to a file that only root reads: whoever starts
# a service gives it the file open.
keep_secret() {
    local file=$SECRET_DIR/$1
    write_file 0600 "$file"
    chown root:root "$file"
}

# made_secret NAME: prints the one of that name, made at the first time.
made_secret() {
    [ -s "$SECRET_DIR/$1" ] || random_hex | keep_secret "$1"
    cat "$SECRET_DIR/$1"
}

# A secret of the operator's if set, else one made once and kept.
keep_or_make_secret() {
    local value=${!1:-}
    [ -n "$value" ] || value=$(made_secret "$1")
    printf '%s' "$value" | keep_secret "$1"
}

# The accounts of the services in the stores: in ours they are made, in the operator's they are as
# set, and where they are not, that of everything.
prepare_store_urls() {
    local name service
    for service in auth sandbox; do
        name=${service^^}_DATABASE_URL
        if [ -n "$PRIVATE_POSTGRES" ]; then
            printf -v "$name" '%s' "$(postgres_url "$service")"
        elif [ -z "${!name:-}" ]; then
            default_to "$name" DATABASE_URL
        fi
    done
    for service in gateway auth sandbox; do
        name=${service^^}_REDIS_URL
        if [ -n "$PRIVATE_REDIS" ]; then
            printf -v "$name" '%s' "$(redis_url "$service")"
        elif [ -z "${!name:-}" ]; then
            default_to "$name" REDIS_URL
        fi
    done
}

# has_own_account NAME OTHER: whether NAME says something else than OTHER.
has_own_account() {
    local file=$1_FILE other_file=$2_FILE
    [ "${!1:-}${!file:-}" != "${!2:-}${!other_file:-}" ]
}

# default_to NAME OTHER: NAME as OTHER has it, from a file or not, unless NAME has a file.
default_to() {
    local file=$1_FILE other_file=$2_FILE
    [ -z "${!file:-}" ] || return 0
    printf -v "$1" '%s' "${!2:-}"
    printf -v "$file" '%s' "${!other_file:-}"
}

prepare_secrets() {
    local name
    keep_or_make_secret KEY_CACHE_SECRET
    keep_or_make_secret FILE_URL_SECRET
    keep_or_make_secret IDEMPOTENCY_SECRET
    keep_or_make_secret PREVIEW_SECRET
    keep_or_make_secret AGENT_JWT_SECRET
    keep_or_make_secret SECRETS_KEY
    [ -z "$PRIVATE_POSTGRES" ] || DATABASE_URL=$(postgres_url)
    prepare_store_urls
    rm -f "$SECRET_DIR/REDIS_URL" # was everybody's
    for name in DATABASE_URL {AUTH,SANDBOX}_DATABASE_URL {GATEWAY,AUTH,SANDBOX}_REDIS_URL \
        CLERK_SECRET_KEY CLERK_JWT_KEY CLERK_WEBHOOK_SIGNING_SECRET SECRETS_OLD_KEYS; do
        if [ -n "${!name:-}" ]; then
            printf '%s' "${!name}" | keep_secret "$name"
        else
            rm -f "$SECRET_DIR/$name"
        fi
    done
}

# print_settings NAME...: as shell assignments. A secret becomes the name of a descriptor on which the
# shell that runs these lines, as root, opens its file.
print_settings() {
    local entry name source file fd=10
    for entry in "$@"; do
        name=${entry%%<*}
        source=${entry#*<}
        file=${source}_FILE
        if [ "$name" = IPC_KEY_FILE ]; then
            [ -z "${!source:-}" ] || print_descriptor "$name" "${!source}"
        elif ! is_secret "$source"; then
            [ -z "${!source:-}" ] || print_assignment "$name" "${!source}"
        elif [ -n "${!file:-}" ]; then
            print_descriptor "${name}_FILE" "${!file}"
        elif [ -e "$SECRET_DIR/$source" ]; then
            print_descriptor "${name}_FILE" "$SECRET_DIR/$source"
        fi
    done
}

# print_descriptor NAME FILE: uses and counts up the caller's fd.
print_descriptor() {
    printf "exec %s<'%s'\n" "$fd" "${2//\'/\'\\\'\'}"
    print_assignment "$1" "/dev/fd/$fd"
    fd=$((fd + 1))
}

print_assignment() {
    printf "%s='%s'\n" "$1" "${2//\'/\'\\\'\'}"
}

# prepare_service NAME USER OPEN-FILES SETTING...
prepare_service() {
    local name=$1 user=$2 files=$3 become="chpst -u $2 "
    shift 3
    [ "$user" != root ] || become=
    define_service "$name" <<S
#!/bin/bash
exec 2>&1
set -ea
. ./env
set +a
cd /
ulimit -c 0
ulimit -n $files 2>/dev/null || ulimit -n "\$(ulimit -H -n)"
exec ${become}setpriv --pdeathsig TERM '$PREFIX/bin/insien-$name'
S
    print_settings "${COMMON_SETTINGS[@]}" "$@" | write_file 0600 "$SERVICE_DIR/$name/env"
}

prepare_services() {
    prepare_secrets
    prepare_certificates
    prepare_service auth "$SERVICE_USER" 65536 "${AUTH_SETTINGS[@]}"
    prepare_service sandbox root 65536 "${SANDBOX_SETTINGS[@]}"
    prepare_service gateway "$SERVICE_USER" 1048576 "${GATEWAY_SETTINGS[@]}"
    print_settings "${COMMON_SETTINGS[@]}" "${MIGRATE_SETTINGS[@]}" |
        write_file 0600 "$STATE_DIR/migrate.env"
}

# run_with ENV-FILE USER COMMAND...: with the settings of that file and nothing else.
run_with() {
    local file=$1 user=$2
    shift 2
    # shellcheck disable=SC2016 # the inner shell expands them
    env -i PATH="$SYSTEM_PATH" LC_ALL=C.UTF-8 bash -c '
        set -ea; . "$1"; set +a; shift; cd /; exec "$@"' bash "$file" chpst -u "$user" "$@" 9>&-
}

migrate() {
    quietly "the migrations can't be applied: the lines above say why." \
        run_with "$STATE_DIR/migrate.env" "$SERVICE_USER" "$PREFIX/bin/insien-migrate"
}

# files_given_to SERVICE: prints those whose change is a new beginning for it, one a line.
files_given_to() {
    sed -nE "s/^exec [0-9]+<'(.*)'$/\1/p; s/^IPC_(CA|CERT)_FILE='(.*)'$/\2/p" "$SERVICE_DIR/$1/env"
}

start_services() {
    local name began
    local files=()
    began=$(date -u +%FT%T)
    for name in "${SERVICES[@]}"; do
        files=("$PREFIX/bin/insien-$name")
        mapfile -t -O "${#files[@]}" files < <(files_given_to "$name")
        [ "$name" != sandbox ] || files+=("$AGENT_BUNDLE" "$SECCOMP_PROFILE")
        service_start "$name" "${files[@]}"
        # The gateway watches a folder that the sandbox service makes before it listens.
        [ "$name" != sandbox ] || [ -n "${SANDBOX_LISTEN:-}" ] || wait_until 10 test -S "$INSIEN_RUN_DIR/sandbox-1.sock" || true
    done
    # Health is what the gateway heard up to a second ago: only for services that stay up it is true.
    for name in "${SERVICES[@]}"; do
        service_gets_steady "$name" || explain_death "$name" "$began"
    done
    wait_until "$HEALTH_DEADLINE_S" is_healthy || explain_unhealthy
}

# log_field NAME: prints that string of the JSON line on standard input.
log_field() {
    sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' | sed -E 's/(\\(n|t|r|u00[01][0-9a-f]))+/ /g; s/ *$//; s/\\(.)/\1/g'
}

# last_complaint SERVICE LEVELS [SINCE]: its last line of those levels (a regular expression) that
# carries an error. What it says of a wrong setting is more than the sum that it makes afterwards.
last_complaint() {
    local lines
    lines=$(tail -n 500 "$(service_log "$1")" 2>/dev/null | grep -E "\"level\":\"($2)\".*\"error\":\"" |
        awk -v since="{\"time\":\"${3:-}" '$0 >= since' || true)
    if grep -q 'settings are wrong"' < <(tail -n 1 <<<"$lines"); then
        grep '"event":"config.invalid"' <<<"$lines" | tail -n 1
    else
        tail -n 1 <<<"$lines"
    fi
}

# explain_death SERVICE SINCE
explain_death() {
    local line variable error
    line=$(last_complaint "$1" error "$2")
    variable=$(log_field variable <<<"$line")
    error=$(log_field error <<<"$line")
    [ -n "$error" ] || {
        show_tail "$(service_log "$1")"
        die "$1 keeps ending: the lines above (from $(service_log "$1")) say why; then run deploy/up."
    }
    [ -n "$variable" ] || die "$1 keeps ending: $error; its log is $(service_log "$1"); repair that, then run deploy/up."
    die "$variable ${error#"$variable "}: correct it in deploy/.env, then run deploy/up."
}

# The gateway of this machine, whose certificate is for the name that others reach it by.
local_curl() {
    curl --noproxy '*' --insecure "$@"
}

health() {
    local_curl -s --max-time 5 "$LOCAL_URL/health"
}

is_healthy() {
    local_curl -sf --max-time 5 -o /dev/null "$LOCAL_URL/health"
}

# Prints the parts that /health calls false, one a line. What only a silent service could tell of is
# not known to be unwell.
unhealthy_parts() {
    local parts
    parts=$(health | grep -oE '"(postgres|redis|docker|auth|sandbox)": *false' | cut -d'"' -f2 || true)
    if grep -qx 'auth\|sandbox' <<<"$parts"; then
        grep -x 'auth\|sandbox' <<<"$parts"
    else
        printf '%s' "$parts"
    fi
}

explain_unhealthy() {
    local parts name
    parts=$(unhealthy_parts)
    if [ -z "$parts" ]; then
        for name in "${SERVICES[@]}"; do
            service_is_up "$name" || parts+=${parts:+$'\n'}$name
        done
    fi
    parts=${parts:-gateway}
    for name in $parts; do
        printf '%s is not healthy%s\n' "$name" \
            "$([ ! -s "$(service_log "$name")" ] || printf '; the end of its log:')" >&2
        show_tail "$(service_log "$name")"
    done
    die "not healthy after $HEALTH_DEADLINE_S s: ${parts//$'\n'/, }; deploy/status tells the state of each part, $LOG_DIR its log."
}
