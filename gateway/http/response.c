#include "gateway/http/response.h"

#include "common/base/log.h"
#include "common/json/write.h"
#include "gateway/http/cors.h"
#include "gateway/http/syntax.h"

#include <stdio.h>

enum {
    RESPONSE_HEAD_MAX = 96 * 1024, /* a proxied head, written anew */
    RESPONSE_ERROR_MAX = 4 * 1024,
    RETRY_AFTER_S = 1,
};

static const char content_policy[] =
    "Content-Security-Policy: default-src 'self';base-uri 'self';font-src 'self' https: data:;"
    "form-action 'self';frame-ancestors 'self';img-src 'self' data: https:;object-src 'none';"
    "script-src 'self';script-src-attr 'none';style-src 'self' 'unsafe-inline'";
static const char secure_end_of_policy[] =
    ";upgrade-insecure-requests\r\n"
    "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n";
static const char security_headers[] = "Cross-Origin-Opener-Policy: same-origin\r\n"
                                       "Cross-Origin-Resource-Policy: same-origin\r\n"
                                       "Origin-Agent-Cluster: ?1\r\n"
                                       "Referrer-Policy: no-referrer\r\n"
                                       "X-Content-Type-Options: nosniff\r\n"
                                       "X-DNS-Prefetch-Control: off\r\n"
                                       "X-Download-Options: noopen\r\n"
                                       "X-Frame-Options: SAMEORIGIN\r\n"
                                       "X-Permitted-Cross-Domain-Policies: none\r\n"
                                       "X-XSS-Protection: 0\r\n";

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

void response_writer_init(struct response_writer *writer)
{
    *writer = (struct response_writer){
        .head = STR_INIT(RESPONSE_HEAD_MAX),
        .body = STR_INIT(RESPONSE_ERROR_MAX),
    };
}

void response_writer_free(struct response_writer *writer)
{
    str_free(&writer->head);
    str_free(&writer->body);
}

bool response_has_body(int status)
{
    return status != 204 && status != 304;
}

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

static void append_number(struct str *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    str_append(out, digits + at, sizeof digits - at);
}

static void append_date(struct response_writer *writer)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now_s = time(NULL);
    struct tm tm;
    if (now_s != writer->date_s && gmtime_r(&now_s, &tm) != NULL) {
        writer->date_s = now_s;
        char text[64];
        (void)snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                       tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                       tm.tm_sec);
        memcpy(writer->date, text, sizeof writer->date - 1);
    }
    str_append_view(&writer->head, VIEW("Date: "));
    str_append_string(&writer->head, writer->date);
    str_append_view(&writer->head, VIEW("\r\n"));
}

static void append_header(struct str *out, struct view name, struct view value)
{
    if (!syntax_is_token(name) || !syntax_is_value(value)) {
        log_error("http.bad_response_header", LOG_VIEW("name", name));
        return;
    }
    str_append_view(out, name);
    str_append_view(out, VIEW(": "));
    str_append_view(out, value);
    str_append_view(out, VIEW("\r\n"));
}

void response_append_headers(struct str *out, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        append_header(out, headers[i].name, headers[i].value);
    }
}

static void append_status(struct str *out, int status)
{
    str_append_view(out, VIEW("HTTP/1.1 "));
    append_number(out, (size_t)status);
    str_append_char(out, ' ');
    str_append_string(out, phrase_of(status));
    str_append_view(out, VIEW("\r\n"));
}

static void append_framing(struct str *out, const struct response_form *form)
{
    if (form->framing == RESPONSE_CHUNKED) {
        str_append_view(out, VIEW("Transfer-Encoding: chunked\r\n"));
    } else if (form->framing == RESPONSE_LENGTH) {
        str_append_view(out, VIEW("Content-Length: "));
        append_number(out, form->length);
        str_append_view(out, VIEW("\r\n"));
    }
}

