#include "gateway/preview/destination.h"

#include "gateway/http/server.h"

enum {
    ID32_LEN = ID32_SIZE - 1,
    PORT_DIGITS_MAX = 5,
    PORT_MAX = 65535,
};

static const struct view path_start = VIEW("/preview/");

/* Decimal, without zeros in front, so that one port has one name. */
static bool read_port(struct view text, uint16_t *out)
{
    unsigned port = 0;
    if (text.len == 0 || text.len > PORT_DIGITS_MAX || text.ptr[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = (uint16_t)port;
    return port <= PORT_MAX;
}

/* Less ":port" and the root's dot. */
static struct view name_of(struct view host)
{
    const char *colon = host.len == 0 ? NULL : memchr(host.ptr, ':', host.len);
    struct view name = {host.ptr, colon == NULL ? host.len : (size_t)(colon - host.ptr)};
    if (name.len > 0 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    return name;
}

/* The label in front of ".domain"; empty when the host is no name below it. */
static struct view label_below(struct view host, struct view domain)
{
    struct view name = name_of(host);
    if (domain.len == 0 || name.len < domain.len + 2) {
        return (struct view){0};
    }
    size_t label_len = name.len - domain.len - 1;
    if (name.ptr[label_len] != '.' || !view_equal_nocase(view_from(name, label_len + 1), domain)) {
        return (struct view){0};
    }
    return (struct view){name.ptr, label_len};
}

/* Any name that ends in an id is ours to answer, whatever stands in front: it never is the API's.
 */
static bool read_host(struct view host, const char *domain, struct preview_destination *out)
{
    struct view label = label_below(host, view_of(domain));
    if (label.len < ID32_LEN + 1 || label.ptr[label.len - ID32_LEN - 1] != '-' ||
        !id_from_id32(view_from(label, label.len - ID32_LEN), out->sandbox_id)) {
        return false;
    }
    struct view port = {label.ptr, label.len - ID32_LEN - 1};
    out->form = PREVIEW_HOST;
    out->is_named = read_port(port, &out->port);
    return true;
}

static void read_path(struct view path, struct preview_destination *out)
{
    struct view rest = view_from(path, path_start.len);
    struct view id = view_cut(&rest, '/');
    size_t port_len = 0;
    while (port_len < rest.len && rest.ptr[port_len] != '/') {
        port_len++;
    }
    out->form = PREVIEW_PATH;
    out->is_named =
        id_parse(id, out->sandbox_id) && read_port((struct view){rest.ptr, port_len}, &out->port);
    if (!out->is_named) {
        return;
    }
    size_t prefix_len = (size_t)(rest.ptr + port_len - path.ptr);
    out->is_named = view_copy((struct view){path.ptr, prefix_len}, out->prefix, sizeof out->prefix);
    out->path = view_from(path, prefix_len);
}

void preview_find_destination(const struct http_head *head, const char *domain,
                              struct preview_destination *out)
{
    *out = (struct preview_destination){.path = head->path};
    if (!read_host(head->host, domain, out) && view_starts_with(head->path, path_start)) {
        read_path(head->path, out);
    }
}
