/* gateway/native/conditions.h: conditional and partial requests for a file (RFC 9110, 13 and 14).
 */
#ifndef GATEWAY_NATIVE_CONDITIONS_H
#define GATEWAY_NATIVE_CONDITIONS_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

#include <stdint.h>

enum { HTTP_DATE_SIZE = 30 }; /* Sun, 06 Nov 1994 08:49:37 GMT and its NUL */

enum range_outcome {
    RANGE_WHOLE,         /* none, several, or one that is not to be understood: the whole file */
    RANGE_PART,          /* first and length say which */
    RANGE_UNSATISFIABLE, /* it begins behind the end: 416 */
};
struct byte_range {
    int64_t first;
    int64_t length; /* over 0 */
};

/* What a Range header asks of a file of that size. */
enum range_outcome range_resolve(struct view header, int64_t size, struct byte_range *out);

/* Whether an If-None-Match (a list, or "*") has that tag; "W/" does not count. */
bool etag_list_has(struct view list, struct view etag) MUST_CHECK;

/* 2026-01-31T23:59:59.123Z as HTTP writes it. False when it is no such date. */
bool http_date_of_iso(struct view iso, char out[HTTP_DATE_SIZE]) MUST_CHECK;

#endif
