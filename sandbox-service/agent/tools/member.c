#include "sandbox-service/agent/tools/member.h"

static bool refuse(struct err *err, const char *why, struct view text)
{
    return err_set_reason(err, ERR_INVALID, "archive_unsafe", "%s: %.*s", why, (int)text.len,
                          text.ptr);
}

bool member_clean_name(struct view name, char out[PATH_SIZE], struct err *err)
{
    struct view rest = name;
    size_t len = 0;
    int depth = 0;
    if (name.len == 0 || name.len >= PATH_SIZE || name.ptr[0] == '/' ||
        memchr(name.ptr, '\0', name.len) != NULL) {
        return refuse(err, "a member has an empty, too long or absolute name", name);
    }
    while (rest.len > 0) {
        struct view component = view_cut(&rest, '/');
        if (component.len == 0 || view_equal(component, VIEW("."))) {
            continue;
        }
        if (view_equal(component, VIEW("..")) || component.len > PATH_COMPONENT_MAX ||
            ++depth > MEMBER_DEPTH_MAX) {
            return refuse(err, "a member lies outside, too deep, or has too long a name", name);
        }
        if (len > 0) {
            out[len++] = '/';
        }
        memcpy(out + len, component.ptr, component.len);
        len += component.len;
    }
    out[len] = '\0';
    return true;
}

static int folders_above(const char *clean_name)
{
    int count = 0;
    for (const char *slash = strchr(clean_name, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        count++;
    }
    return count;
}

bool member_check_target(const char *clean_name, struct view target, struct err *err)
{
    struct view rest = target;
    int may_climb = folders_above(clean_name);
    bool is_named = false;
    if (target.len == 0 || target.len >= PATH_SIZE || target.ptr[0] == '/' ||
        memchr(target.ptr, '\0', target.len) != NULL) {
        return refuse(err, "a link has an empty, too long or absolute target", target);
    }
    while (rest.len > 0) {
        struct view component = view_cut(&rest, '/');
        if (component.len == 0 || view_equal(component, VIEW("."))) {
            continue;
        }
        if (!view_equal(component, VIEW(".."))) {
            is_named = true;
        } else if (is_named || --may_climb < 0) {
            return refuse(err, "a link may lead outside", target);
        }
    }
    return true;
}
