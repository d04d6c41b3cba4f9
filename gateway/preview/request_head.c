#include "gateway/preview/request_head.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "common/contracts/auth.h"
#include "gateway/http/server.h"
#include "gateway/http/syntax.h"
#include "gateway/preview/access.h"
#include "gateway/preview/destination.h"
#include "gateway/preview/headers.h"

#include <inttypes.h>

enum { CREDENTIALS_MAX = 512 };

static const struct view methods[] = {
    [HTTP_GET] = VIEW("GET"),         [HTTP_HEAD] = VIEW("HEAD"),   [HTTP_POST] = VIEW("POST"),
    [HTTP_PUT] = VIEW("PUT"),         [HTTP_PATCH] = VIEW("PATCH"), [HTTP_DELETE] = VIEW("DELETE"),
    [HTTP_OPTIONS] = VIEW("OPTIONS"),
};

/* Written by us, or our own: what a client says here must not reach the program. */
static const struct view dropped[] = {
    VIEW("Host"),
    VIEW("Expect"),
    VIEW("X-API-Key"),
    VIEW("Forwarded"),
    VIEW("X-Forwarded-For"),
    VIEW("X-Forwarded-Host"),
    VIEW("X-Forwarded-Port"),
    VIEW("X-Forwarded-Prefix"),
    VIEW("X-Forwarded-Proto"),
    VIEW("X-Real-IP"),
};

/* Those of a trace go together: a state without a parent means nothing. */
static const struct view trace_names[] = {VIEW("traceparent"), VIEW("tracestate")};

static bool begins_like_key(struct view text)
{
    return view_starts_with(text, VIEW("isk_")) || view_starts_with(text, VIEW("e2b_"));
}

/* "user:password" in base64 */
static bool basic_has_key(struct view encoded)
{
    uint8_t decoded[ENCODE_BASE64_DECODED_MAX(CREDENTIALS_MAX)];
    size_t len = 0;
    if (encoded.len > CREDENTIALS_MAX ||
        !encode_base64_decode(ENCODE_BASE64, encoded, decoded, &len)) {
        return false;
    }
    struct view password = {(const char *)decoded, len};
    struct view user = view_cut(&password, ':');
    bool found = begins_like_key(user) || begins_like_key(password);
    secret_wipe(decoded, sizeof decoded);
    return found;
}

/* A program may have sign-in of its own: only what is ours is taken out. */
static bool carries_our_key(const struct http_header *header)
{
    if (!view_equal_nocase(header->name, VIEW("Authorization"))) {
        return false;
    }
    struct view credentials = header->value;
    struct view scheme = view_cut(&credentials, ' ');
    credentials = syntax_trim(credentials);
    if (view_equal_nocase(scheme, VIEW("Basic"))) {
        return basic_has_key(credentials);
    }
    return begins_like_key(credentials) || begins_like_key(scheme);
}

static void append_header(struct str *out, struct view name, struct view value)
{
    str_append_view(out, name);
    str_append_view(out, VIEW(": "));
    str_append_view(out, value);
    str_append_view(out, VIEW("\r\n"));
}

/* A header that may hold something of ours beside what is the program's; nothing left: no header.
 */
static void append_copy(struct str *out, const struct http_header *header,
                        void (*copy)(struct view value, struct str *out))
{
    AUTO(str_free) struct str value = STR_INIT(HTTP_LINE_MAX);
    copy(header->value, &value);
    if (value.failed) {
        out->failed = true;
    } else if (value.len > 0) {
        append_header(out, header->name, str_view(&value));
    }
}

static bool is_dropped(const struct request_head *request, struct header_set set,
                       const struct http_header *header)
{
    return headers_is_hop_by_hop(set, header->name) || carries_our_key(header) ||
           access_is_token_header(header->name) ||
           headers_is_one_of(dropped, sizeof dropped / sizeof dropped[0], header->name) ||
           (request->traceparent != NULL &&
            headers_is_one_of(trace_names, sizeof trace_names / sizeof trace_names[0],
                              header->name));
}

