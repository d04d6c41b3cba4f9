#include "gateway/http/cors.h"

#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

static const struct view scheme_end = VIEW("://");

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool has_upper(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] >= 'A' && text.ptr[i] <= 'Z') {
            return true;
        }
    }
    return false;
}

static bool is_scheme(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!is_lower(c) && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
            return false;
        }
    }
    return text.len > 0 && is_lower(text.ptr[0]);
}

static bool ends_with(struct view text, struct view end)
{
    return text.len >= end.len && view_equal(view_from(text, text.len - end.len), end);
}

/* Browsers leave out the port that the scheme implies. */
static bool has_implied_port(struct view scheme, struct view host)
{
    return (view_equal(scheme, VIEW("http")) && ends_with(host, VIEW(":80"))) ||
           (view_equal(scheme, VIEW("https")) && ends_with(host, VIEW(":443")));
}

static bool is_origin(struct view text)
{
    const char *found =
        text.len == 0 ? NULL : memmem(text.ptr, text.len, scheme_end.ptr, scheme_end.len);
    if (found == NULL) {
        return false;
    }
    struct view scheme = {text.ptr, (size_t)(found - text.ptr)};
    struct view host = view_from(text, scheme.len + scheme_end.len);
    return is_scheme(scheme) && syntax_is_host(host) && !has_upper(host) &&
           !has_implied_port(scheme, host);
}

bool cors_list_check(struct view origins, struct err *err)
{
    struct view item;
    while (syntax_next_item(&origins, &item)) {
        if (item.len > 0 && !is_origin(item)) {
            return err_set(err, ERR_INVALID,
                           "\"%.*s\" is no origin: https://app.example.org is one, in lower case, "
                           "without a path and without :80 or :443; no list lets every page in",
                           (int)item.len, item.ptr);
        }
    }
    return true;
}

bool cors_allows(struct view origins, struct view origin)
{
    struct view item;
    if (origins.len == 0) {
        return true;
    }
    while (syntax_next_item(&origins, &item)) {
        if (item.len > 0 && view_equal(item, origin)) {
            return true;
        }
    }
    return false;
}

void cors_append(struct view origins, struct view origin, struct str *head)
{
    if (origins.len == 0) {
        str_append_view(head, VIEW("Access-Control-Allow-Origin: *\r\n"));
    } else {
        str_append_view(head, VIEW("Vary: Origin\r\n"));
        if (!cors_allows(origins, origin)) {
            return;
        }
        str_append_view(head, VIEW("Access-Control-Allow-Origin: "));
        str_append_view(head, origin);
        str_append_view(head, VIEW("\r\nAccess-Control-Allow-Credentials: true\r\n"));
    }
    str_append_view(head, VIEW("Access-Control-Expose-Headers: "
                               "RateLimit, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, "
                               "RateLimit-Reset, Retry-After, X-Request-Id\r\n"));
}

bool cors_is_preflight(const struct http_exchange *exchange)
{
    return http_exchange_head(exchange)->method == HTTP_OPTIONS &&
           http_exchange_header(exchange, "Origin").len > 0 &&
           http_exchange_header(exchange, "Access-Control-Request-Method").len > 0;
}

void cors_answer_preflight(struct http_exchange *exchange, struct view origins)
{
    static const struct http_header permissions[] = {
        {VIEW("Access-Control-Allow-Methods"), VIEW("GET, HEAD, POST, PUT, PATCH, DELETE")},
        {VIEW("Access-Control-Allow-Headers"),
         VIEW("Authorization, Content-Type, X-API-Key, Idempotency-Key")},
        {VIEW("Access-Control-Max-Age"), VIEW("600")},
    };
    struct http_response response = {.status = 204};
    if (cors_allows(origins, http_exchange_header(exchange, "Origin"))) {
        response.headers = permissions;
        response.header_count = sizeof permissions / sizeof permissions[0];
    }
    http_respond(exchange, &response);
}
