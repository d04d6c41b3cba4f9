/* gateway/preview/access.h: the token of an exposed port: where a request carries it, and how it is
 * taken out again, since the program must not see it. */
#ifndef GATEWAY_PREVIEW_ACCESS_H
#define GATEWAY_PREVIEW_ACCESS_H

#include "common/base/str.h"

struct http_head;
struct preview_destination;

#define ACCESS_COOKIE "insien_preview"
#define ACCESS_QUERY "preview_token"
#define ACCESS_PROTOCOL "insien.token." /* a WebSocket sub-protocol: this and the token */

enum { ACCESS_TOKEN_MAX = 128 };

enum access_verdict {
    ACCESS_REFUSED,
    ACCESS_ADMITTED,
    ACCESS_ADMITTED_BY_QUERY, /* the address bar shows the token */
};

typedef bool access_check_fn(struct view token, void *arg);

/* Asks is_right for each token that the request carries: X-Preview-Token (or
 * insien-preview-token), the query, the sub-protocols, the cookie. */
enum access_verdict access_check(const struct http_head *head, access_check_fn *is_right,
                                 void *arg) MUST_CHECK;

/* Whether the header carries nothing but a token of ours. */
bool access_is_token_header(struct view name) MUST_CHECK;
/* Copies a query, a Cookie or a Sec-WebSocket-Protocol less what is ours; out may stay empty. */
void access_copy_query(struct view query, struct str *out);
void access_copy_cookies(struct view cookies, struct str *out);
void access_copy_protocols(struct view protocols, struct str *out);
/* Our entry among the sub-protocols; empty when there is none. */
struct view access_find_protocol(struct view protocols);

/* What a visitor whose query brought the token is sent back with: the same address without it, and
 * the cookie, for the whole preview. */
void access_write_location(const struct http_head *head,
                           const struct preview_destination *destination, struct str *out);
void access_write_cookie(const struct http_head *head,
                         const struct preview_destination *destination, bool is_tls,
                         struct str *out);

#endif
