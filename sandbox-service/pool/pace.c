#include "sandbox-service/pool/pace.h"

void pace_claimed(struct pace *pace, int64_t now_ms)
{
    pace->hurried = true;
    pace->spare--;
    pace->claimed_ms = now_ms;
}

bool pace_begin(struct pace *pace, int64_t now_ms)
{
    bool is_whole = now_ms >= pace->whole_ms;
    pace->hurried = false;
    if (is_whole) {
        pace->whole_ms = now_ms + PACE_LOOK_MS;
    }
    return is_whole;
}

void pace_fail(struct pace *pace, int64_t now_ms)
{
    pace->hurried = false;
    pace->whole_ms = now_ms + PACE_NOT_READY_MS;
}

bool pace_gives_way(const struct pace *pace, int64_t now_ms)
{
    return pace->spare >= 0 && now_ms < pace->claimed_ms + PACE_CALM_MS;
}

int64_t pace_wait_ms(const struct pace *pace, int64_t now_ms)
{
    int64_t due_ms = pace->whole_ms;
    if (pace->hurried) {
        int64_t calm_ms = pace->claimed_ms + (pace->spare < 0 ? PACE_CALM_LOW_MS : PACE_CALM_MS);
        int64_t soon_ms = now_ms + PACE_HURRY_MS;
        int64_t hurried_ms = calm_ms > soon_ms ? calm_ms : soon_ms;
        due_ms = hurried_ms < due_ms ? hurried_ms : due_ms;
    }
    return due_ms > now_ms ? due_ms - now_ms : 0;
}
