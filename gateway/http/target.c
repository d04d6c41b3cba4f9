#include "gateway/http/target.h"

#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

bool target_bytes_are_valid(struct view target)
{
    for (size_t i = 0; i < target.len; i++) {
        unsigned char byte = (unsigned char)target.ptr[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '\\' || byte == '#') {
            return false;
        }
    }
    return target.len > 0;
}

static size_t find(struct view text, char c)
{
    const char *at = text.len == 0 ? NULL : memchr(text.ptr, c, text.len);
    return at == NULL ? text.len : (size_t)(at - text.ptr);
}

/* rest is "/path?query", or "?query" or "" after the host of an absolute form. */
static void split_path(struct view rest, struct target *out)
{
    size_t path_len = find(rest, '?');
    out->path = path_len == 0 ? VIEW("/") : (struct view){rest.ptr, path_len};
    out->query = path_len == rest.len ? (struct view){0} : view_from(rest, path_len + 1);
}

static bool skip_scheme(struct view *target)
{
    static const struct view schemes[] = {VIEW("http://"), VIEW("https://")};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (target->len >= schemes[i].len &&
            view_equal_nocase((struct view){target->ptr, schemes[i].len}, schemes[i])) {
            *target = view_from(*target, schemes[i].len);
            return true;
        }
    }
    return false;
}

bool target_split(struct view target, bool asterisk, struct target *out)
{
    *out = (struct target){0};
    if (target.len > 0 && target.ptr[0] == '/') {
        split_path(target, out);
        return true;
    }
    if (asterisk && view_equal(target, VIEW("*"))) {
        out->path = target;
        return true;
    }
    if (!skip_scheme(&target)) {
        return false;
    }
    size_t slash = find(target, '/');
    size_t question = find(target, '?');
    size_t host_len = slash < question ? slash : question;
    out->host = (struct view){target.ptr, host_len};
    split_path(view_from(target, host_len), out);
    return syntax_is_host(out->host);
}

static bool has_dot_segment(struct view path)
{
    while (path.len > 0) {
        size_t len = find(path, '/');
        struct view segment = {path.ptr, len};
        if (view_equal(segment, VIEW(".")) || view_equal(segment, VIEW(".."))) {
            return true;
        }
        path = view_from(path, len == path.len ? len : len + 1);
    }
    return false;
}

static bool part_is_valid(struct view part, bool is_path)
{
    char decoded[HTTP_TARGET_MAX + 1];
    size_t len = part.len;
    bool escaped = find(part, '%') < part.len;
    if (escaped && !syntax_unescape(part, SYNTAX_PLUS, decoded, sizeof decoded, &len)) {
        return false;
    }
    return !is_path || !has_dot_segment((struct view){escaped ? decoded : part.ptr, len});
}

bool target_escapes_are_valid(const struct target *target)
{
    return part_is_valid(target->path, true) && part_is_valid(target->query, false);
}
