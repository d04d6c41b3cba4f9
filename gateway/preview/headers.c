#include "gateway/preview/headers.h"

#include "gateway/http/syntax.h"

static const struct view hop_by_hop[] = {
    VIEW("Connection"),        VIEW("Keep-Alive"), VIEW("TE"),
    VIEW("Transfer-Encoding"), VIEW("Trailer"),    VIEW("Upgrade"),
    VIEW("Content-Length"),
};

struct view headers_find(struct header_set set, struct view name)
{
    for (size_t i = 0; i < set.count; i++) {
        if (view_equal_nocase(set.headers[i].name, name)) {
            return set.headers[i].value;
        }
    }
    return (struct view){0};
}

bool headers_is_one_of(const struct view *names, size_t count, struct view name)
{
    for (size_t i = 0; i < count; i++) {
        if (view_equal_nocase(names[i], name)) {
            return true;
        }
    }
    return false;
}

bool headers_is_hop_by_hop(struct header_set set, struct view name)
{
    const struct view proxy = VIEW("Proxy-");
    if (headers_is_one_of(hop_by_hop, sizeof hop_by_hop / sizeof hop_by_hop[0], name) ||
        (name.len > proxy.len && view_equal_nocase((struct view){name.ptr, proxy.len}, proxy))) {
        return true;
    }
    for (size_t i = 0; i < set.count; i++) {
        if (view_equal_nocase(set.headers[i].name, VIEW("Connection")) &&
            syntax_list_has(set.headers[i].value, name)) {
            return true;
        }
    }
    return false;
}
