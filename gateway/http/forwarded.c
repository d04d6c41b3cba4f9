#include "gateway/http/forwarded.h"

#include "gateway/http/syntax.h"

enum { PORT_DIGITS_MAX = 5 };

/* Lines of one name are one list. Goes through it from its end. */
struct hops {
    const struct http_header *headers;
    size_t header_count; /* of those not looked at yet */
    struct view rest;    /* of the line at hand */
    bool in_line;
};

static bool previous_line(struct hops *hops, struct view name)
{
    while (hops->header_count > 0) {
        const struct http_header *header = &hops->headers[--hops->header_count];
        if (view_equal_nocase(header->name, name)) {
            hops->rest = header->value;
            hops->in_line = true;
            return true;
        }
    }
    return false;
}

/* Trimmed, perhaps empty; false when there is no more. */
static bool previous_item(struct hops *hops, struct view name, struct view *item)
{
    if (!hops->in_line && !previous_line(hops, name)) {
        return false;
    }
    struct view line = hops->rest;
    const char *comma = line.len == 0 ? NULL : memrchr(line.ptr, ',', line.len);
    size_t start = comma == NULL ? 0 : (size_t)(comma - line.ptr) + 1;
    *item = syntax_trim((struct view){line.ptr + start, line.len - start});
    hops->rest = (struct view){line.ptr, comma == NULL ? 0 : start - 1};
    hops->in_line = comma != NULL;
    return true;
}

static bool last_item(const struct http_header *headers, size_t header_count, struct view name,
                      struct view *item)
{
    struct hops hops = {.headers = headers, .header_count = header_count};
    return previous_item(&hops, name, item);
}

static bool is_port(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0 && text.len <= PORT_DIGITS_MAX;
}

/* "[IPv6]" or "[IPv6]:port" */
static bool read_bracketed(struct view text, struct address *out)
{
    struct view rest = view_from(text, 1);
    const char *end = rest.len == 0 ? NULL : memchr(rest.ptr, ']', rest.len);
    if (end == NULL) {
        return false;
    }
    struct view inside = {rest.ptr, (size_t)(end - rest.ptr)};
    struct view behind = view_from(rest, inside.len + 1);
    bool port_is_good = behind.len == 0 || (behind.ptr[0] == ':' && is_port(view_from(behind, 1)));
    return port_is_good && memchr(inside.ptr, ':', inside.len) != NULL &&
           address_parse(inside, out);
}

/* One colon parts a port from IPv4; several are IPv6 alone. */
static bool read_hop(struct view text, struct address *out)
{
    if (text.len == 0) {
        return false;
    }
    if (text.ptr[0] == '[') {
        return read_bracketed(text, out);
    }
    const char *first = memchr(text.ptr, ':', text.len);
    if (first == NULL || first != memrchr(text.ptr, ':', text.len)) {
        return address_parse(text, out);
    }
    struct view address = {text.ptr, (size_t)(first - text.ptr)};
    return is_port(view_from(text, address.len + 1)) && address_parse(address, out);
}

static struct address find_client(const struct address_list *trusted, const struct address *peer,
                                  const struct http_header *headers, size_t header_count)
{
    struct hops hops = {.headers = headers, .header_count = header_count};
    struct address client = *peer;
    struct view item;
    int proxies = 1;
    while (address_list_has(trusted, &client) &&
           previous_item(&hops, VIEW("X-Forwarded-For"), &item)) {
        if (proxies++ == FORWARDED_HOPS_MAX || !read_hop(item, &client)) {
            return *peer;
        }
    }
    return client;
}

static enum forwarded_scheme scheme_of(struct view text)
{
    if (view_equal_nocase(text, VIEW("https"))) {
        return FORWARDED_HTTPS;
    }
    return view_equal_nocase(text, VIEW("http")) ? FORWARDED_HTTP : FORWARDED_SCHEME_UNKNOWN;
}

void forwarded_read(const struct address_list *trusted, const struct address *peer,
                    const struct http_header *headers, size_t header_count, struct forwarded *out)
{
    struct view item;
    *out = (struct forwarded){.client = *peer};
    if (!address_list_has(trusted, peer)) {
        return;
    }
    out->client = find_client(trusted, peer, headers, header_count);
    if (last_item(headers, header_count, VIEW("X-Forwarded-Proto"), &item)) {
        out->scheme = scheme_of(item);
    }
    if (last_item(headers, header_count, VIEW("X-Forwarded-Host"), &item) && syntax_is_host(item)) {
        out->host = item;
    }
}
