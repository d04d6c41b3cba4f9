/* A request for a preview, in lines: host, path, query, Cookie, Sec-WebSocket-Protocol,
 * Authorization. Whatever they hold, the head that the program gets must pass our own strict
 * reader, and hold no token of ours. */
#include "gateway/http/head_check.h"
#include "gateway/http/parser.h"
#include "gateway/http/syntax.h"
#include "gateway/http/target.h"
#include "gateway/preview/access.h"
#include "gateway/preview/destination.h"
#include "gateway/preview/request_head.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 4096 };

static bool is_any(struct view token, void *arg)
{
    (void)arg;
    return token.len > 0;
}

/* Reads it as a server would. */
static void read_back(struct view text)
{
    struct head_check check = {0};
    struct parsed_head parsed;
    struct target target;
    enum head_verdict verdict = head_check_feed(&check, text.ptr, text.len);
    assert(verdict == HEAD_COMPLETE && check.next_line == text.len);
    assert(!check.is_chunked && check.content_length == 0);
    struct parser *parser = parser_new(text, check.header_count);
    assert(parser != NULL);
    bool read = parser_read_head(parser, &parsed) && target_split(parsed.target, false, &target);
    assert(read);
    const struct http_head head = {
        .query = target.query, .headers = parsed.headers, .header_count = parsed.header_count};
    enum access_verdict verdict_behind = access_check(&head, is_any, NULL);
    assert(verdict_behind == ACCESS_REFUSED);
    parser_free(parser);
}

static void write_location(const struct http_head *head,
                           const struct preview_destination *destination)
{
    AUTO(str_free) struct str location = STR_INIT(REQUEST_HEAD_MAX);
    access_write_location(head, destination, &location);
    struct view text = str_view(&location);
    assert(!location.failed && syntax_is_value(text));
    assert(text.len > 0 && text.ptr[0] == '/' && (text.len == 1 || text.ptr[1] != '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = {(const char *)data, size < INPUT_MAX ? size : INPUT_MAX};
    struct view host = view_cut(&rest, '\n');
    struct view path = view_cut(&rest, '\n');
    struct view query = view_cut(&rest, '\n');
    const struct http_header headers[] = {
        {VIEW("Cookie"), syntax_trim(view_cut(&rest, '\n'))},
        {VIEW("Sec-WebSocket-Protocol"), syntax_trim(view_cut(&rest, '\n'))},
        {VIEW("Authorization"), syntax_trim(view_cut(&rest, '\n'))},
    };
    const struct http_head head = {
        .method = HTTP_GET,
        .host = host,
        .path = path,
        .query = query,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
    };
    bool may_arrive = syntax_is_host(host) && target_bytes_are_valid(path) && path.ptr[0] == '/' &&
                      memchr(path.ptr, '?', path.len) == NULL &&
                      (query.len == 0 || target_bytes_are_valid(query));
    for (size_t i = 0; i < head.header_count; i++) {
        may_arrive = may_arrive && syntax_is_value(headers[i].value);
    }
    struct preview_destination destination;
    if (!may_arrive) {
        return 0;
    }
    preview_find_destination(&head, "localhost", &destination);
    if (!destination.is_named) {
        return 0;
    }
    char id[ID_SIZE];
    bool is_id = id_parse(view_of(destination.sandbox_id), id);
    assert(destination.form != PREVIEW_NONE && destination.port > 0 && is_id);
    assert(destination.path.len == 0 || destination.path.ptr[0] == '/');
    const struct request_head request = {.head = &head,
                                         .destination = &destination,
                                         .peer = "127.0.0.1",
                                         .hides_token = true,
                                         .body_length = REQUEST_BODY_NONE};
    AUTO(str_free) struct str out = STR_INIT(REQUEST_HEAD_MAX);
    request_head_write(&request, &out);
    assert(!out.failed);
    read_back(str_view(&out));
    if (destination.path.len > 0) {
        write_location(&head, &destination);
    }
    return 0;
}
