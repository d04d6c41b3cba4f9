#include "sandbox-service/agent/path.h"

#include <stdio.h>

static bool components_fit(struct view path)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        len = path.ptr[i] == '/' ? 0 : len + 1;
        if (len > PATH_COMPONENT_MAX) {
            return false;
        }
    }
    return true;
}

static bool is_of_home(struct view path)
{
    return path.ptr[0] == '~' && (path.len == 1 || path.ptr[1] == '/');
}

/* "/a/./b//c" is "/a/b/c". A slash at the end stays: it asks for a folder. */
static void drop_empty_steps(char *path)
{
    char *to = path;
    for (const char *from = path; *from != '\0';) {
        bool is_dot = from[0] == '/' && from[1] == '.' && (from[2] == '/' || from[2] == '\0');
        if (is_dot) {
            from += 2;
        } else if (from[0] == '/' && from[1] == '/') {
            from++;
        } else {
            *to++ = *from++;
        }
    }
    if (to == path) {
        *to++ = '/';
    }
    *to = '\0';
}

bool path_resolve(struct view path, const char *work_dir, const char *home, char out[PATH_SIZE],
                  struct err *err)
{
    if (path.len == 0 || memchr(path.ptr, '\0', path.len) != NULL || !components_fit(path)) {
        return err_set_reason(err, ERR_INVALID, "invalid_path",
                              "a path must not be empty, hold a NUL or a name over %d bytes",
                              PATH_COMPONENT_MAX);
    }
    const char *base = work_dir;
    if (path.ptr[0] == '/') {
        base = "";
    } else if (is_of_home(path)) {
        base = home;
        path = view_from(path, 1);
    }
    const char *slash = base[0] != '\0' && path.len > 0 && path.ptr[0] != '/' ? "/" : "";
    int len = snprintf(out, PATH_SIZE, "%s%s%.*s", base, slash, (int)path.len, path.ptr);
    if (len < 0 || len >= PATH_SIZE) {
        return err_set_reason(err, ERR_INVALID, "invalid_path", "the path has more than %d bytes",
                              PATH_SIZE - 1);
    }
    drop_empty_steps(out);
    return true;
}
