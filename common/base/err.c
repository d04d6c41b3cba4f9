#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http_status;
    bool is_public;
} codes[] = {
    [ERR_NONE] = {"none", 500, false},
    [ERR_INVALID] = {"invalid", 400, true},
    [ERR_UNAUTHENTICATED] = {"unauthenticated", 401, true},
    [ERR_DENIED] = {"denied", 403, true},
    [ERR_NOT_FOUND] = {"not_found", 404, true},
    [ERR_CONFLICT] = {"conflict", 409, true},
    [ERR_LIMIT] = {"limit", 429, true},
    [ERR_UNAVAILABLE] = {"unavailable", 503, false},
    [ERR_TIMEOUT] = {"timeout", 504, false},
    [ERR_INTERNAL] = {"internal", 500, false},
};

static PRINTF_LIKE(4, 0) void fill(struct err *err, enum err_code code, const char *reason,
                                   const char *format, va_list args)
{
    err->code = code;
    (void)snprintf(err->reason, sizeof err->reason, "%s", reason);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
}

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, codes[code].name, format, args);
    va_end(args);
    return false;
}

bool err_set_reason(struct err *err, enum err_code code, const char *reason, const char *format,
                    ...)
{
    va_list args;
    va_start(args, format);
    fill(err, code, reason, format, args);
    va_end(args);
    return false;
}

bool err_wrap(struct err *err, const char *format, ...)
{
    char inner[ERR_MESSAGE_SIZE];
    memcpy(inner, err->message, sizeof inner);
    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (length >= 0 && (size_t)length < sizeof err->message) {
        size_t room = sizeof err->message - (size_t)length;
        (void)snprintf(err->message + length, room, ": %.*s", (int)room, inner);
    }
    return false;
}

const char *err_code_name(enum err_code code)
{
    return codes[code].name;
}

enum err_code err_code_from_name(const char *name)
{
    for (enum err_code code = ERR_INVALID; code <= ERR_INTERNAL; code++) {
        if (strcmp(codes[code].name, name) == 0) {
            return code;
        }
    }
    return ERR_INTERNAL;
}

int err_http_status(enum err_code code)
{
    return codes[code].http_status;
}

bool err_message_is_public(enum err_code code)
{
    return codes[code].is_public;
}
