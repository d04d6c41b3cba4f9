/* gateway/http/cors.h: which web pages may read our answers (CORS, of the Fetch standard).
 *
 * A list of origins is text as it is configured: "https://a.example, http://localhost:8080". When
 * it is empty every page may, but without the credentials that browsers send by themselves: ours
 * are set by scripts. */
#ifndef GATEWAY_HTTP_CORS_H
#define GATEWAY_HTTP_CORS_H

#include "common/base/str.h"

struct http_exchange;

/* Every item must be an origin as browsers write it, which neither "*" nor "null" is. */
bool cors_list_check(struct view origins, struct err *err) MUST_CHECK;
/* Whether pages of that origin may: it is an item to the letter, or there is no list. */
bool cors_allows(struct view origins, struct view origin) MUST_CHECK;

/* Appends the header lines of an answer to a page of that origin; empty: none was named. */
void cors_append(struct view origins, struct view origin, struct str *head);

/* Whether a browser asks by it if a page may send another request. */
bool cors_is_preflight(const struct http_exchange *exchange) MUST_CHECK;
/* Answers that. */
void cors_answer_preflight(struct http_exchange *exchange, struct view origins);

#endif
