# shellcheck shell=bash
# A deployment for tests, beside whatever else runs on the machine: its settings, up and down.
# Each may be set from outside; then another stack is tested.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
for part in ui packages; do
    # shellcheck source=/dev/null
    . "$ROOT/deploy/lib/$part.sh"
done

export INSIEN_STATE_DIR=${INSIEN_STATE_DIR:-$ROOT/build/stack}
export INSIEN_RUN_DIR=${INSIEN_RUN_DIR:-/run/insien-test}
export INSIEN_INSTANCE=${INSIEN_INSTANCE:-insien-test}
export INSIEN_BUILD_TYPE=${INSIEN_BUILD_TYPE:-Sanitize}
export PORT=${PORT:-4300} WS_PORT=${WS_PORT:-4301}
export HOST_PORT_RANGE=${HOST_PORT_RANGE:-31300-31399}
export SANDBOX_SUBNET=${SANDBOX_SUBNET:-10.219.0.0/20}
export RATE_LIMIT_EXEMPT=${RATE_LIMIT_EXEMPT:-127.0.0.0/8}
export CLIENT_BACKLOG_MB=${CLIENT_BACKLOG_MB:-32}      # so little that a test can fill it
export AUDIT_DATA_PLANE=${AUDIT_DATA_PLANE:-all}
export TEMPLATE_BUILDS=${TEMPLATE_BUILDS:-on}
export TEMPLATE_RUNTIMES=${TEMPLATE_RUNTIMES:-runc,crun,runsc,none-such} # no engine has the last
export LXCFS_DIR=${LXCFS_DIR:-$INSIEN_RUN_DIR-lxcfs} # one test mounts it
export WEBHOOK_ALLOWED_CIDRS=${WEBHOOK_ALLOWED_CIDRS:-127.0.0.0/8} # where tests receive
export WARM_POOLS=${WARM_POOLS:-none} WARM_POOL_MAX=${WARM_POOL_MAX:-0} # tests count containers
export TIER_FREE_RATE_KBYTES=${TIER_FREE_RATE_KBYTES:-2048} # others have none
export RECONCILE_INTERVAL_S=${RECONCILE_INTERVAL_S:-3} # tests wait for it often

# An engine that this starts has crun beside runc, where it is installed.
if [ -x /usr/bin/crun ] && ! grep -qs '"runtimes"' /etc/docker/daemon.json; then
    export DOCKERD_OPTIONS=${DOCKERD_OPTIONS:---add-runtime crun=$ROOT/tests/support/crun}
fi

# The stand-in for Clerk: where it listens and what the auth-service is told about it.
export CLERK_STAND_IN_PORT=${CLERK_STAND_IN_PORT:-4302}
export CLERK_JWKS_URL=http://127.0.0.1:$CLERK_STAND_IN_PORT/.well-known/jwks.json
export CLERK_ISSUER=https://clerk.example.com
export CLERK_AUTHORIZED_PARTIES=https://app.example.com
export CLERK_API_URL=http://127.0.0.1:$CLERK_STAND_IN_PORT
export CLERK_SECRET_KEY=sk_test_standIn
export CLERK_WEBHOOK_SIGNING_SECRET=whsec_c3RhbmQtaW4gZm9yIENsZXJrIGluIHRlc3Rz
# An issuer beside it, played by the same stand-in with keys of its own.
export AUTH_ISSUER=https://id.example.com/
export AUTH_JWKS_URL=http://127.0.0.1:$CLERK_STAND_IN_PORT/oidc/keys
export AUTH_AUDIENCE=https://api.example.com

stack_up() {
    "$ROOT/deploy/up"
}

stack_down() {
    "$ROOT/deploy/down" --purge
}
