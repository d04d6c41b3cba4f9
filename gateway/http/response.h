/* gateway/http/response.h: the head of an answer. The one place where headers are written. */
#ifndef GATEWAY_HTTP_RESPONSE_H
#define GATEWAY_HTTP_RESPONSE_H

#include "common/base/str.h"
#include "gateway/http/refusal.h"
#include "gateway/http/server.h"

#include <time.h>

enum { RESPONSE_DATE_SIZE = 30 };

/* Buffers that all answers of a server share: an answer is sent, or copied, at once. */
struct response_writer {
    struct str head;
    struct str body;
    const char *origins; /* borrowed; who may read the answers (cors.h); NULL: says nothing of it */
    time_t date_s;       /* of the text below */
    char date[RESPONSE_DATE_SIZE];
};

enum response_connection {
    RESPONSE_KEEP_ALIVE,
    RESPONSE_KEEP_ALIVE_1_0, /* said aloud, since 1.0 closes otherwise */
    RESPONSE_CLOSE,
};

enum response_framing {
    RESPONSE_LENGTH,      /* length bytes */
    RESPONSE_CHUNKED,     /* in chunks */
    RESPONSE_UNTIL_CLOSE, /* all that comes */
};
struct response_form {
    enum response_connection connection;
    enum response_framing framing;
    uint64_t length;
    bool is_secure;     /* goes over TLS */
    struct view origin; /* of the page that asks; empty when none is named */
    struct view added;  /* more header lines, each with its end; not of bare answers */
};

void response_writer_init(struct response_writer *writer);
void response_writer_free(struct response_writer *writer);

/* The head of an answer, valid until the next call. The empty view when out of memory. */
struct view response_head(struct response_writer *writer, const struct http_response *response,
                          const char *request_id, const struct response_form *form);
/* 101 with those headers, and lines as in the form. */
struct view response_switch(struct response_writer *writer, const char *request_id,
                            const struct http_header *headers, size_t header_count,
                            struct view added);
/* Header lines; what is no header is left out. */
void response_append_headers(struct str *out, const struct http_header *headers, size_t count);

/* Fills response, and the writer's body, with {"error","code","requestId"}. */
void response_error(struct response_writer *writer, int status, const char *code,
                    const char *sentence, const char *request_id, struct http_response *response);
/* The same for an answer of the server's own. */
void response_refusal(struct response_writer *writer, enum refusal refusal, const char *request_id,
                      struct http_response *response);

/* Whether an answer of that status has a body. */
bool response_has_body(int status);

#endif
