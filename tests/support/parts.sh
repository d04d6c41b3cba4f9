# shellcheck shell=bash
# The parts of tests/run. Each counts what it checked; its output goes to a log, whose end is shown
# when something failed.

LONG='' BENCH='' KEEP=''
PASSED=0 FAILED=0
FAILURES=()
TEST_LOG_DIR=$INSIEN_STATE_DIR/test-log
SUPPORT=$ROOT/tests/support
# A WebSocket client that is not ours; ip and ss; a browser; programs for a terminal; a second runtime
# for containers; what tells the truth in their /proc.
HARNESS_PACKAGES=(node-ws iproute2 chromium vim-tiny tmux crun lxcfs)
BENCH_PACKAGES=(wrk)
THREADED_TESTS=(event ipc auth_material) # beginnings of their names
SHOWN_LINES=80
JOBS=$(nproc)
STACK_IS_UP='' STAND_IN_PID='' TIDY_PID='' TIDY_BEGAN=0

# run_part NAME SECONDS PROGRAM...: its output in NAME.log, its life bounded.
run_part() {
    local name=$1 limit=$2 began=$SECONDS status=0
    shift 2
    timeout -k 10 "$limit" "$@" >"$TEST_LOG_DIR/$name.log" 2>&1 </dev/null || status=$?
    [ "$status" != 124 ] || printf 'stopped after %s s\n' "$limit" >>"$TEST_LOG_DIR/$name.log"
    PART_SECONDS=$((SECONDS - began))
    return "$status"
}

# count NAME PASSED FAILED
count() {
    PASSED=$((PASSED + $2))
    FAILED=$((FAILED + $3))
    say "$1" "$2 passed, $3 failed in $PART_SECONDS s"
    [ "$3" -gt 0 ] || return 0
    FAILURES+=("$1")
    what_went_wrong "$TEST_LOG_DIR/$1.log" | cut -c1-400 | sed 's/^/    | /' >&2
}

# Of Node's and CTest's tests those that failed, of anything else the end.
what_went_wrong() {
    grep -E -A 25 '^ *not ok|\*\*\*(Failed|Timeout|Exception|Not Run)|^\[  ERROR' "$1" | head -n "$SHOWN_LINES" | grep . || tail -n "$SHOWN_LINES" "$1"
}

# check NAME SECONDS PROGRAM...: one thing that holds or does not; false when it does not.
check() {
    if run_part "$@"; then
        count "$1" 1 0
    else
        count "$1" 0 1
        return 1
    fi
}

# count_ctest NAME: from CTest's closing line, "97% tests passed, 1 tests failed out of 38".
count_ctest() {
    local failed='' total=''
    read -r failed total < <(sed -n \
        's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1 \2/p' \
        "$TEST_LOG_DIR/$1.log") || true
    count "$1" $((${total:-1} - ${failed:-1})) "${failed:-1}"
}

part_unit() {
    check build 600 "$SUPPORT/build.sh" Sanitize || return 0
    # More than half of their time they wait.
    run_part unit 400 ctest --test-dir "$INSIEN_STATE_DIR/build/Sanitize" --output-on-failure \
        --no-tests=error -j $((2 * JOBS)) || true
    count_ctest unit
}

# Under ThreadSanitizer, what threads share. It wants a fixed layout of memory, which newer kernels
# randomise too much.
part_thread() {
    local names targets
    targets=("${THREADED_TESTS[@]/%/*}")
    targets=("${targets[@]/#/test_}")
    names=$(IFS='|' && printf '%s' "${THREADED_TESTS[*]}")
    check build-thread 400 "$SUPPORT/build.sh" Thread "${targets[@]}" || return 0
    TSAN_OPTIONS="suppressions=$SUPPORT/tsan.supp" run_part thread 200 setarch -R ctest \
        --test-dir "$INSIEN_STATE_DIR/build/Thread" --output-on-failure --no-tests=error \
        -R "^($names)" || true
    count_ctest thread
}

part_lint() {
    [ -d "$INSIEN_STATE_DIR/build/Sanitize" ] || check build 600 "$SUPPORT/build.sh" Sanitize || return 0
    local scripts
    mapfile -t scripts < <(cd "$ROOT" && grep -rlE '^#!/(usr/bin/env bash|bin/(ba)?sh)|^# shellcheck shell=' \
        deploy tests .ci --exclude-dir=state --exclude-dir=node_modules)
    check shellcheck 120 env -C "$ROOT" shellcheck -x -S warning -e SC2034 "${scripts[@]}" || true
    check format 120 env -C "$ROOT" "$SUPPORT/format.sh" || true
    begin_tidy
}

# It is minutes of work for every core, and the tests of the stack mostly wait: it has what the parts
# behind it leave.
begin_tidy() {
    TIDY_BEGAN=$EPOCHSECONDS
    timeout -k 10 2400 chrt --idle 0 node "$SUPPORT/tidy.mjs" "$INSIEN_STATE_DIR" \
        >"$TEST_LOG_DIR/tidy.log" 2>&1 </dev/null &
    TIDY_PID=$!
}

end_tidy() {
    local status=0
    [ -n "$TIDY_PID" ] || return 0
    wait "$TIDY_PID" || status=$?
    TIDY_PID=''
    PART_SECONDS=$(($(stat -c %Y "$TEST_LOG_DIR/tidy.log") - TIDY_BEGAN))
    count tidy $((status == 0)) $((status != 0))
}

