/* common/json/names.h: the member names of the objects that are being scanned; for this folder.
 * Names are as they stand in valid JSON text, escapes not resolved; they are compared resolved. */
#ifndef COMMON_JSON_NAMES_H
#define COMMON_JSON_NAMES_H

#include "common/base/err.h"
#include "common/base/view.h"

enum { JSON_NAMES_INLINE = 48 };

/* Names of all open objects, the innermost one's last. Start with json_names_init. */
struct json_names {
    struct view *items; /* owned unless it is inline_items */
    size_t count;
    size_t capacity;
    struct view inline_items[JSON_NAMES_INLINE];
};

void json_names_init(struct json_names *names);
void json_names_free(struct json_names *names);
/* False when out of memory. */
bool json_names_push(struct json_names *names, struct view name) MUST_CHECK;
/* Drops the names from first on; false when two of them are the same. */
bool json_names_pop_distinct(struct json_names *names, size_t first) MUST_CHECK;

/* "\u0061" and "a" are equal. */
bool json_name_equal(struct view a, struct view b);

#endif
