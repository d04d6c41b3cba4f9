#include "gateway/preview/answer_headers.h"

#include "gateway/http/syntax.h"
#include "gateway/preview/destination.h"
#include "gateway/preview/headers.h"

#include <assert.h>
#include <stdio.h>

/* They speak for a whole host: a report of errors, say, would tell a tenant what else of it a
 * visitor asks for. */
static const struct view host_wide[] = {
    VIEW("Accept-CH"),
    VIEW("Alt-Svc"),
    VIEW("Clear-Site-Data"),
    VIEW("Critical-CH"),
    VIEW("Expect-CT"),
    VIEW("NEL"),
    VIEW("Public-Key-Pins"),
    VIEW("Report-To"),
    VIEW("Service-Worker-Allowed"),
    VIEW("Strict-Transport-Security"),
    VIEW("Use-As-Dictionary"),
};

static bool is_dropped(const struct answer_head *head, bool is_path_form, struct view name)
{
    const struct header_set set = {head->headers, head->header_count};
    return headers_is_hop_by_hop(set, name) ||
           (is_path_form &&
            headers_is_one_of(host_wide, sizeof host_wide / sizeof host_wide[0], name));
}

static bool is_attribute(struct view attribute, struct view name)
{
    return view_equal_nocase(syntax_trim(view_cut(&attribute, '=')), name);
}

/* In the path form a cookie is for the prefix, whatever path the program knows. */
static void write_path(struct view path, const char *prefix, struct str *out)
{
    str_append_view(out, VIEW("; Path="));
    str_append_string(out, prefix);
    str_append_view(out, view_starts_with(path, VIEW("/")) ? path : VIEW("/"));
}

static void write_cookie(struct view value, const char *prefix, struct str *out)
{
    struct view path = {0};
    str_append_view(out, syntax_trim(view_cut(&value, ';')));
    while (value.len > 0) {
        struct view attribute = syntax_trim(view_cut(&value, ';'));
        if (prefix[0] != '\0' && is_attribute(attribute, VIEW("Path"))) {
            (void)view_cut(&attribute, '=');
            path = syntax_trim(attribute);
        } else if (attribute.len > 0 && !is_attribute(attribute, VIEW("Domain"))) {
            str_append_view(out, VIEW("; "));
            str_append_view(out, attribute);
        }
    }
    if (prefix[0] != '\0') {
        write_path(path, prefix, out);
    }
}

/* What is behind "http://localhost:{port}", as the program calls itself in the path form. */
static struct view less_own_origin(struct view location, uint16_t port)
{
    static const struct view names[] = {VIEW("http://localhost:"), VIEW("http://127.0.0.1:")};
    char digits[sizeof "65535"];
    (void)snprintf(digits, sizeof digits, "%u", (unsigned)port);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!view_starts_with(location, names[i]) ||
            !view_starts_with(view_from(location, names[i].len), view_of(digits))) {
            continue;
        }
        struct view rest = view_from(location, names[i].len + strlen(digits));
        if (rest.len == 0 || rest.ptr[0] == '/') {
            return rest.len == 0 ? VIEW("/") : rest;
        }
    }
    return location;
}

static void write_location(struct view value, const struct preview_destination *destination,
                           struct str *out)
{
    struct view location = less_own_origin(value, destination->port);
    struct view prefix = view_of(destination->prefix);
    bool is_path = view_starts_with(location, VIEW("/")) && !view_starts_with(location, VIEW("//"));
    bool has_prefix = view_starts_with(location, prefix) &&
                      (location.len == prefix.len || location.ptr[prefix.len] == '/');
    if (is_path && !has_prefix) {
        str_append_view(out, prefix);
    }
    str_append_view(out, location);
}

/* So that text never moves while items point into it. A cookie's attributes grow by a blank each,
 * and a value by one prefix. */
static bool reserve(struct answer_headers *out, const struct answer_head *head,
                    const struct preview_destination *destination, struct err *err)
{
    size_t room = 1;
    for (size_t i = 0; i < head->header_count; i++) {
        room += head->headers[i].value.len * 2 + strlen(destination->prefix) + sizeof "; Path=/";
    }
    out->text = STR_INIT(room);
    return str_reserve(&out->text, room) != NULL ||
           err_set(err, ERR_INTERNAL, "preview: out of memory");
}

void answer_headers_add(struct answer_headers *headers, struct view name, struct view value)
{
    assert(headers->count < sizeof headers->items / sizeof headers->items[0]);
    headers->items[headers->count++] = (struct http_header){name, value};
}

bool answer_headers_fill(struct answer_headers *out, const struct answer_head *head,
                         const struct preview_destination *destination, struct err *err)
{
    bool is_path_form = destination->form == PREVIEW_PATH;
    if (!reserve(out, head, destination, err)) {
        return false;
    }
    for (size_t i = 0; i < head->header_count; i++) {
        struct http_header header = head->headers[i];
        size_t begin = out->text.len;
        if (is_dropped(head, is_path_form, header.name)) {
            continue;
        }
        if (view_equal_nocase(header.name, VIEW("Set-Cookie"))) {
            write_cookie(header.value, destination->prefix, &out->text);
            header.value = view_from(str_view(&out->text), begin);
        } else if (is_path_form && view_equal_nocase(header.name, VIEW("Location"))) {
            write_location(header.value, destination, &out->text);
            header.value = view_from(str_view(&out->text), begin);
        }
        answer_headers_add(out, header.name, header.value);
    }
    return str_check(&out->text, "preview: headers", err);
}

void answer_headers_free(struct answer_headers *headers)
{
    str_free(&headers->text);
}