static void append_theirs(const struct request_head *request, struct str *out)
{
    const struct header_set set = {request->head->headers, request->head->header_count};
    for (size_t i = 0; i < set.count; i++) {
        const struct http_header *header = &set.headers[i];
        if (is_dropped(request, set, header)) {
            continue;
        }
        if (view_equal_nocase(header->name, VIEW("Cookie"))) {
            append_copy(out, header, access_copy_cookies);
        } else if (view_equal_nocase(header->name, VIEW("Sec-WebSocket-Protocol"))) {
            append_copy(out, header, access_copy_protocols);
        } else {
            append_header(out, header->name, header->value);
        }
    }
}

/* "?" alone is kept too: the target is the program's business. */
static void append_request_line(const struct request_head *request, struct str *out)
{
    const struct http_head *head = request->head;
    struct view path = request->destination->path;
    str_append_view(out, methods[head->method]);
    str_append_char(out, ' ');
    str_append_view(out, path.len == 0 ? VIEW("/") : path);
    if (head->query.ptr != NULL && !request->hides_token) {
        str_append_char(out, '?');
        str_append_view(out, head->query);
    } else if (head->query.ptr != NULL) {
        AUTO(str_free) struct str query = STR_INIT(HTTP_TARGET_MAX);
        access_copy_query(head->query, &query);
        out->failed = out->failed || query.failed;
        str_append_view(out, query.len > 0 || head->query.len == 0 ? VIEW("?") : VIEW(""));
        str_append_view(out, str_view(&query));
    }
    str_append_view(out, VIEW(" HTTP/1.1\r\n"));
}

/* The port that the client sees, whatever stands in front of us. */
static struct view client_port(struct view host, bool is_tls)
{
    size_t at = host.len;
    while (at > 0 && host.ptr[at - 1] >= '0' && host.ptr[at - 1] <= '9') {
        at--;
    }
    if (at > 0 && at < host.len && host.ptr[at - 1] == ':') {
        return view_from(host, at);
    }
    return is_tls ? VIEW("443") : VIEW("80");
}

static void append_forwarding(const struct request_head *request, struct str *out)
{
    struct view host = request->head->host;
    append_header(out, VIEW("X-Forwarded-For"), view_of(request->peer));
    if (host.len > 0) {
        append_header(out, VIEW("X-Forwarded-Host"), host);
    }
    append_header(out, VIEW("X-Forwarded-Port"), client_port(host, request->is_tls));
    append_header(out, VIEW("X-Forwarded-Proto"), request->is_tls ? VIEW("https") : VIEW("http"));
    if (request->destination->form == PREVIEW_PATH) {
        append_header(out, VIEW("X-Forwarded-Prefix"), view_of(request->destination->prefix));
    }
    if (request->traceparent != NULL) {
        append_header(out, VIEW("traceparent"), view_of(request->traceparent));
    }
}

static void append_framing(const struct request_head *request, struct str *out)
{
    const struct http_head *head = request->head;
    const struct header_set set = {head->headers, head->header_count};
    if (request->body_length >= 0) {
        str_appendf(out, "Content-Length: %" PRId64 "\r\n", request->body_length);
    } else if (request->body_length == REQUEST_BODY_CHUNKED) {
        str_append_view(out, VIEW("Transfer-Encoding: chunked\r\n"));
    } else if (headers_find(set, VIEW("Content-Length")).ptr != NULL) {
        str_append_view(out, VIEW("Content-Length: 0\r\n"));
    }
    if (head->wants_upgrade) {
        str_append_view(out, VIEW("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    }
}

void request_head_write(const struct request_head *request, struct str *out)
{
    append_request_line(request, out);
    if (request->destination->form == PREVIEW_PATH) {
        str_appendf(out, "Host: localhost:%u\r\n", (unsigned)request->destination->port);
    } else {
        append_header(out, VIEW("Host"), request->head->host);
    }
    append_theirs(request, out);
    append_forwarding(request, out);
    append_framing(request, out);
    str_append_view(out, VIEW("\r\n"));
}
