#include "common/ws/watch.h"

enum {
    BEHIND_LOOK_MS = 1000, /* between looks at a peer that is behind */
    PING_WINDOW_MS = 1000,
};

void ws_watch_init(struct ws_watch *watch, const struct ws_limits *limits, int64_t now_ms)
{
    *watch = (struct ws_watch){
        .limits = limits, .liveness = true, .heard_ms = now_ms, .pinged_ms = now_ms};
}

void ws_watch_set_liveness(struct ws_watch *watch, bool on, int64_t now_ms)
{
    watch->liveness = on;
    watch->heard_ms = now_ms;
    watch->progress_ms = now_ms;
}

void ws_watch_set_behind(struct ws_watch *watch, uint64_t taken_bytes, int64_t now_ms)
{
    watch->is_behind = true;
    watch->taken_bytes = taken_bytes;
    watch->progress_ms = now_ms;
}

bool ws_watch_count_ping(struct ws_watch *watch, int64_t now_ms)
{
    if (now_ms - watch->pings_since_ms >= PING_WINDOW_MS) {
        watch->pings_since_ms = now_ms;
        watch->pings = 0;
    }
    return ++watch->pings <= watch->limits->pings_per_s_max;
}

static bool is_silent(const struct ws_watch *watch, int64_t now_ms)
{
    int64_t max_ms = watch->limits->silence_max_ms;
    return max_ms > 0 && now_ms - watch->heard_ms >= max_ms;
}

static bool is_ping_due(const struct ws_watch *watch, int64_t now_ms)
{
    /* A timer may fire a little before its time. */
    int64_t every_ms = watch->limits->ping_every_ms;
    return every_ms > 0 && now_ms - watch->pinged_ms >= every_ms - every_ms / 8;
}

/* Once all that was queued up to the mark is taken, the mark moves on to now. */
static void move_mark(struct ws_watch *watch, uint64_t queued_bytes, uint64_t taken_bytes)
{
    if (taken_bytes >= watch->mark_bytes) {
        watch->texts_before = taken_bytes == queued_bytes ? 0 : watch->texts_since;
        watch->texts_since = 0;
        watch->mark_bytes = queued_bytes;
    }
}

void ws_watch_count_text(struct ws_watch *watch, size_t bytes, uint64_t queued_bytes,
                         uint64_t taken_bytes)
{
    move_mark(watch, queued_bytes - bytes, taken_bytes);
    watch->texts_since += bytes;
}

static bool is_stalled(const struct ws_watch *watch, bool something_waits, int64_t now_ms)
{
    const struct ws_limits *limits = watch->limits;
    int64_t still_ms = now_ms - watch->progress_ms;
    if (limits->stream_stall_max_ms > 0) {
        if (something_waits && still_ms >= limits->stream_stall_max_ms) {
            return true;
        }
        if (watch->texts_before + watch->texts_since <= limits->backlog_max) {
            return false;
        }
    }
    return watch->is_behind && still_ms >= limits->stall_max_ms;
}

enum ws_verdict ws_watch_look(struct ws_watch *watch, uint64_t queued_bytes, uint64_t taken_bytes,
                              int64_t now_ms)
{
    bool something_waits = taken_bytes < queued_bytes;
    move_mark(watch, queued_bytes, taken_bytes);
    if (taken_bytes != watch->taken_bytes || !something_waits) {
        watch->taken_bytes = taken_bytes;
        watch->progress_ms = now_ms;
    }
    if (!watch->liveness) {
        return WS_VERDICT_WAIT;
    }
    if (something_waits && watch->limits->stream_stall_max_ms > 0) {
        watch->heard_ms = now_ms; /* It does not even get our pings. */
    }
    if (is_silent(watch, now_ms)) {
        return WS_VERDICT_SILENT;
    }
    if (is_stalled(watch, something_waits, now_ms)) {
        return WS_VERDICT_STALLED;
    }
    if (is_ping_due(watch, now_ms)) {
        watch->pinged_ms = now_ms;
        return WS_VERDICT_PING;
    }
    return WS_VERDICT_WAIT;
}

void ws_watch_arm(const struct ws_watch *watch, struct timer *timer, int64_t now_ms)
{
    const struct ws_limits *limits = watch->limits;
    int64_t delay_ms = limits->ping_every_ms;
    if (watch->is_behind && (delay_ms == 0 || delay_ms > BEHIND_LOOK_MS)) {
        delay_ms = BEHIND_LOOK_MS;
    }
    int64_t left_ms = watch->heard_ms + limits->silence_max_ms - now_ms;
    bool silence_is_next = limits->silence_max_ms > 0 && (delay_ms == 0 || left_ms < delay_ms);
    if (watch->liveness && silence_is_next) {
        /* The only delay that is not the same for every socket. */
        timer_arm(timer, left_ms > 0 ? left_ms : 0);
    } else if (watch->liveness && delay_ms > 0) {
        timer_arm_common(timer, delay_ms);
    } else {
        timer_disarm(timer);
    }
}
