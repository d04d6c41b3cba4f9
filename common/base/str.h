/* common/base/str.h: a string being built: grows, has a ceiling, remembers failure until asked. */
#ifndef COMMON_BASE_STR_H
#define COMMON_BASE_STR_H

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/base/view.h"

/* data is owned, NUL-terminated when not NULL. Start with STR_INIT(ceiling). */
struct str {
    char *data;
    size_t len;
    size_t capacity;
    size_t ceiling; /* bytes, without the NUL */
    bool failed;    /* out of memory or over the ceiling: appends do nothing any more */
    bool is_secret; /* what was in it is overwritten before its memory is anything else's */
};

#define STR_INIT(ceiling_bytes) ((struct str){.ceiling = (ceiling_bytes)})
#define STR_SECRET(ceiling_bytes) ((struct str){.ceiling = (ceiling_bytes), .is_secret = true})

void str_append(struct str *str, const void *bytes, size_t len);
void str_append_view(struct str *str, struct view view);
void str_append_string(struct str *str, const char *string);
void str_append_char(struct str *str, char c);
void str_appendf(struct str *str, const char *format, ...) PRINTF_LIKE(2, 3);

/* Makes room for len more bytes and returns where they go, NULL on failure. The caller fills
 * them and then calls str_advance. */
char *str_reserve(struct str *str, size_t len);
void str_advance(struct str *str, size_t len);

/* Whether everything appended is there; what is the subject of the error message. */
bool str_check(const struct str *str, const char *what, struct err *err) MUST_CHECK;

struct view str_view(const struct str *str);

/* Empties, keeps the memory and the ceiling. */
void str_clear(struct str *str);
/* Frees the memory; the str may be used again. */
void str_free(struct str *str);

#endif
