/* common/json/write.h: JSON written straight into a str; commas and escapes are not the caller's
 * business. Failures stay in the str until str_check. */
#ifndef COMMON_JSON_WRITE_H
#define COMMON_JSON_WRITE_H

#include "common/base/str.h"
#include "common/json/read.h"

#include <stdint.h>

struct json_writer {
    struct str *out; /* borrowed */
    bool needs_comma;
};

struct json_writer json_writer_on(struct str *out);

/* name is NULL for items of arrays and for the outermost value. Names are literals of ours and are
 * not escaped. */
void json_begin_object(struct json_writer *writer, const char *name);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer, const char *name);
void json_end_array(struct json_writer *writer);

/* Bytes that are not UTF-8 become U+FFFD; NUL becomes \u0000. */
void json_string(struct json_writer *writer, const char *name, struct view value);
/* The longest beginning of value that json_string writes in *room bytes, its quotes apart; it ends
 * with a whole character. Takes those bytes off *room. */
struct view json_string_cut(struct view value, size_t *room);
/* NULL and "" make null. */
void json_string_or_null(struct json_writer *writer, const char *name, const char *value);
/* An empty view makes null. */
void json_view_or_null(struct json_writer *writer, const char *name, struct view value);
void json_int(struct json_writer *writer, const char *name, int64_t value);
void json_bool(struct json_writer *writer, const char *name, bool value);
void json_null(struct json_writer *writer, const char *name);
/* text is JSON already; empty text makes null. */
void json_raw(struct json_writer *writer, const char *name, struct view text);
void json_base64(struct json_writer *writer, const char *name, struct view bytes);
/* A member whose name comes from outside. */
void json_pair(struct json_writer *writer, struct view name, struct view value);

/* Writes the members of a struct by the table that reads it: absent optional fields (an empty view,
 * a false present bool, an empty id) are left out. Inside an object that the caller has begun. */
void json_struct(struct json_writer *writer, const struct json_schema *schema, const void *value);

#endif
