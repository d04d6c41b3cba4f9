/* gateway/http/target.h: the request target (RFC 9112, 3.2) taken apart. */
#ifndef GATEWAY_HTTP_TARGET_H
#define GATEWAY_HTTP_TARGET_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

struct target {
    struct view host; /* of the absolute form; else empty */
    struct view path;
    struct view query;
};

/* Visible ASCII less '\' and '#'. */
bool target_bytes_are_valid(struct view target) MUST_CHECK;

/* Origin form and absolute form; with asterisk also "*", whose path is "*". out borrows from target
 * or is constant. */
bool target_split(struct view target, bool asterisk, struct target *out) MUST_CHECK;

/* False for bad escapes, %00, what is not UTF-8 when decoded, and in the path also for "." and ".."
 * segments, plain or encoded. */
bool target_escapes_are_valid(const struct target *target) MUST_CHECK;

#endif
