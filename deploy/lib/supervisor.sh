# shellcheck shell=bash
# runit: one runsvdir on the service folder. Each service has a run script, its settings in `env`,
# and a log that svlogd keeps small. A service dies with its runsv, so none is ever without one.

SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SUPERVISOR_PID_FILE=supervisor.pid # in the state folder

supervisor_pid() {
    local pid
    pid=$(cat "$STATE_DIR/$SUPERVISOR_PID_FILE" 2>/dev/null) || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "runsvdir -P $SERVICE_DIR" || return 1
    printf '%s' "$pid"
}

supervisor_start() {
    local dir
    ! supervisor_pid >/dev/null || return 0
    for dir in "$SERVICE_DIR"/*/; do
        [ ! -d "$dir" ] || touch "$dir/down"
    done
    env -i PATH="$SYSTEM_PATH" LC_ALL=C.UTF-8 setsid runsvdir -P "$SERVICE_DIR" \
        >>"$LOG_DIR/supervisor.log" 2>&1 </dev/null 9>&- &
    printf '%s\n' "$!" >"$STATE_DIR/$SUPERVISOR_PID_FILE"
}

# write_file MODE PATH: replaces the file with standard input, at once and only if it differs.
write_file() {
    local new=$2.new
    (umask 077 && cat >"$new")
    if cmp -s "$new" "$2"; then
        rm -f "$new"
    else
        mv "$new" "$2"
    fi
    chmod "$1" "$2"
}

# define_service NAME: makes the service from the run script on standard input. It starts when
# service_start asks for it, not before. runsvdir overlooks names with a dot in front.
define_service() {
    local dir=$SERVICE_DIR/$1 new=$SERVICE_DIR/.$1.new
    if [ -d "$dir" ]; then
        write_service_files "$1" "$dir"
        return 0
    fi
    mkdir -p "$new/log"
    touch "$new/down"
    write_service_files "$1" "$new"
    mv "$new" "$dir"
}

write_service_files() {
    local logs=$LOG_DIR/$1
    mkdir -p "$logs"
    printf 's2000000\nn5\n' | write_file 0644 "$logs/config"
    write_file 0755 "$2/run"
    write_file 0755 "$2/log/run" <<S
#!/bin/sh
exec setpriv --pdeathsig TERM svlogd -b 16384 -l 16000 '$logs'
S
}

service_is_defined() {
    [ -e "$SERVICE_DIR/$1/run" ]
}

service_is_up() {
    service_is_defined "$1" && sv status "$SERVICE_DIR/$1" 2>/dev/null | grep -q '^run:'
}

# Prints "PID SECONDS" of a service that is up, else nothing.
service_life() {
    sv status "$SERVICE_DIR/$1" 2>/dev/null | sed -nE 's/^run: [^:]*: \(pid ([0-9]+)\) ([0-9]+)s.*/\1 \2/p'
}

STEADY_S=3      # runit counts whole seconds: the true age is more than STEADY_S - 1
STEADY_WITHIN_S=12
LIVES=3         # a service that has been so many processes meanwhile keeps dying

# Waits until the service has been one process for a while; false when it keeps dying.
service_gets_steady() {
    local pid age seen='' lives=0 deadline=$((SECONDS + STEADY_WITHIN_S))
    while [ "$SECONDS" -lt "$deadline" ] && [ "$lives" -lt "$LIVES" ]; do
        pid='' age=0
        read -r pid age < <(service_life "$1") || true
        if [ -n "$pid" ]; then
            [ "$age" -lt "$STEADY_S" ] || return 0
            [ "$pid" = "$seen" ] || lives=$((lives + 1))
            seen=$pid
        fi
        sleep 0.1
    done
    return 1
}

service_is_supervised() {
    sv status "$SERVICE_DIR/$1" 2>/dev/null | grep -q '^\(run\|down\|finish\):'
}

# Everything whose change asks for a restart: run script, settings, and the named files.
service_stamp() {
    local name=$1
    shift
    { cat "$SERVICE_DIR/$name/run" "$SERVICE_DIR/$name/env" "$@" 2>/dev/null || true; } | sha256sum
}

# service_start NAME FILE...: brings it up, or restarts it if what it was started with has changed.
service_start() {
    local name=$1 dir=$SERVICE_DIR/$1 stamp
    stamp=$(service_stamp "$@")
    wait_until 15 service_is_supervised "$name" ||
        die "the supervisor does not take up '$name': run deploy/down, then deploy/up; see $LOG_DIR/supervisor.log."
    if ! service_is_up "$name"; then
        rm -f "$dir/down"
        sv up "$dir" >>"$STEP_LOG"
    elif [ "$stamp" != "$(cat "$dir/started-with" 2>/dev/null)" ]; then
        say "$name" "restarting (its program or settings changed)"
        sv -w 20 force-stop "$dir" >>"$STEP_LOG" || true
        sv up "$dir" >>"$STEP_LOG"
    fi
    printf '%s\n' "$stamp" >"$dir/started-with"
}

service_stop() {
    service_is_defined "$1" || return 0
    touch "$SERVICE_DIR/$1/down"
    service_is_supervised "$1" || return 0
    sv -w "${2:-20}" force-stop "$SERVICE_DIR/$1" >>"$STEP_LOG" 2>&1 || true
}

# Under a name that runsvdir overlooks, so that it doesn't bring back the runsv that is told to leave.
service_remove() {
    local dir=$SERVICE_DIR/.$1.removed
    mv "$SERVICE_DIR/$1" "$dir"
    sv -w 10 force-shutdown "$dir" >>"$STEP_LOG" 2>&1 || true
    rm -rf "$dir"
}

# Ends runsvdir first: it would bring back each runsv that is told to leave.
supervisor_stop() {
    local pid dirs
    if pid=$(supervisor_pid); then
        kill -TERM "$pid"
        wait_until 5 test ! -d "/proc/$pid" || kill -KILL "$pid"
    fi
    rm -f "$STATE_DIR/$SUPERVISOR_PID_FILE"
    mapfile -t dirs < <(compgen -G "$SERVICE_DIR/*")
    [ "${#dirs[@]}" = 0 ] || sv -w 10 force-shutdown "${dirs[@]}" >>"$STEP_LOG" 2>&1 || true
}

service_log() {
    printf '%s' "$LOG_DIR/$1/current"
}
