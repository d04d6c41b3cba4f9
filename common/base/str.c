#include "common/base/str.h"

#include "common/base/secret.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { STR_FIRST_CAPACITY = 128 };

/* realloc may leave what was there behind. */
static char *move_secret(const struct str *str, size_t capacity)
{
    char *data = malloc(capacity);
    if (data != NULL && str->data != NULL) {
        memcpy(data, str->data, str->len + 1);
        secret_wipe(str->data, str->capacity);
        free(str->data);
    }
    return data;
}

char *str_reserve(struct str *str, size_t len)
{
    if (str->failed || len > str->ceiling || str->len > str->ceiling - len) {
        str->failed = true;
        return NULL;
    }
    size_t needed = str->len + len + 1;
    if (needed > str->capacity) {
        size_t capacity = str->capacity == 0 ? STR_FIRST_CAPACITY : str->capacity * 2;
        capacity = capacity < needed ? needed : capacity;
        char *data = str->is_secret ? move_secret(str, capacity) : realloc(str->data, capacity);
        if (data == NULL) {
            str->failed = true;
            return NULL;
        }
        str->data = data;
        str->capacity = capacity;
    }
    return str->data + str->len;
}

void str_advance(struct str *str, size_t len)
{
    assert(str->len + len < str->capacity);
    str->len += len;
    str->data[str->len] = '\0';
}

void str_append(struct str *str, const void *bytes, size_t len)
{
    char *end = str_reserve(str, len);
    if (end == NULL) {
        return;
    }
    if (len > 0) {
        memcpy(end, bytes, len);
    }
    str_advance(str, len);
}

void str_append_view(struct str *str, struct view view)
{
    str_append(str, view.ptr, view.len);
}

void str_append_string(struct str *str, const char *string)
{
    str_append(str, string, strlen(string));
}

void str_append_char(struct str *str, char c)
{
    str_append(str, &c, 1);
}

void str_appendf(struct str *str, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *end = length < 0 ? NULL : str_reserve(str, (size_t)length);
    if (end != NULL) {
        (void)vsnprintf(end, (size_t)length + 1, format, again);
        str_advance(str, (size_t)length);
    } else {
        str->failed = true;
    }
    va_end(again);
}

bool str_check(const struct str *str, const char *what, struct err *err)
{
    if (str->failed) {
        return err_set(err, ERR_INTERNAL, "%s: out of memory or over %zu bytes", what,
                       str->ceiling);
    }
    return true;
}

struct view str_view(const struct str *str)
{
    return (struct view){str->data, str->len};
}

void str_clear(struct str *str)
{
    if (str->is_secret && str->data != NULL) {
        secret_wipe(str->data, str->len);
    }
    str->len = 0;
    str->failed = false;
    if (str->data != NULL) {
        str->data[0] = '\0';
    }
}

void str_free(struct str *str)
{
    if (str->is_secret && str->data != NULL) {
        secret_wipe(str->data, str->capacity);
    }
    free(str->data);
    str->data = NULL;
    str->len = 0;
    str->capacity = 0;
    str->failed = false;
}
