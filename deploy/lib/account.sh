# shellcheck shell=bash
# The first user and key, and the file of connection facts.

# Prints the status of a request that needs a key. The key goes over standard input, not argv.
status_with_key() {
    printf 'X-API-Key: %s\n' "$1" |
        local_curl -s --max-time 10 -o /dev/null -w '%{http_code}' -H @- "$LOCAL_URL/sandbox?limit=1"
}

# issue_key EMAIL [TIER] [SCOPES]: prints a new key. Without a tier that of an existing user stays.
issue_key() {
    run_with "$SERVICE_DIR/auth/env" "$SERVICE_USER" \
        "$PREFIX/bin/insien-auth" issue-key "$1" ${2:+--tier "$2"} ${3:+--scopes "$3"}
}

kept_key() {
    # shellcheck source=/dev/null
    [ ! -r "$ENV_FILE" ] || (INSIEN_API_KEY='' && . "$ENV_FILE" && printf '%s' "$INSIEN_API_KEY")
}

issue_first_key() {
    INSIEN_API_KEY=$(issue_key "$INSIEN_ADMIN_EMAIL" enterprise 2>>"$STEP_LOG")
}

ensure_key() {
    INSIEN_API_KEY=$(kept_key)
    if [ -z "$INSIEN_API_KEY" ] || [ "$(status_with_key "$INSIEN_API_KEY")" = 401 ]; then
        say key "issuing one for $INSIEN_ADMIN_EMAIL (tier enterprise)"
        if ! wait_until 10 issue_first_key; then
            show_tail "$STEP_LOG"
            die "no API key can be issued: the lines above say why."
        fi
    fi
    {
        print_assignment INSIEN_API_URL "$INSIEN_API_URL"
        print_assignment INSIEN_WS_URL "$INSIEN_WS_URL"
        print_assignment INSIEN_API_KEY "$INSIEN_API_KEY"
    } | write_file 0600 "$ENV_FILE"
}

print_connection_facts() {
    local create="'{\"timeoutMs\":600000}'" id='s/.*"sandboxId": *"\([^"]*\)".*/\1/p;t;w/dev/stderr'
    local header="-H 'X-API-Key: $INSIEN_API_KEY' -H 'Content-Type: application/json'"
    cat <<S

URL      $INSIEN_API_URL
API key  $INSIEN_API_KEY

Create a sandbox, which ends after ten minutes, and run a command in it:

curl --fail-with-body -sS $header -d $create $INSIEN_API_URL/sandbox/create | sed -n '$id' | xargs -I ID curl --fail-with-body -sS $header -d '{"cmd":"uname","args":["-a"]}' $INSIEN_API_URL/sandbox/ID/exec
S
}
