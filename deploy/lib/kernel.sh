# shellcheck shell=bash
# Limits of the kernel that all sandboxes share: with its defaults one tenant could take everything
# there is from all others and from the host. Never lowered; the next boot starts with the defaults
# again, and so does `up`.

# Where users are remapped, the inotify instances of every sandbox also count as those of the user
# that runs the engine; the default is 128.
INOTIFY_INSTANCES=65536
# All terminals of all sandboxes count together; the default leaves them 3072, and one process may
# have more files open than that.
TERMINALS=65536

# $1: the setting, as in fs.inotify.max_user_instances; $2: what it has to be at least.
raise_kernel_limit() {
    local setting=/proc/sys/${1//.//} now
    now=$(cat "$setting" 2>/dev/null || echo "$2")
    [ "$now" -lt "$2" ] || return 0
    if { echo "$2" >"$setting"; } 2>/dev/null; then
        say kernel "$1 raised from $now to $2"
    else
        say kernel "$1 stays $now: raise it on the host, or one sandbox can use up what all share"
    fi
}

ensure_kernel_limits() {
    raise_kernel_limit fs.inotify.max_user_instances "$INOTIFY_INSTANCES"
    raise_kernel_limit kernel.pty.max "$TERMINALS"
}
