# shellcheck shell=bash
# A private Redis on a unix socket. All it holds can be rebuilt, so nothing is written to disk and
# the oldest entries go when it is full. It runs as its package's user, so that no service can reach
# into it but by signing in.

REDIS_USER_NAME=redis

# redis_url SERVICE: how it signs in.
redis_url() {
    printf 'unix://%s:%s@%s' "$1" "$(made_secret "redis_password_$1")" "$REDIS_SOCKET"
}

# Its users, with the hash of the password of each.
print_redis_acl() {
    local name rules
    rules=$(grep '^user ' "$DEPLOY_DIR/redis.acl")
    for name in gateway auth sandbox operator; do
        rules=${rules//"#${name^^}_HASH"/"#$(made_secret "redis_password_$name" | sha256sum | cut -d' ' -f1)"}
    done
    printf '%s\n' "${rules//INSTANCE/$INSIEN_INSTANCE}"
}

prepare_redis() {
    [ -n "$PRIVATE_REDIS" ] || return 0
    install -d -m 0700 -o "$REDIS_USER_NAME" -g "$REDIS_USER_NAME" "$DATA_DIR/redis"
    print_redis_acl | write_file 0640 "$DATA_DIR/redis.acl"
    chgrp "$REDIS_USER_NAME" "$DATA_DIR/redis.acl"
    write_file 0644 "$DATA_DIR/redis.conf" <<S
port 0
unixsocket $REDIS_SOCKET
unixsocketperm 770
aclfile $DATA_DIR/redis.acl
dir $DATA_DIR/redis
save ""
appendonly no
maxmemory 256mb
maxmemory-policy allkeys-lru
client-output-buffer-limit pubsub 8mb 2mb 60
S
    define_service redis <<S
#!/bin/sh
exec 2>&1
cd /
rm -f '$REDIS_SOCKET'
exec chpst -u $REDIS_USER_NAME:$SERVICE_USER:$REDIS_USER_NAME setpriv --pdeathsig TERM redis-server '$DATA_DIR/redis.conf'
S
}

# As the operator, who may do everything. The password goes over the environment, not argv.
as_redis_operator() {
    REDISCLI_AUTH=$(cat "$SECRET_DIR/redis_password_operator") timeout 3 redis-cli -s "$REDIS_SOCKET" \
        --user operator "$@"
}

redis_answers() {
    [ "$(as_redis_operator ping 2>/dev/null)" = PONG ]
}

ensure_redis() {
    if [ -z "$PRIVATE_REDIS" ]; then
        say redis "using REDIS_URL as set$(has_own_account GATEWAY_REDIS_URL REDIS_URL ||
            printf ', for every service: GATEWAY_REDIS_URL, AUTH_REDIS_URL and SANDBOX_REDIS_URL would give them less')"
        return 0
    fi
    service_start redis "$DATA_DIR/redis.conf" "$DATA_DIR/redis.acl"
    if ! wait_until 10 redis_answers; then
        show_tail "$(service_log redis)"
        die "Redis does not come up: the lines above (from $(service_log redis)) say why."
    fi
}
