#include "gateway/preview/access.h"

#include "gateway/http/server.h"
#include "gateway/http/syntax.h"
#include "gateway/preview/destination.h"
#include "gateway/preview/headers.h"

static const struct view token_headers[] = {VIEW("X-Preview-Token"), VIEW("insien-preview-token")};
enum { TOKEN_HEADER_COUNT = sizeof token_headers / sizeof token_headers[0] };

bool access_is_token_header(struct view name)
{
    return headers_is_one_of(token_headers, TOKEN_HEADER_COUNT, name);
}

struct view access_find_protocol(struct view protocols)
{
    struct view item;
    while (syntax_next_item(&protocols, &item)) {
        if (view_starts_with(item, VIEW(ACCESS_PROTOCOL))) {
            return item;
        }
    }
    return (struct view){0};
}

/* Takes the next "name=value" off a Cookie header. */
static bool next_cookie(struct view *cookies, struct view *pair)
{
    while (cookies->len > 0) {
        *pair = syntax_trim(view_cut(cookies, ';'));
        if (pair->len > 0) {
            return true;
        }
    }
    return false;
}

static bool is_our_cookie(struct view pair)
{
    return view_equal(syntax_trim(view_cut(&pair, '=')), VIEW(ACCESS_COOKIE));
}

struct check {
    access_check_fn *is_right;
    void *arg;
};

static bool ask(const struct check *check, struct view token)
{
    return token.len > 0 && token.len <= ACCESS_TOKEN_MAX && check->is_right(token, check->arg);
}

static bool is_in_cookies(const struct check *check, struct view cookies)
{
    struct view pair;
    while (next_cookie(&cookies, &pair)) {
        if (is_our_cookie(pair)) {
            struct view value = pair;
            (void)view_cut(&value, '=');
            if (ask(check, syntax_trim(value))) {
                return true;
            }
        }
    }
    return false;
}

static bool is_in_header(const struct check *check, const struct http_header *header)
{
    if (access_is_token_header(header->name)) {
        return ask(check, header->value);
    }
    if (view_equal_nocase(header->name, VIEW("Sec-WebSocket-Protocol"))) {
        struct view item = access_find_protocol(header->value);
        return item.len > 0 && ask(check, view_from(item, sizeof ACCESS_PROTOCOL - 1));
    }
    return view_equal_nocase(header->name, VIEW("Cookie")) && is_in_cookies(check, header->value);
}

enum access_verdict access_check(const struct http_head *head, access_check_fn *is_right, void *arg)
{
    const struct check check = {is_right, arg};
    char token[ACCESS_TOKEN_MAX + 1];
    /* First, so that a visitor who has the cookie already is rid of it in the address too. */
    if (http_query_find(head->query, ACCESS_QUERY, token, sizeof token) &&
        ask(&check, view_of(token))) {
        return ACCESS_ADMITTED_BY_QUERY;
    }
    for (size_t i = 0; i < head->header_count; i++) {
        if (is_in_header(&check, &head->headers[i])) {
            return ACCESS_ADMITTED;
        }
    }
    return ACCESS_REFUSED;
}

void access_copy_query(struct view query, struct str *out)
{
    if (!http_query_has(query, ACCESS_QUERY)) {
        str_append_view(out, query);
        return;
    }
    bool is_first = true;
    while (query.len > 0) {
        struct view pair = view_cut(&query, '&');
        if (!http_query_has(pair, ACCESS_QUERY)) {
            str_append_view(out, is_first ? VIEW("") : VIEW("&"));
            str_append_view(out, pair);
            is_first = false;
        }
    }
}

void access_copy_cookies(struct view cookies, struct str *out)
{
    struct view pair;
    bool is_first = true;
    while (next_cookie(&cookies, &pair)) {
        if (!is_our_cookie(pair)) {
            str_append_view(out, is_first ? VIEW("") : VIEW("; "));
            str_append_view(out, pair);
            is_first = false;
        }
    }
}

void access_copy_protocols(struct view protocols, struct str *out)
{
    struct view item;
    bool is_first = true;
    while (syntax_next_item(&protocols, &item)) {
        if (item.len > 0 && !view_starts_with(item, VIEW(ACCESS_PROTOCOL))) {
            str_append_view(out, is_first ? VIEW("") : VIEW(", "));
            str_append_view(out, item);
            is_first = false;
        }
    }
}

void access_write_location(const struct http_head *head,
                           const struct preview_destination *destination, struct str *out)
{
    str_append_string(out, destination->prefix);
    /* "//name" would be another host; "/.//name" is the same path here. */
    if (out->len == 0 && view_starts_with(destination->path, VIEW("//"))) {
        str_append_view(out, VIEW("/."));
    }
    str_append_view(out, destination->path);
    size_t len_before = out->len;
    str_append_char(out, '?');
    access_copy_query(head->query, out);
    if (!out->failed && out->len == len_before + 1) {
        out->data[--out->len] = '\0';
    }
}

void access_write_cookie(const struct http_head *head,
                         const struct preview_destination *destination, bool is_tls,
                         struct str *out)
{
    char token[ACCESS_TOKEN_MAX + 1];
    if (!http_query_find(head->query, ACCESS_QUERY, token, sizeof token)) {
        token[0] = '\0';
    }
    str_append_string(out, ACCESS_COOKIE "=");
    str_append_string(out, token);
    str_append_string(out, "; Path=");
    str_append_string(out, destination->prefix);
    str_append_string(out,
                      is_tls ? "/; HttpOnly; SameSite=Lax; Secure" : "/; HttpOnly; SameSite=Lax");
}
