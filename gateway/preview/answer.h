/* gateway/preview/answer.h: reads what a program in a sandbox answers: one HTTP/1 message, by
 * llhttp, under limits. The bytes are a tenant's: whatever is ambiguous is refused. */
#ifndef GATEWAY_PREVIEW_ANSWER_H
#define GATEWAY_PREVIEW_ANSWER_H

#include "common/base/err.h"
#include "gateway/http/header.h"

#include <stdint.h>

struct answer;

enum {
    ANSWER_HEAD_MAX = 64 * 1024, /* with the interim answers in front of it */
    ANSWER_HEADERS_MAX = 100,
    ANSWER_INTERIM_MAX = 16, /* 1xx */
    ANSWER_LENGTH_UNKNOWN = -1,
};

/* Views are valid until the answer is freed. */
struct answer_head {
    int status; /* 101, or 200 to 599 */
    const struct http_header *headers;
    size_t header_count;
    int64_t length;  /* of the body that follows; ANSWER_LENGTH_UNKNOWN */
    bool has_length; /* Content-Length was said, also where no body follows (HEAD, 304) */
    int64_t said_length;
    bool keep_alive; /* the connection may serve another request */
};

enum answer_state {
    ANSWER_HEAD,
    ANSWER_BODY,
    ANSWER_COMPLETE,
    ANSWER_SWITCHED, /* behind a 101: what follows is not HTTP */
};

struct answer_events {
    void (*on_head)(const struct answer_head *head, void *arg);
    /* Valid during the call. */
    void (*on_body)(struct view bytes, void *arg);
};

/* no_body: of HEAD. upgrades: the request asked for it, so 101 may come. Borrows events and arg.
 * NULL when out of memory. */
struct answer *answer_new(bool no_body, bool upgrades, const struct answer_events *events,
                          void *arg) MUST_CHECK;
/* Not from inside an event. NULL is fine. */
void answer_free(struct answer *answer);

/* Reads on; *used is less than all only when the answer is complete or switched. False:
 * ERR_INVALID, what comes is no answer; nothing is fed any more. */
bool answer_feed(struct answer *answer, struct view bytes, size_t *used,
                 struct err *err) MUST_CHECK;
/* The program has closed: that completes a body which goes on until then. False: it is cut short.
 */
bool answer_feed_end(struct answer *answer, struct err *err) MUST_CHECK;

enum answer_state answer_state(const struct answer *answer);

#endif
