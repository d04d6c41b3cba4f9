#include "gateway/native/conditions.h"

#include "gateway/http/syntax.h"

#include <stdio.h>
#include <time.h>

enum { DIGITS_MAX = 18 }; /* so that no sum leaves an int64_t */

/* All of text, which may be empty: then -1. */
static bool read_position(struct view text, int64_t *out)
{
    *out = text.len == 0 ? -1 : 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i >= DIGITS_MAX) {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return true;
}

static enum range_outcome last_bytes(int64_t count, int64_t size, struct byte_range *out)
{
    if (count == 0 || size == 0) {
        return RANGE_UNSATISFIABLE;
    }
    out->length = count < size ? count : size;
    out->first = size - out->length;
    return RANGE_PART;
}

enum range_outcome range_resolve(struct view header, int64_t size, struct byte_range *out)
{
    const struct view unit = VIEW("bytes=");
    int64_t first;
    int64_t last;
    if (header.len <= unit.len || !view_equal_nocase((struct view){header.ptr, unit.len}, unit)) {
        return RANGE_WHOLE;
    }
    struct view range = syntax_trim(view_from(header, unit.len));
    if (memchr(range.ptr, '-', range.len) == NULL) {
        return RANGE_WHOLE;
    }
    struct view from = view_cut(&range, '-');
    if (!read_position(from, &first) || !read_position(range, &last) || (first < 0 && last < 0) ||
        (first >= 0 && last >= 0 && last < first)) {
        return RANGE_WHOLE;
    }
    if (first < 0) {
        return last_bytes(last, size, out);
    }
    if (first >= size) {
        return RANGE_UNSATISFIABLE;
    }
    last = last < 0 || last >= size ? size - 1 : last;
    *out = (struct byte_range){first, last - first + 1};
    return RANGE_PART;
}

bool etag_list_has(struct view list, struct view etag)
{
    const struct view weak = VIEW("W/");
    struct view item;
    while (syntax_next_item(&list, &item)) {
        if (view_equal(item, VIEW("*"))) {
            return true;
        }
        if (view_starts_with(item, weak)) {
            item = view_from(item, weak.len);
        }
        if (view_equal(item, etag)) {
            return true;
        }
    }
    return false;
}

/* count digits of text at offset. */
static int number_at(struct view text, size_t offset, size_t count)
{
    int number = 0;
    for (size_t i = offset; i < offset + count; i++) {
        if (i >= text.len || text.ptr[i] < '0' || text.ptr[i] > '9') {
            return -1;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    return number;
}

bool http_date_of_iso(struct view iso, char out[HTTP_DATE_SIZE])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = {
        .tm_year = number_at(iso, 0, 4) - 1900,
        .tm_mon = number_at(iso, 5, 2) - 1,
        .tm_mday = number_at(iso, 8, 2),
        .tm_hour = number_at(iso, 11, 2),
        .tm_min = number_at(iso, 14, 2),
        .tm_sec = number_at(iso, 17, 2),
    };
    if (tm.tm_year < -1900 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_hour < 0 ||
        tm.tm_min < 0 || tm.tm_sec < 0) {
        return false;
    }
    time_t seconds = timegm(&tm);
    if (gmtime_r(&seconds, &tm) == NULL || tm.tm_year > 9999 - 1900) {
        return false;
    }
    char text[64];
    (void)snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                   tm.tm_sec);
    return view_copy(view_of(text), out, HTTP_DATE_SIZE);
}
