# shellcheck shell=bash
# Folders and users. The clone may lie under a folder that other users can't enter (/root, a
# mktemp -d); then the data goes to /var/lib and deploy/state/data is a link to it.

DATA_FALLBACK_PREFIX=/var/lib/insien-

others_can_enter() {
    local path=$1
    while [ "$path" != / ]; do
        [ -d "$path" ] && [ $((8#$(stat -c %a "$path") & 1)) = 0 ] && return 1
        path=$(dirname "$path")
    done
    return 0
}

# data_place STATE-FOLDER: prints where the data of that deployment is or will be, without links.
data_place() {
    if [ -e "$1/data" ]; then
        readlink -f "$1/data"
    elif others_can_enter "$1"; then
        printf '%s/data' "$1"
    else
        printf '%s%s' "$DATA_FALLBACK_PREFIX" "$(printf '%s' "$1" | sha256sum | cut -c1-8)"
    fi
}

make_data_dir() {
    chmod 0755 "$STATE_DIR"
    install -d -m 0755 "$DATA_DIR"
    if [ ! -e "$STATE_DIR/data" ]; then
        ln -sfn "$DATA_DIR" "$STATE_DIR/data"
        say data "in $DATA_DIR (other users can't enter $STATE_DIR)"
    fi
}

make_user() {
    id "$SERVICE_USER" >/dev/null 2>&1 ||
        quietly "can't make the system user '$SERVICE_USER': make it by hand and run deploy/up again." \
            useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin "$SERVICE_USER"
}

# Sticky and open to the group: services make their sockets here and can't replace each other's.
make_run_dir() {
    require_own_marks
    install -d -m 1771 -o root -g "$SERVICE_USER" "$INSIEN_RUN_DIR"
    write_marks
}

make_folders() {
    make_run_dir
    write_record
    make_data_dir
    install -d -m 0700 "$LOG_DIR" "$SERVICE_DIR"
    install -d -m 0711 "$SECRET_DIR"
    STEP_LOG=$LOG_DIR/deploy.log
    printf '\n=== %s %s\n' "${0##*/}" "$(date --iso-8601=seconds)" >>"$STEP_LOG"
}
