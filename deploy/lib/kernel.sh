# shellcheck shell=bash
# Limits of the kernel that all sandboxes share.

INOTIFY_INSTANCES=65536

# Where users are remapped, the inotify instances of every sandbox also count as those of the user
# that runs the engine. With the kernel's default of 128 one tenant could take them from all others
# and from the host. Never lowered; the next boot starts with the default again, and so does `up`.
ensure_kernel_limits() {
    local setting=/proc/sys/fs/inotify/max_user_instances now
    now=$(cat "$setting" 2>/dev/null || echo "$INOTIFY_INSTANCES")
    [ "$now" -lt "$INOTIFY_INSTANCES" ] || return 0
    if { echo "$INOTIFY_INSTANCES" >"$setting"; } 2>/dev/null; then
        say kernel "fs.inotify.max_user_instances raised from $now to $INOTIFY_INSTANCES"
    else
        say kernel "fs.inotify.max_user_instances stays $now: raise it on the host, or one sandbox can use up what all share"
    fi
}
