# shellcheck shell=bash
# The engine: the one that answers on DOCKER_HOST, else our own dockerd under the supervisor.

DOCKER_MIN_API=1.41
DAEMON_CONFIG=/etc/docker/daemon.json

docker_answers() {
    timeout 5 docker version --format '{{.Server.Version}}' 9>&-
}

docker_is_ours() {
    service_is_defined docker
}

# What the operator's daemon.json sets must not be given as a flag too: dockerd refuses both.
unless_configured() {
    grep -qs "\"$1\"" "$DAEMON_CONFIG" || printf '%s ' "${@:2}"
}

docker_flags() {
    printf -- '-H %s ' "$DOCKER_HOST"
    unless_configured live-restore --live-restore
    unless_configured log-driver --log-driver json-file
    unless_configured log-opts --log-opt max-size=10m --log-opt max-file=3
    [ "$1" != remap ] || unless_configured userns-remap --userns-remap default
    printf '%s' "${DOCKERD_OPTIONS:-}"
}

define_docker() {
    local flags
    flags=$(docker_flags "$1")
    define_service docker <<S
#!/bin/sh
exec 2>&1
ulimit -n 1048576 2>/dev/null || ulimit -n "\$(ulimit -H -n)"
exec setpriv --pdeathsig TERM dockerd $flags
S
}

# Remapping moves the engine to another data folder: containers that are there already would be lost
# from sight.
docker_has_containers() {
    compgen -G '/var/lib/docker/containers/*' >/dev/null
}

start_own_docker() {
    local mode=remap
    if docker_has_containers; then
        mode=plain
        say docker "found containers made without userns-remap, so it stays off"
    fi
    say docker "starting dockerd"
    define_docker "$mode"
    supervisor_start
    if ! docker_comes_up && [ "$mode" = remap ]; then
        say docker "does not come up with userns-remap; trying without"
        define_docker plain
        docker_comes_up || docker_failed
    fi
    docker_answers >/dev/null 2>&1 || docker_failed
}

# Starts it and waits for an answer, or for its own word that there will be none.
docker_comes_up() {
    local log
    log=$(service_log docker)
    DOCKER_LOG_BEGIN=$(stat -c %s "$log" 2>/dev/null || echo 0)
    service_start docker
    wait_until 25 docker_is_decided || true
    ! docker_answers >/dev/null 2>&1 || return 0
    service_stop docker
    return 1
}

docker_is_decided() {
    docker_answers || docker_log | grep -q 'failed to start daemon'
}

docker_log() {
    tail -c "+$((DOCKER_LOG_BEGIN + 1))" "$(service_log docker)" 2>/dev/null
}

docker_failed() {
    docker_log | grep -v 'level=info' | uniq >"$LOG_DIR/docker.failure" || true
    show_tail "$LOG_DIR/docker.failure"
    service_remove docker
    die "dockerd does not start: the lines above (from $(service_log docker)) say why; repair that, or start an engine yourself and set DOCKER_HOST."
}

ensure_docker() {
    [[ $DOCKER_HOST == unix:///* ]] ||
        die "DOCKER_HOST is '$DOCKER_HOST': use an engine on this machine, unix:///path/of/its.sock."
    if ! docker_answers >/dev/null 2>&1; then
        start_own_docker
    fi
    check_engine
}

check_engine() {
    local version api options
    version=$(docker version --format '{{.Server.Version}}')
    api=$(docker version --format '{{.Server.APIVersion}}')
    options=$(engine_options)
    [ "$(printf '%s\n' "$DOCKER_MIN_API" "$api" | sort -V | head -n 1)" = "$DOCKER_MIN_API" ] ||
        die "the Docker engine speaks API $api and $DOCKER_MIN_API is needed: upgrade it, or stop it so that deploy/up starts its own."
    [[ $options == *seccomp* ]] ||
        die "the Docker engine works without seccomp, which sandboxes need: use a kernel and an engine that have it."
    say docker "$version, $(docker_facts "$options")"
}

engine_options() {
    docker info --format '{{.SecurityOptions}} live-restore={{.LiveRestoreEnabled}}'
}

docker_facts() {
    local userns='no userns-remap' restore='NO live-restore (its restart would end all sandboxes)'
    [[ $1 != *name=userns* ]] || userns='userns-remap'
    [[ $1 != *live-restore=true* ]] || restore='live-restore'
    printf '%s, %s' "$restore" "$userns"
}
