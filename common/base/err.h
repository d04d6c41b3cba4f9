/* common/base/err.h: the one way a function says what went wrong. */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

#include "common/base/cleanup.h"

#include <stdbool.h>

enum {
    ERR_MESSAGE_SIZE = 240,
    ERR_REASON_SIZE = 48,
};

enum err_code {
    ERR_NONE,
    ERR_INVALID,         /* 400 */
    ERR_UNAUTHENTICATED, /* 401 */
    ERR_DENIED,          /* 403 */
    ERR_NOT_FOUND,       /* 404 */
    ERR_CONFLICT,        /* 409 */
    ERR_LIMIT,           /* 429 */
    ERR_UNAVAILABLE,     /* 503; its message is for the log only, as those of the next two */
    ERR_TIMEOUT,         /* 504 */
    ERR_INTERNAL,        /* 500 */
};

/* Lives in the caller's frame or request; has no owner and can't itself fail. */
struct err {
    enum err_code code;
    char reason[ERR_REASON_SIZE]; /* snake_case, stable: the `code` a client sees */
    char message[ERR_MESSAGE_SIZE];
};

/* Fills err with the code's own name as reason; a longer message is cut. Returns false, so that
 * failing is one statement. */
bool err_set(struct err *err, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same with a reason of its own, such as "agent_lost". */
bool err_set_reason(struct err *err, enum err_code code, const char *reason, const char *format,
                    ...) PRINTF_LIKE(4, 5);

/* Puts what was being done in front of the message: "<format>: <message>". Returns false. */
bool err_wrap(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* "invalid", "not_found", ...: how a code is called between processes and in logs. */
const char *err_code_name(enum err_code code);

/* The code of that name; ERR_INTERNAL for a name we do not know. */
enum err_code err_code_from_name(const char *name);

/* The HTTP status of a code (500 for ERR_NONE: asking is a bug). */
int err_http_status(enum err_code code);

/* Whether the message may be shown to a client. */
bool err_message_is_public(enum err_code code);

#endif
