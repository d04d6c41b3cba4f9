/* common/base/log.h: one JSON line an event on stderr. A reader that takes nothing more (its disk
 * is full) stops nobody: lines are lost then, and counted in the next one (log.lost). */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_kind { LOG_KIND_STR, LOG_KIND_INT };

struct log_field {
    const char *name;
    enum log_kind kind;
    struct view text;
    int64_t number;
};

/* Control bytes are escaped, invalid UTF-8 replaced, values cut at 1 KiB. NULL prints as "". */
#define LOG_STR(name_, string_) ((struct log_field){.name = (name_), .text = log_text(string_)})
#define LOG_VIEW(name_, view_) ((struct log_field){.name = (name_), .text = (view_)})
#define LOG_INT(name_, number_)                                                                    \
    ((struct log_field){.name = (name_), .kind = LOG_KIND_INT, .number = (int64_t)(number_)})
/* The message and the reason of a struct err: two fields. */
#define LOG_ERR(err_) LOG_STR("error", (err_)->message), LOG_STR("reason", (err_)->reason)

/* log_info("sandbox.started", LOG_STR("sandbox_id", id), LOG_INT("duration_ms", ms)); the event
 * name is stable and dotted. error: somebody must act; a client's mistake is info. */
#define log_debug(...) LOG_AT_(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_AT_(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_AT_(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT_(LOG_ERROR, __VA_ARGS__)

#define LOG_AT_(level, event, ...)                                                                 \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                               \
            log_write((level), (event), fields_ + 1, sizeof fields_ / sizeof fields_[0] - 1);      \
        }                                                                                          \
    } while (0)

/* Names the process in every line (borrows name for ever) and sets the least level written. */
void log_open(const char *service, enum log_level least);
void log_set_level(enum log_level least);
bool log_is_on(enum log_level level);
/* "debug", "info", "warn" or "error". */
bool log_level_parse(struct view name, enum log_level *out) MUST_CHECK;

/* What the macros call. Safe from any thread: a line is one write(2). */
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count);

static inline struct view log_text(const char *string)
{
    return string == NULL ? (struct view){0} : view_of(string);
}

#endif