# Two at a time on two cores.
part_fuzz() {
    local seconds=10 programs program name status
    [ -z "$LONG" ] || seconds=600
    check build-fuzz 600 "$SUPPORT/build.sh" Fuzz 'fuzz_*' || return 0
    mapfile -t programs < <(find "$INSIEN_STATE_DIR/build/Fuzz/tests" -name 'fuzz_*' -type f -executable | sort)
    say fuzz "${#programs[@]} targets, $seconds s each"
    PART_SECONDS=$seconds
    printf '%s\n' "${programs[@]}" | xargs -P "$JOBS" -I PROGRAM bash -c '
        log=$1/$(basename "$2").log
        timeout -k 10 $(($4 + 120)) "$3/fuzz.sh" "$2" "$4" >"$log" 2>&1 </dev/null
        echo $? >"$log.status"' fuzz "$TEST_LOG_DIR" PROGRAM "$SUPPORT" "$seconds"
    for program in "${programs[@]}"; do
        name=$(basename "$program")
        status=$(cat "$TEST_LOG_DIR/$name.log.status")
        count "$name" $((status == 0)) $((status != 0))
    done
}

start_stand_in() {
    node "$SUPPORT/clerk/server.mjs" "$CLERK_STAND_IN_PORT" >"$TEST_LOG_DIR/clerk.log" 2>&1 </dev/null &
    STAND_IN_PID=$!
}

# A run of another clone that was killed leaves its marks behind, and they would be respected.
forget_dead_runs() {
    local mark owner
    for mark in "$INSIEN_RUN_DIR/.state-folder" "/run/lock/insien-$INSIEN_INSTANCE"; do
        owner=$(cat "$mark" 2>/dev/null) || continue
        pgrep -f "runsvdir -P $owner/service" >/dev/null || rm -f "$mark"
    done
}

# What the tests take from npm, as the lockfile has it.
install_from_npm() {
    [ ! "$ROOT/tests/node_modules/.package-lock.json" -nt "$ROOT/tests/package-lock.json" ] || return 0
    check npm 300 env -C "$ROOT/tests" npm ci --no-progress
}

# What mostly waits for time to pass runs beside what disturbs nobody. What changes the stack for all
# comes last.
WAITING_TESTS=(stats exits clerk)
CALM_TESTS=(access execute flow client_tokens files websocket exec edge archives terminals events forks
    lockdown network quota templates trail transfers wire_bodies wire_http wire_json wire_websocket)
LATE_TESTS=(deploy port_range tls ipc_tls readme outages crash logs)

part_stack() {
    local file name named=" ${WAITING_TESTS[*]} ${CALM_TESTS[*]} ${LATE_TESTS[*]} "
    install_from_npm || return 0
    start_stand_in
    STACK_IS_UP=yes
    say stack "starting (logs in $TEST_LOG_DIR)"
    forget_dead_runs
    check up 900 "$ROOT/deploy/up" || return 0
    run_part leaks-before 60 node "$SUPPORT/leaks.mjs" note "$TEST_LOG_DIR/leaks.json" || true
    run_side_by_side
    for file in "$ROOT"/tests/integration/*.test.mjs; do
        name=$(basename "$file" .test.mjs)
        [[ $named == *" $name "* ]] || integration_test "$name"
    done
    for name in "${LATE_TESTS[@]}"; do
        integration_test "$name"
    done
    check leaks 200 node "$SUPPORT/leaks.mjs" compare "$TEST_LOG_DIR/leaks.json" || true
}

run_side_by_side() {
    local name waiting
    for name in "${WAITING_TESTS[@]}"; do
        run_integration "$name" || true
        echo "$PART_SECONDS" >"$TEST_LOG_DIR/$name.log.seconds"
    done &
    waiting=$!
    for name in "${CALM_TESTS[@]}"; do
        integration_test "$name"
    done
    wait "$waiting" || true
    for name in "${WAITING_TESTS[@]}"; do
        PART_SECONDS=$(cat "$TEST_LOG_DIR/$name.log.seconds")
        count_integration "$name"
    done
}

integration_test() {
    run_integration "$1" || true
    count_integration "$1"
}

run_integration() {
    local limit=400
    [ -z "$LONG" ] || limit=3600
    TESTS_RUN=yes LONG=$LONG run_part "$1" "$limit" node --test --test-reporter=tap \
        "$ROOT/tests/integration/$1.test.mjs"
}

# Node's summary has lines "# pass 12", "# fail 0" and "# skipped 1".
count_integration() {
    local log=$TEST_LOG_DIR/$1.log passed failed
    passed=$(sed -n 's/^# pass //p' "$log")
    failed=$(($(sed -n 's/^# fail //p' "$log" | grep . || echo 1) + $(sed -n 's/^# cancelled //p' "$log" | grep . || echo 0)))
    count "$1" "${passed:-0}" "$failed"
    sed -n 's/^ *ok [0-9]* - \(.*\) # SKIP\(.*\)/        not here: \1:\2/p' "$log" >&2
}

part_bench() {
    require_packages "${BENCH_PACKAGES[@]}"
    check bench 900 "$ROOT/tests/bench/run" || true
    cat "$TEST_LOG_DIR/bench.log"
}

clean_up() {
    [ -z "$TIDY_PID" ] || kill "$TIDY_PID" 2>/dev/null || true
    [ -z "$STAND_IN_PID" ] || kill "$STAND_IN_PID" 2>/dev/null || true
    if [ -n "$STACK_IS_UP" ] && [ -z "$KEEP" ]; then
        "$ROOT/deploy/down" --purge >"$TEST_LOG_DIR/down.log" 2>&1 || tail -n 20 "$TEST_LOG_DIR/down.log" >&2
        rm -f "$INSIEN_STATE_DIR/test-secrets" # of tests/support/secrets.mjs: those of a deployment that is no more
    fi
}

report() {
    [ "${#FAILURES[@]}" = 0 ] || printf 'failed: %s\n' "${FAILURES[*]}"
    printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
}
