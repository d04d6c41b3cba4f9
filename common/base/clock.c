#include "common/base/clock.h"

#include <stdio.h>
#include <string.h>
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

/* The number that the digits at offset are; -1 when they are not all digits. */
static int digits(struct view text, size_t offset, size_t count)
{
    int number = 0;
    if (text.len < offset + count) {
        return -1;
    }
    for (size_t i = offset; i < offset + count; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return -1;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    return number;
}

/* Z, or the distance from UTC. */
static bool parse_zone(struct view text, int64_t *offset_s)
{
    *offset_s = 0;
    if (view_equal(text, VIEW("Z"))) {
        return true;
    }
    int hours = digits(text, 1, 2);
    int minutes = digits(text, 4, 2);
    if (text.len != sizeof "+00:00" - 1 || (text.ptr[0] != '+' && text.ptr[0] != '-') ||
        text.ptr[3] != ':' || hours < 0 || hours > 23 || minutes < 0 || minutes > 59) {
        return false;
    }
    *offset_s = (hours * INT64_C(60) + minutes) * 60 * (text.ptr[0] == '-' ? -1 : 1);
    return true;
}

/* ".5" and the like; moves text behind it. */
static bool parse_fraction(struct view *text, int64_t *ms)
{
    *ms = 0;
    if (text->len == 0 || text->ptr[0] != '.') {
        return true;
    }
    size_t count = 1;
    for (int64_t worth = 100; digits(*text, count, 1) >= 0; count++, worth /= 10) {
        *ms += worth * digits(*text, count, 1);
    }
    *text = view_from(*text, count);
    return count > 1;
}

/* The fixed part. A day that its month does not have comes back as another. */
static bool parse_seconds(struct view text, int64_t *seconds)
{
    enum { YEAR_0 = 1900, YEAR_MIN = 1970 };
    const struct tm wanted = {.tm_year = digits(text, 0, 4) - YEAR_0,
                              .tm_mon = digits(text, 5, 2) - 1,
                              .tm_mday = digits(text, 8, 2),
                              .tm_hour = digits(text, 11, 2),
                              .tm_min = digits(text, 14, 2),
                              .tm_sec = digits(text, 17, 2)};
    struct tm made = wanted;
    if (wanted.tm_sec < 0 || text.ptr[4] != '-' || text.ptr[7] != '-' || text.ptr[10] != 'T' ||
        text.ptr[13] != ':' || text.ptr[16] != ':' || wanted.tm_year < YEAR_MIN - YEAR_0) {
        return false;
    }
    *seconds = timegm(&made);
    return made.tm_mon == wanted.tm_mon && made.tm_mday == wanted.tm_mday &&
           made.tm_hour == wanted.tm_hour && made.tm_min == wanted.tm_min &&
           made.tm_sec == wanted.tm_sec;
}

bool clock_parse_iso(struct view text, int64_t *wall_ms)
{
    enum { FIXED_LEN = sizeof "2026-01-31T23:59:59" - 1 };
    int64_t seconds;
    int64_t ms;
    int64_t offset_s;
    if (text.len < FIXED_LEN || !parse_seconds(text, &seconds)) {
        return false;
    }
    struct view rest = view_from(text, FIXED_LEN);
    if (!parse_fraction(&rest, &ms) || !parse_zone(rest, &offset_s)) {
        return false;
    }
    *wall_ms = (seconds - offset_s) * 1000 + ms;
    return *wall_ms >= 0;
}
