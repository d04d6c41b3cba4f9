# shellcheck shell=bash
# What must hold before anything is changed.

NEEDED_MB=4096 # packages, the build, the images, a first database

require_debian() {
    local system
    # shellcheck source=/dev/null
    system=$([ ! -r /etc/os-release ] || (. /etc/os-release && printf '%s %s' "$ID" "${VERSION_ID:-}"))
    [ "$system" = 'debian 12' ] ||
        die "needs Debian 12 and this is '${system:-an unknown system}': run it on a Debian 12 machine."
}

require_disk() {
    local path free_mb
    for path in "$STATE_DIR" /var/lib /usr; do
        free_mb=$(df -Pm "$path" | awk 'NR == 2 {print $4}')
        [ "$free_mb" -ge "$NEEDED_MB" ] ||
            die "only $free_mb MB are free where $path lies and $NEEDED_MB MB are needed: free some and run it again."
    done
}

# Prints "PID (NAME)" of who listens on a TCP port, or nothing.
port_owner() {
    local inode fd pid
    inode=$(awk -v port="$(printf ':%04X' "$1")" \
        '$4 == "0A" && $2 ~ port "$" {print $10; exit}' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
    [ -n "$inode" ] || return 0
    for fd in /proc/[0-9]*/fd/*; do
        [ "$(readlink "$fd" 2>/dev/null)" = "socket:[$inode]" ] || continue
        pid=${fd#/proc/}
        pid=${pid%%/*}
        printf '%s (%s)' "$pid" "$(cat "/proc/$pid/comm")"
        return 0
    done
    printf 'unknown'
}

require_free_ports() {
    local name owner
    ! service_is_up gateway || return 0
    for name in PORT WS_PORT; do
        owner=$(port_owner "${!name}")
        [ -z "$owner" ] ||
            die "port ${!name} is taken by process $owner: stop it, or choose another in deploy/.env: $name=$((${!name} > 65000 ? ${!name} - 100 : ${!name} + 100))."
    done
}

# As the gateway will read them: one that runs is not stopped for files that the next can't have.
require_certificate() {
    local name
    [ "${TLS_CERT_FILE:+set}" = "${TLS_KEY_FILE:+set}" ] ||
        die "TLS_CERT_FILE and TLS_KEY_FILE need each other: set both or neither."
    for name in TLS_CERT_FILE TLS_KEY_FILE; do
        [ -n "${!name}" ] || continue
        [[ ${!name} == /* ]] || die "$name is '${!name}': use an absolute path."
        # shellcheck disable=SC2016 # the inner shell expands it
        chpst -u "$SERVICE_USER" sh -c 'test -f "$1" && test -r "$1"' sh "${!name}" 9>&- ||
            die "$name is '${!name}', which the user $SERVICE_USER can't read: let it read that file and enter the folders above it."
    done
}
