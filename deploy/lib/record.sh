# shellcheck shell=bash
# What `up` wrote down about the deployment of a state folder, so that the other commands act on that
# one and no other. The run folder and the name of the instance also belong to one state folder each;
# a mark says to which.

RECORDED=(
    INSIEN_INSTANCE INSIEN_RUN_DIR DOCKER_HOST INSIEN_BUILD_TYPE SERVICE_USER HOST PORT WS_PORT
    PRIVATE_POSTGRES PRIVATE_REDIS TLS_CERT_FILE
)
RECORD_NAME=deployment  # in the state folder
MARK_NAME=.state-folder # in the run folder

write_record() {
    local name
    for name in "${RECORDED[@]}"; do
        print_assignment "$name" "${!name}"
    done | write_file 0600 "$STATE_DIR/$RECORD_NAME"
}

is_deployed() {
    [ -s "$STATE_DIR/$RECORD_NAME" ]
}

recorded() {
    # shellcheck source=/dev/null
    (. "$STATE_DIR/$RECORD_NAME" && printf '%s' "${!1:-}")
}

# What is asked for, as far as it is, must be what is deployed.
require_same_deployment() {
    require_recorded INSIEN_INSTANCE instance
    require_recorded INSIEN_RUN_DIR 'with the run folder'
    require_recorded DOCKER_HOST 'on the engine'
}

require_recorded() {
    local was
    was=$(recorded "$1")
    [ "${!1:-$was}" = "$was" ] ||
        die "this clone deployed $2 $was: set $1=$was, or purge it first ($1=$was deploy/down --purge)."
}

# For all commands but `up`: false if nothing is deployed. Here the record wins over deploy/.env, which
# may have been edited since; what the environment says may not contradict it.
load_deployment() {
    local name place
    place=$(find_state && printf '%s' "$STATE_DIR") || exit 1
    STATE_DIR=$place
    if ! is_deployed; then
        load_settings
        [ ! -d "$SERVICE_DIR" ] ||
            die "it is not recorded what is deployed in $STATE_DIR: run deploy/up with the same settings as before, then this again."
        return 1
    fi
    require_same_deployment
    for name in "${RECORDED[@]}"; do
        export "$name=$(recorded "$name")"
    done
    load_settings
    PRIVATE_POSTGRES=$(recorded PRIVATE_POSTGRES)
    PRIVATE_REDIS=$(recorded PRIVATE_REDIS)
}

run_dir_mark() {
    printf '%s' "$INSIEN_RUN_DIR/$MARK_NAME"
}

instance_mark() {
    printf '/run/lock/insien-%s' "$INSIEN_INSTANCE"
}

# other_owner MARK: prints the state folder that the mark names if it is another deployment's.
other_owner() {
    local owner
    owner=$(cat "$1" 2>/dev/null) || return 0
    [ "$owner" = "$STATE_DIR" ] || [ ! -d "$owner/service" ] || printf '%s' "$owner"
}

owns_run_dir() {
    [ "$(cat "$(run_dir_mark)" 2>/dev/null)" = "$STATE_DIR" ]
}

require_own() {
    local owner
    owner=$(other_owner "$1")
    [ -z "$owner" ] ||
        die "$2 belongs to the deployment in $owner: set INSIEN_RUN_DIR, INSIEN_INSTANCE, PORT and WS_PORT to others, or purge that one first."
}

require_own_marks() {
    require_own "$(run_dir_mark)" "$INSIEN_RUN_DIR"
    require_own "$(instance_mark)" "instance $INSIEN_INSTANCE"
    if [ ! -e "$(run_dir_mark)" ] && [ -n "$(ls -A "$INSIEN_RUN_DIR" 2>/dev/null)" ]; then
        die "$INSIEN_RUN_DIR has other files in it: empty it, or set INSIEN_RUN_DIR to a folder of its own."
    fi
}

write_marks() {
    printf '%s\n' "$STATE_DIR" >"$(run_dir_mark)"
    mkdir -p /run/lock
    printf '%s\n' "$STATE_DIR" >"$(instance_mark)"
}
