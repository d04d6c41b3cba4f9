#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc = {0};
    (void)gmtime_r(&seconds, &utc);
    char date[sizeof "2026-01-31T23:59:59"];
    if (strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc) == 0) {
        date[0] = '\0';
    }
    (void)snprintf(out, CLOCK_ISO_SIZE, "%s.%03uZ", date, (unsigned)(wall_ms % 1000) % 1000U);
}
