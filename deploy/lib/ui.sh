# shellcheck shell=bash
# What the person sees: one line a step on stderr, with the seconds since the start; everything else
# goes to a log file. Only results that a program may want stand on stdout.

STARTED_MS=$(date +%s%3N)
STEP_LOG=/dev/null # settings.sh points it into the state folder

elapsed() {
    local ms=$(($(date +%s%3N) - STARTED_MS))
    printf '%3d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# say PART TEXT...
say() {
    printf '%s  %-9s %s\n' "$(elapsed)" "$1" "${*:2}" >&2
}

# die SENTENCE: what is wrong and what to do about it.
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# show_tail FILE: the last lines of a log, indented, repetitions left out.
show_tail() {
    [ -s "$1" ] || return 0
    tail -n 200 "$1" | sed 's/"time":"[^"]*",//' | cut -c1-300 | awk '!seen[$0]++' | tail -n 15 | sed 's/^/    | /' >&2
}

# quietly SENTENCE COMMAND...: runs the command with its output in the log; when it fails, shows the
# end of the output and dies with the sentence.
# Not to be called in a condition: bash would not stop the command at its first failure then.
quietly() {
    local sentence=$1 output status error_trap
    shift
    output=$(mktemp)
    error_trap=$(trap -p ERR)
    set +e
    trap - ERR
    (
        set -e
        "$@"
    ) >"$output" 2>&1 </dev/null 9>&-
    status=$?
    set -e
    eval "$error_trap"
    cat "$output" >>"$STEP_LOG"
    [ "$status" = 0 ] || show_tail "$output"
    rm -f "$output"
    [ "$status" = 0 ] || die "$sentence"
}

# wait_until SECONDS COMMAND...: true as soon as the command is.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# A bug in these scripts must not end them without a word.
on_unexpected_error() {
    [ "$BASH_SUBSHELL" = 0 ] || return 0
    printf '%s: stopped at %s line %s (%s); more in %s\n' \
        "${0##*/}" "${BASH_SOURCE[1]}" "$1" "$2" "$STEP_LOG" >&2
}
catch_errors() {
    trap 'on_unexpected_error "$LINENO" "$BASH_COMMAND"' ERR
    set -o errtrace
}
