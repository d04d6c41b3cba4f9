/* gateway/preview/answer_headers.h: the headers of a program's answer as the client gets them. */
#ifndef GATEWAY_PREVIEW_ANSWER_HEADERS_H
#define GATEWAY_PREVIEW_ANSWER_HEADERS_H

#include "common/base/str.h"
#include "gateway/preview/answer.h"

struct preview_destination;

/* Starts zeroed. items point into the answer's head, into text, or are constant. */
struct answer_headers {
    struct http_header items[ANSWER_HEADERS_MAX + 3]; /* room for three of the caller's */
    size_t count;
    struct str text; /* owned: values that are written anew */
};

/* Less what ends at a proxy and what would reach beyond this preview: a cookie's Domain (a sandbox
 * must not set cookies of its neighbours), and in the path form, which shares its host with the API
 * and with other sandboxes, a cookie's Path, and what holds for a whole host. Redirects of the path
 * form stay below the prefix. */
bool answer_headers_fill(struct answer_headers *out, const struct answer_head *head,
                         const struct preview_destination *destination, struct err *err) MUST_CHECK;
void answer_headers_add(struct answer_headers *headers, struct view name, struct view value);
void answer_headers_free(struct answer_headers *headers);

#endif
