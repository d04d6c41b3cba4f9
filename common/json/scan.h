/* common/json/scan.h: a strict look over JSON text (RFC 8259) without building anything.
 *
 * Everything that two readers could understand differently is refused: invalid UTF-8, a byte order
 * mark, lone surrogates, repeated members, anything after the value, numbers of over 64 bytes, more
 * than 1024 members in an object, nesting deeper than 32. */
#ifndef COMMON_JSON_SCAN_H
#define COMMON_JSON_SCAN_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    JSON_DEPTH_MAX = 32,
    JSON_MEMBERS_MAX = 1024, /* in one object */
    JSON_NUMBER_MAX = 64,    /* bytes of one number token */
};

/* One member of the outermost object, as it stands in the text. */
struct json_member {
    struct view name;  /* between the quotes, escapes not resolved */
    struct view value; /* without the blanks around it */
    struct view whole; /* from the name's opening quote to the value's end */
};

typedef void json_member_fn(const struct json_member *member, void *arg);

/* Checks text and calls on_member (may be NULL) for each member of the outermost object, in order;
 * for text that is no object it is not called. ERR_INVALID "invalid_json" says where and why. The
 * callback may have run before a later mistake is found. */
bool json_scan(struct view text, json_member_fn *on_member, void *arg, struct err *err) MUST_CHECK;

typedef void json_item_fn(struct view item, void *arg);

/* The same for the items of the outermost array, without the blanks around them. */
bool json_scan_items(struct view text, json_item_fn *on_item, void *arg,
                     struct err *err) MUST_CHECK;

/* What routing a message needs: its id, type and stream, with the rest untouched. */
struct json_envelope {
    struct view id;        /* the string's content; len 0 when absent, no string, over 64 bytes or
                              written with escapes */
    struct view type;      /* the same, no limit on the length */
    struct view id_member; /* the whole member "id": ..., to cut out; len 0 when absent */
    struct view stream_member; /* the whole member "streamId": ..., the same */
    struct view timeout;       /* the value of "timeoutMs" as it stands; len 0 when absent */
    uint32_t stream_id;        /* 0 when absent or no integer from 1 to 2^31-1 */
    bool is_stream;            /* "stream" is true */
    bool has_once;             /* there is a member "once" */
};
/* ERR_INVALID when text is no valid JSON object. The views point into text. */
bool json_scan_envelope(struct view text, struct json_envelope *out, struct err *err) MUST_CHECK;

#endif
