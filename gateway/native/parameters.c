#include "gateway/native/parameters.h"

#include "common/base/cleanup.h"
#include "common/base/clock.h"
#include "gateway/http/server.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_SIZE = 24, TIME_TEXT_SIZE = 48, MODE_DIGITS_MIN = 3 };

static PRINTF_LIKE(3, 4) void violate(struct parameters *parameters, const char *name,
                                      const char *format, ...)
{
    struct json_violations *all = &parameters->violations;
    if (all->count == JSON_VIOLATIONS_MAX) {
        return;
    }
    struct json_violation *violation = &all->items[all->count++];
    (void)snprintf(violation->path, sizeof violation->path, "%s", name);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(violation->message, sizeof violation->message, format, args);
    va_end(args);
}

void parameter_text(struct parameters *parameters, const char *name, enum parameter_needed needed,
                    char *out, size_t size)
{
    out[0] = '\0';
    if (!http_query_has(parameters->query, name)) {
        if (needed == PARAMETER_REQUIRED) {
            violate(parameters, name, "is required");
        }
    } else if (!http_query_find(parameters->query, name, out, size)) {
        out[0] = '\0';
        violate(parameters, name, "must be UTF-8 without NUL, of at most %zu bytes", size - 1);
    } else if (out[0] == '\0' && needed == PARAMETER_REQUIRED) {
        violate(parameters, name, "must not be empty");
    }
}

size_t parameter_word(struct parameters *parameters, const char *name, const char *const *words)
{
    char text[NUMBER_SIZE] = "";
    if (!http_query_has(parameters->query, name)) {
        return 0;
    }
    bool found = http_query_find(parameters->query, name, text, sizeof text);
    for (size_t i = 0; found && words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            return i;
        }
    }
    char allowed[JSON_VIOLATION_MESSAGE_SIZE / 2] = "";
    size_t length = 0;
    for (size_t i = 0; words[i] != NULL && length < sizeof allowed; i++) {
        int added = snprintf(allowed + length, sizeof allowed - length, "%s%s", i == 0 ? "" : ", ",
                             words[i]);
        length += added > 0 ? (size_t)added : 0;
    }
    violate(parameters, name, "must be one of: %s", allowed);
    return 0;
}

bool parameter_bool(struct parameters *parameters, const char *name, bool fallback)
{
    static const char *const words[] = {"false", "true", "0", "1", NULL};
    if (!http_query_has(parameters->query, name)) {
        return fallback;
    }
    return parameter_word(parameters, name, words) % 2 == 1;
}

static bool read_number(const char *text, int64_t *out)
{
    char *end = NULL;
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0';
}

int64_t parameter_int(struct parameters *parameters, const char *name, int64_t min, int64_t max,
                      int64_t fallback)
{
    char text[NUMBER_SIZE] = "";
    int64_t number = 0;
    if (!http_query_has(parameters->query, name)) {
        return fallback;
    }
    if (http_query_find(parameters->query, name, text, sizeof text) && read_number(text, &number) &&
        number >= min && number <= max) {
        return number;
    }
    violate(parameters, name, "must be a whole number from %" PRId64 " to %" PRId64, min, max);
    return fallback;
}

int64_t parameter_time(struct parameters *parameters, const char *name)
{
    char text[TIME_TEXT_SIZE] = "";
    int64_t wall_ms = 0;
    if (http_query_has(parameters->query, name) &&
        !(http_query_find(parameters->query, name, text, sizeof text) &&
          clock_parse_iso(view_of(text), &wall_ms))) {
        violate(parameters, name, "must be a time such as 2026-01-31T23:59:59Z");
        return 0;
    }
    return wall_ms;
}

void parameter_id(struct parameters *parameters, const char *name, char out[ID_SIZE])
{
    char text[ID_SIZE] = "";
    out[0] = '\0';
    if (http_query_has(parameters->query, name) &&
        !(http_query_find(parameters->query, name, text, sizeof text) &&
          id_parse(view_of(text), out))) {
        out[0] = '\0';
        violate(parameters, name, "must be a UUID");
    }
}

void parameter_refuse(struct parameters *parameters, const char *name, const char *problem)
{
    violate(parameters, name, "%s", problem);
}

void parameter_mode(struct parameters *parameters, const char *name, char out[PARAMETER_MODE_SIZE])
{
    out[0] = '\0';
    if (!http_query_has(parameters->query, name)) {
        return;
    }
    bool found = http_query_find(parameters->query, name, out, PARAMETER_MODE_SIZE);
    size_t digits = found ? strspn(out, "01234567") : 0;
    if (digits < MODE_DIGITS_MIN || out[digits] != '\0') {
        out[0] = '\0';
        violate(parameters, name, "must be three or four octal digits, such as 0644");
    }
}

struct view parameter_choice(struct parameters *parameters, const char *name,
                             const char *const *words)
{
    size_t wrong_before = parameters->violations.count;
    size_t word = parameter_word(parameters, name, words);
    bool is_there =
        http_query_has(parameters->query, name) && parameters->violations.count == wrong_before;
    return is_there ? view_of(words[word]) : (struct view){0};
}

bool parameter_cursor(const struct parameters *parameters, char out[PARAMETER_CURSOR_SIZE],
                      struct err *err)
{
    out[0] = '\0';
    return !http_query_has(parameters->query, "cursor") ||
           http_query_find(parameters->query, "cursor", out, PARAMETER_CURSOR_SIZE) ||
           err_set_reason(err, ERR_INVALID, "invalid_cursor", "The cursor is not one of ours.");
}

bool parameters_check(const struct parameters *parameters, struct err *err)
{
    if (parameters->violations.count == 0) {
        return true;
    }
    const struct json_violation *first = &parameters->violations.items[0];
    return err_set_reason(err, ERR_INVALID, "validation_failed", "%s %s", first->path,
                          first->message);
}