static void append_content(struct str *out, const struct http_response *response,
                           const struct response_form *form)
{
    if (response_has_body(response->status)) {
        const char *type = response->content_type;
        if (type != NULL || !response->bare) {
            append_header(out, VIEW("Content-Type"),
                          type == NULL ? VIEW("application/json") : view_of(type));
        }
        append_framing(out, form);
    }
    if (response->retry_after_s > 0) {
        str_append_view(out, VIEW("Retry-After: "));
        append_number(out, (size_t)response->retry_after_s);
        str_append_view(out, VIEW("\r\n"));
    }
    if (response->no_store) {
        str_append_view(out, VIEW("Cache-Control: no-store\r\n"));
    }
}

/* Where an answer ends is said by append_framing alone. */
static bool is_framing(struct view name)
{
    static const struct view names[] = {VIEW("Content-Length"), VIEW("Transfer-Encoding"),
                                        VIEW("Connection")};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (view_equal_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static void append_given(struct str *out, const struct http_response *response)
{
    for (size_t i = 0; i < response->header_count; i++) {
        const struct http_header *header = &response->headers[i];
        if (!is_framing(header->name)) {
            append_header(out, header->name, header->value);
        }
    }
}

static void append_security(struct str *out, bool is_secure)
{
    str_append_view(out, VIEW(content_policy));
    str_append_view(out, is_secure ? VIEW(secure_end_of_policy) : VIEW("\r\n"));
    str_append_view(out, VIEW(security_headers));
}

static struct view end_head(struct str *head)
{
    str_append_view(head, VIEW("\r\n"));
    return head->failed ? (struct view){0} : str_view(head);
}

struct view response_head(struct response_writer *writer, const struct http_response *response,
                          const char *request_id, const struct response_form *form)
{
    static const struct view connections[] = {
        [RESPONSE_KEEP_ALIVE] = VIEW(""),
        [RESPONSE_KEEP_ALIVE_1_0] = VIEW("Connection: keep-alive\r\n"),
        [RESPONSE_CLOSE] = VIEW("Connection: close\r\n"),
    };
    struct str *head = &writer->head;
    str_clear(head);
    append_status(head, response->status);
    append_content(head, response, form);
    str_append_view(head, connections[form->connection]);
    append_given(head, response);
    if (!response->bare) {
        append_date(writer);
        append_header(head, VIEW("X-Request-Id"), view_of(request_id));
        str_append_view(head, form->added);
        append_security(head, form->is_secure);
        if (writer->origins != NULL) {
            cors_append(view_of(writer->origins), form->origin, head);
        }
    }
    return end_head(head);
}

struct view response_switch(struct response_writer *writer, const char *request_id,
                            const struct http_header *headers, size_t header_count,
                            struct view added)
{
    struct str *head = &writer->head;
    str_clear(head);
    str_append_view(head, VIEW("HTTP/1.1 101 Switching Protocols\r\n"));
    append_header(head, VIEW("X-Request-Id"), view_of(request_id));
    response_append_headers(head, headers, header_count);
    str_append_view(head, added);
    return end_head(head);
}

static const struct {
    int status;
    struct http_header header;
} error_headers[] = {
    {401, {VIEW("WWW-Authenticate"), VIEW("Bearer")}},
    {405, {VIEW("Allow"), VIEW("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")}},
    {426, {VIEW("Sec-WebSocket-Version"), VIEW("13")}},
};

void response_error(struct response_writer *writer, int status, const char *code,
                    const char *sentence, const char *request_id, struct http_response *response)
{
    str_clear(&writer->body);
    struct json_writer json = json_writer_on(&writer->body);
    json_begin_object(&json, NULL);
    json_string(&json, "error", view_of(sentence));
    json_string(&json, "code", view_of(code));
    json_string(&json, "requestId", view_of(request_id));
    json_end_object(&json);
    *response = (struct http_response){
        .status = status,
        .body = str_view(&writer->body),
        .retry_after_s = status == 429 || status == 503 ? RETRY_AFTER_S : 0,
    };
    for (size_t i = 0; i < sizeof error_headers / sizeof error_headers[0]; i++) {
        if (error_headers[i].status == status) {
            response->headers = &error_headers[i].header;
            response->header_count = 1;
        }
    }
}

void response_refusal(struct response_writer *writer, enum refusal refusal, const char *request_id,
                      struct http_response *response)
{
    const struct refusal_answer *answer = refusal_answer(refusal);
    response_error(writer, answer->status, answer->code, answer->sentence, request_id, response);
}
