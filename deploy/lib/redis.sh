# shellcheck shell=bash
# A private Redis on a unix socket. All it holds can be rebuilt, so nothing is written to disk and
# the oldest entries go when it is full.

prepare_redis() {
    [ -n "$PRIVATE_REDIS" ] || return 0
    install -d -m 0700 -o "$SERVICE_USER" -g "$SERVICE_USER" "$DATA_DIR/redis"
    write_file 0644 "$DATA_DIR/redis.conf" <<S
port 0
unixsocket $REDIS_SOCKET
unixsocketperm 700
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
exec chpst -u $SERVICE_USER setpriv --pdeathsig TERM redis-server '$DATA_DIR/redis.conf'
S
}

redis_answers() {
    [ "$(timeout 3 redis-cli -s "$REDIS_SOCKET" ping 2>/dev/null)" = PONG ]
}

ensure_redis() {
    if [ -z "$PRIVATE_REDIS" ]; then
        say redis "using REDIS_URL as set"
        return 0
    fi
    service_start redis "$DATA_DIR/redis.conf"
    if ! wait_until 10 redis_answers; then
        show_tail "$(service_log redis)"
        die "Redis does not come up: the lines above (from $(service_log redis)) say why."
    fi
}
