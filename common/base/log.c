#include "common/base/log.h"

#include "common/base/clock.h"
#include "common/base/utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LOG_LINE_SIZE = 8192,
    LOG_VALUE_MAX = 1024,
    LOG_ESCAPE_SIZE = 7, /* \u001f and its NUL */
    PIECE_MAX = 4096,    /* what a pipe that has room takes at once */
    READER_WAIT_MS = 100,
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *service_name = "";
static _Atomic enum log_level least_level = LOG_INFO;
static atomic_bool reader_is_away; /* it was waited for already */
static atomic_bool last_is_cut;    /* the last line that was begun has no end */
static atomic_uint lost;           /* lines that nobody was told of yet */

/* A line under construction; a field that does not fit is left out whole. */
struct line {
    char bytes[LOG_LINE_SIZE];
    size_t len; /* the closing brace and newline always have room behind it */
    bool overflowed;
};

void log_open(const char *service, enum log_level least)
{
    service_name = service;
    atomic_store(&least_level, least);
}

void log_set_level(enum log_level least)
{
    atomic_store(&least_level, least);
}

bool log_is_on(enum log_level level)
{
    return level >= atomic_load(&least_level);
}

bool log_level_parse(struct view name, enum log_level *out)
{
    for (enum log_level level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (view_equal(name, view_of(level_names[level]))) {
            *out = level;
            return true;
        }
    }
    return false;
}

static void put(struct line *line, struct view bytes)
{
    if (bytes.len > sizeof line->bytes - 2 - line->len) {
        line->overflowed = true;
        return;
    }
    memcpy(line->bytes + line->len, bytes.ptr, bytes.len);
    line->len += bytes.len;
}

static void put_char(struct line *line, struct view text, size_t length)
{
    unsigned char c = (unsigned char)text.ptr[0];
    if (length == 0) {
        put(line, VIEW("\xef\xbf\xbd"));
    } else if (c < 0x20 || c == 0x7f) {
        char escape[LOG_ESCAPE_SIZE];
        (void)snprintf(escape, sizeof escape, "\\u%04x", c);
        put(line, view_of(escape));
    } else {
        if (c == '"' || c == '\\') {
            put(line, VIEW("\\"));
        }
        put(line, (struct view){text.ptr, length});
    }
}

static void put_string(struct line *line, struct view text)
{
    if (text.len > LOG_VALUE_MAX) {
        text.len = LOG_VALUE_MAX;
    }
    put(line, VIEW("\""));
    while (text.len > 0) {
        size_t skip;
        size_t length = utf8_length(text, &skip);
        put_char(line, text, length);
        text = view_from(text, length == 0 ? skip : length);
    }
    put(line, VIEW("\""));
}

static void put_member(struct line *line, const char *name, struct view text)
{
    put(line, VIEW(",\""));
    put(line, view_of(name));
    put(line, VIEW("\":"));
    put_string(line, text);
}

static void put_field(struct line *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_STR) {
        put_member(line, field->name, field->text);
        return;
    }
    char number[ERR_REASON_SIZE + 24];
    int length =
        snprintf(number, sizeof number, ",\"%.40s\":%lld", field->name, (long long)field->number);
    put(line, (struct view){number, (size_t)length});
}

/* Who reads the log may have stopped, as svlogd does while its disk is full; this process must not.
 */
static bool has_room(void)
{
    struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};
    int wait_ms = atomic_load(&reader_is_away) ? 0 : READER_WAIT_MS;
    int ready;
    do {
        ready = poll(&reader, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    atomic_store(&reader_is_away, ready == 0);
    return ready != 0;
}

/* Returns how much of it was. */
static size_t write_out(struct view bytes)
{
    size_t done = 0;
    while (done < bytes.len && has_room()) {
        size_t left = bytes.len - done;
        ssize_t written =
            write(STDERR_FILENO, bytes.ptr + done, left < PIECE_MAX ? left : PIECE_MAX);
        if (written <= 0) {
            break; /* Nobody is left to tell. */
        }
        done += (size_t)written;
    }
    return done;
}

static bool write_line(enum log_level level, const char *event, const struct log_field *fields,
                       size_t field_count)
{
    struct line line;
    line.len = 0;
    line.overflowed = false;
    char now[CLOCK_ISO_SIZE];
    clock_format_iso(clock_wall_ms(), now);
    put(&line, atomic_load(&last_is_cut) ? VIEW("\n{\"time\":") : VIEW("{\"time\":"));
    put_string(&line, view_of(now));
    put_member(&line, "level", view_of(level_names[level]));
    put_member(&line, "service", view_of(service_name));
    put_member(&line, "event", view_of(event));
    for (size_t i = 0; i < field_count; i++) {
        size_t before = line.len;
        put_field(&line, &fields[i]);
        if (line.overflowed) {
            line.len = before;
            line.overflowed = false;
        }
    }
    line.bytes[line.len++] = '}';
    line.bytes[line.len++] = '\n';
    size_t written = write_out((struct view){line.bytes, line.len});
    if (written > 0) {
        atomic_store(&last_is_cut, written < line.len);
    }
    return written == line.len;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count)
{
    unsigned missing = atomic_load(&lost);
    const struct log_field count = LOG_INT("count", missing);
    if (missing > 0 && write_line(LOG_WARN, "log.lost", &count, 1)) {
        atomic_fetch_sub(&lost, missing);
    }
    if (!write_line(level, event, fields, field_count)) {
        atomic_fetch_add(&lost, 1);
    }
}
