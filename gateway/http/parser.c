#include "gateway/http/parser.h"

#include "gateway/http/syntax.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

struct parser {
    llhttp_t llhttp;
    struct view target;
    size_t header_count;
    size_t header_max;
    bool in_value; /* the last span was one of a value */
    bool head_complete;
    bool complete;
    bool keep_alive;
    bool overrun;       /* more headers than were counted */
    struct str *body;   /* borrowed during parser_read_body; NULL: dropped */
    struct view *piece; /* borrowed during parser_read_piece */
    char *head;         /* owned, in the same block; behind the headers */
    size_t head_len;
    struct http_header headers[];
};

/* A span may come in pieces; they lie next to each other, since the head is in one block. */
static void extend(struct view *view, const char *at, size_t len)
{
    if (view->ptr == NULL) {
        view->ptr = at;
    }
    view->len = (size_t)(at + len - view->ptr);
}

static int on_url(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    extend(&parser->target, at, len);
    return 0;
}

/* Trailers arrive here too; they are dropped. */
static int on_header_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (parser->head_complete) {
        return 0;
    }
    if (parser->in_value || parser->header_count == 0) {
        if (parser->header_count == parser->header_max) {
            parser->overrun = true;
            return -1;
        }
        parser->headers[parser->header_count++] = (struct http_header){0};
        parser->in_value = false;
    }
    extend(&parser->headers[parser->header_count - 1].name, at, len);
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (!parser->head_complete) {
        parser->in_value = true;
        extend(&parser->headers[parser->header_count - 1].value, at, len);
    }
    return 0;
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    if (!parser->head_complete) {
        parser->in_value = true; /* an empty value has no span */
        struct http_header *header = &parser->headers[parser->header_count - 1];
        header->value = syntax_trim(header->value);
    }
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->head_complete = true;
    parser->keep_alive = llhttp_should_keep_alive(llhttp) != 0;
    return 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parser *parser = llhttp->data;
    if (parser->body != NULL) {
        str_append(parser->body, at, len);
    }
    if (parser->piece == NULL || len == 0) {
        return 0;
    }
    *parser->piece = (struct view){at, len};
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *llhttp)
{
    struct parser *parser = llhttp->data;
    parser->complete = true;
    return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* llhttp knows 1.0 and 1.1 only; a higher minor version means what 1.1 means (RFC 9110, 2.5). */
static void level_version(char *head, size_t len)
{
    char *line_end = memchr(head, '\r', len);
    assert(line_end != NULL && line_end > head);
    if (line_end[-1] > '1') {
        line_end[-1] = '1';
    }
}

struct parser *parser_new(struct view head, size_t header_count)
{
    size_t headers_size = header_count * sizeof(struct http_header);
    struct parser *parser = malloc(sizeof *parser + headers_size + head.len);
    if (parser == NULL) {
        return NULL;
    }
    *parser = (struct parser){.header_max = header_count, .head_len = head.len};
    parser->head = (char *)(parser->headers + header_count);
    memcpy(parser->head, head.ptr, head.len);
    level_version(parser->head, head.len);
    llhttp_init(&parser->llhttp, HTTP_REQUEST, &settings);
    parser->llhttp.data = parser;
    return parser;
}

void parser_free(struct parser *parser)
{
    free(parser);
}

static bool execute(struct parser *parser, struct view bytes)
{
    /* llhttp pauses behind a message that asks for an upgrade. What is behind is not its business.
     */
    llhttp_errno_t result = llhttp_execute(&parser->llhttp, bytes.ptr, bytes.len);
    return result == HPE_OK || (result == HPE_PAUSED_UPGRADE && parser->complete);
}

bool parser_read_head(struct parser *parser, struct parsed_head *out)
{
    if (!execute(parser, (struct view){parser->head, parser->head_len}) || !parser->head_complete ||
        parser->header_count != parser->header_max) {
        return false;
    }
    *out = (struct parsed_head){
        .target = parser->target,
        .headers = parser->headers,
        .header_count = parser->header_count,
        .is_chunked = (parser->llhttp.flags & F_CHUNKED) != 0,
        .keep_alive = parser->keep_alive,
        .upgrade = llhttp_get_upgrade(&parser->llhttp) != 0,
    };
    if ((parser->llhttp.flags & F_CONTENT_LENGTH) != 0) {
        out->content_length = parser->llhttp.content_length;
    }
    return true;
}

bool parser_read_body(struct parser *parser, struct view bytes, struct str *body)
{
    parser->body = body;
    bool ok = !parser->complete && execute(parser, bytes);
    parser->body = NULL;
    return ok;
}

static bool step(struct parser *parser, struct view bytes, size_t *used)
{
    *used = bytes.len;
    if (execute(parser, bytes)) {
        return true;
    }
    if (llhttp_get_errno(&parser->llhttp) != HPE_PAUSED) {
        return false;
    }
    *used = (size_t)(llhttp_get_error_pos(&parser->llhttp) - bytes.ptr);
    llhttp_resume(&parser->llhttp);
    /* Whether the message ends behind its last data shows when llhttp goes on. */
    return *used < bytes.len || execute(parser, (struct view){bytes.ptr + bytes.len, 0});
}

bool parser_read_piece(struct parser *parser, struct view bytes, struct view *piece, size_t *used)
{
    *piece = (struct view){0};
    *used = 0;
    parser->piece = piece;
    bool ok = !parser->complete && step(parser, bytes, used);
    parser->piece = NULL;
    return ok;
}

bool parser_is_complete(const struct parser *parser)
{
    return parser->complete;
}
