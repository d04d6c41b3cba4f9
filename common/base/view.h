/* common/base/view.h: bytes that somebody else owns. */
#ifndef COMMON_BASE_VIEW_H
#define COMMON_BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* Not NUL-terminated, may hold NUL. ptr may be NULL when len is 0. */
struct view {
    const char *ptr;
    size_t len;
};

#define VIEW(literal) ((struct view){(literal), sizeof(literal) - 1})

static inline struct view view_of(const char *string)
{
    return (struct view){string, strlen(string)};
}

static inline bool view_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII letters compare without regard to case. */
static inline bool view_equal_nocase(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool view_starts_with(struct view view, struct view prefix)
{
    return view.len >= prefix.len && view_equal((struct view){view.ptr, prefix.len}, prefix);
}

static inline struct view view_from(struct view view, size_t offset)
{
    return (struct view){view.ptr + offset, view.len - offset};
}

/* Cuts text at the first separator: returns what is before it and leaves what is behind it. Without
 * a separator that is all of it and nothing. */
static inline struct view view_cut(struct view *text, char separator)
{
    const char *found =
        text->len == 0 ? NULL : (const char *)memchr(text->ptr, separator, text->len);
    struct view before = {text->ptr, found == NULL ? text->len : (size_t)(found - text->ptr)};
    *text = found == NULL ? VIEW("") : view_from(*text, before.len + 1);
    return before;
}

/* Copies into a buffer with a terminating NUL. False when it does not fit or holds a NUL. */
static inline bool view_copy(struct view view, char *buffer, size_t size)
{
    if (view.len >= size || (view.len > 0 && memchr(view.ptr, '\0', view.len) != NULL)) {
        return false;
    }
    if (view.len > 0) {
        memcpy(buffer, view.ptr, view.len);
    }
    buffer[view.len] = '\0';
    return true;
}

#endif
