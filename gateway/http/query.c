#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

enum { NAME_MAX_LEN = 64 };

bool http_decode(struct view encoded, char *out, size_t size)
{
    size_t len;
    if (!syntax_unescape(encoded, SYNTAX_PLUS, out, size, &len)) {
        return false;
    }
    struct view decoded = {out, len};
    return !view_equal(decoded, VIEW(".")) && !view_equal(decoded, VIEW("..")) &&
           memchr(out, '/', len) == NULL && memchr(out, '\\', len) == NULL;
}

/* The value, still encoded, of the first parameter of that name. */
static bool find(struct view query, const char *name, struct view *value)
{
    while (query.len > 0) {
        const char *end = memchr(query.ptr, '&', query.len);
        struct view pair = {query.ptr, end == NULL ? query.len : (size_t)(end - query.ptr)};
        query = view_from(query, end == NULL ? pair.len : pair.len + 1);
        const char *equals = pair.len == 0 ? NULL : memchr(pair.ptr, '=', pair.len);
        size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.ptr);
        char found[NAME_MAX_LEN];
        size_t len;
        if (syntax_unescape((struct view){pair.ptr, name_len}, SYNTAX_SPACE, found, sizeof found,
                            &len) &&
            strcmp(found, name) == 0) {
            *value = view_from(pair, equals == NULL ? name_len : name_len + 1);
            return true;
        }
    }
    return false;
}

bool http_query_has(struct view query, const char *name)
{
    struct view value;
    return find(query, name, &value);
}

bool http_query_find(struct view query, const char *name, char *out, size_t size)
{
    struct view value;
    size_t len;
    return find(query, name, &value) && syntax_unescape(value, SYNTAX_SPACE, out, size, &len);
}
