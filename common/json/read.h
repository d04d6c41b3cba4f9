/* common/json/read.h: JSON from outside into a struct, through a table of fields.
 *
 * Text is checked by json_scan first and then parsed by cJSON, which never leaves this module. A
 * reader collects every violation, each with the path of the field. */
#ifndef COMMON_JSON_READ_H
#define COMMON_JSON_READ_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    JSON_VIOLATIONS_MAX = 16,
    JSON_PATH_SIZE = 96,
    JSON_VIOLATION_MESSAGE_SIZE = 112,
};

enum json_kind {
    JSON_KIND_STRING,  /* struct view; UTF-8 without NUL unless allow_nul */
    JSON_KIND_ID,      /* char[ID_SIZE]; a UUID, lower-cased */
    JSON_KIND_INT,     /* int64_t; "8080" and 80e2 and 8080.0 are not integers */
    JSON_KIND_NUMBER,  /* double; any number, finite and within +-2^53 */
    JSON_KIND_BOOL,    /* bool */
    JSON_KIND_STRINGS, /* struct json_strings: an array of strings */
    JSON_KIND_PAIRS,   /* struct json_pairs: an object whose values are strings */
    JSON_KIND_OBJECT,  /* struct view: a nested object as text, checked, ready to be read or kept */
    JSON_KIND_ARRAY,   /* struct view: a nested array as text, the same way */
    JSON_KIND_STRUCT,  /* a nested struct, read by the table in .fields */
};

/* Arrays in these belong to the document and live as long as it. */
struct json_strings {
    const struct view *items;
    size_t count;
};
struct json_pair {
    struct view name;
    struct view value;
};
struct json_pairs {
    const struct json_pair *items;
    size_t count;
};

/* One member. Made by the macros below; anything they do not set is "no limit". */
struct json_field {
    const char *name;
    enum json_kind kind;
    size_t offset;         /* of the value in the struct */
    size_t present_offset; /* of a bool that tells whether it was there; 0 (so it can't be the
                              struct's first member): none */
    size_t null_offset;    /* the same, of a bool that tells whether it was null */
    bool required;
    bool nullable; /* null counts as absent */
    bool allow_nul;
    bool not_empty;
    size_t max_len;            /* bytes of a string, object, array; entries of strings, pairs */
    size_t item_max;           /* bytes of each item of strings, each value of pairs */
    int64_t min, max;          /* both 0: any integer within +-2^53; max < min: no upper limit */
    int64_t fallback;          /* of an absent INT or BOOL */
    const char *const *one_of; /* NULL-terminated list of the strings allowed */
    bool (*check)(struct view value, const char **problem); /* one more rule for a string, each
                      item of strings, or each NAME of pairs; problem: "must be ..." */
    const struct json_field *fields;                        /* of JSON_KIND_STRUCT */
    size_t field_count;
};

#define JSON_FIELD_(type, member, name_, kind_, ...)                                               \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .offset = offsetof(type, member), __VA_ARGS__            \
    }
/* JSON_STRING(struct create_request, image, "image", .required = true, .max_len = 255) */
#define JSON_STRING(type, member, name, ...)                                                       \
    JSON_FIELD_(type, member, name, JSON_KIND_STRING, ##__VA_ARGS__)
#define JSON_ID(type, member, name, ...)                                                           \
    JSON_FIELD_(type, member, name, JSON_KIND_ID, ##__VA_ARGS__)
#define JSON_INT(type, member, name, ...)                                                          \
    JSON_FIELD_(type, member, name, JSON_KIND_INT, ##__VA_ARGS__)
#define JSON_NUMBER(type, member, name, ...)                                                       \
    JSON_FIELD_(type, member, name, JSON_KIND_NUMBER, ##__VA_ARGS__)
#define JSON_BOOL(type, member, name, ...)                                                         \
    JSON_FIELD_(type, member, name, JSON_KIND_BOOL, ##__VA_ARGS__)
#define JSON_STRINGS(type, member, name, ...)                                                      \
    JSON_FIELD_(type, member, name, JSON_KIND_STRINGS, ##__VA_ARGS__)
#define JSON_PAIRS(type, member, name, ...)                                                        \
    JSON_FIELD_(type, member, name, JSON_KIND_PAIRS, ##__VA_ARGS__)
#define JSON_OBJECT(type, member, name, ...)                                                       \
    JSON_FIELD_(type, member, name, JSON_KIND_OBJECT, ##__VA_ARGS__)
#define JSON_ARRAY(type, member, name, ...)                                                        \
    JSON_FIELD_(type, member, name, JSON_KIND_ARRAY, ##__VA_ARGS__)
#define JSON_STRUCT(type, member, name, table, ...)                                                \
    JSON_FIELD_(type, member, name, JSON_KIND_STRUCT, .fields = (table),                           \
                .field_count = sizeof(table) / sizeof(table)[0], ##__VA_ARGS__)
/* Records presence in a bool member. */
#define JSON_PRESENT(type, member) .present_offset = offsetof(type, member)
/* Records in a bool member that a nullable one came as null, which else counts as absent. */
#define JSON_IS_NULL(type, member) .null_offset = offsetof(type, member)

struct json_schema {
    const struct json_field *fields;
    size_t field_count;
    bool refuse_unknown; /* security settings, and between our own processes */
};
#define JSON_SCHEMA(table, ...)                                                                    \
    ((struct json_schema){                                                                         \
        .fields = (table), .field_count = sizeof(table) / sizeof(table)[0], ##__VA_ARGS__})

struct json_violation {
    char path[JSON_PATH_SIZE]; /* "env.PATH", "args[3]"; "" is the document itself */
    char message[JSON_VIOLATION_MESSAGE_SIZE];
};
struct json_violations {
    struct json_violation items[JSON_VIOLATIONS_MAX];
    size_t count; /* further ones are dropped */
};

struct json_doc; /* owns the strings that views in a read struct point to */

/* Reads text into out (a struct the table describes; it is zeroed first). Copies what it needs of
 * text. Returns the document, for the caller to free with json_doc_free after the last use of out's
 * views; NULL on failure, with every violation in violations (may be NULL) and the first one in err
 * (ERR_INVALID, "invalid_json" or "validation_failed"). */
struct json_doc *json_read(struct view text, const struct json_schema *schema, void *out,
                           struct json_violations *violations, struct err *err) MUST_CHECK;
/* What it holds is overwritten when it is freed. NULL is fine. */
void json_doc_mark_secret(struct json_doc *doc);
void json_doc_free(struct json_doc *doc);
/* For AUTO. */
void json_doc_release(struct json_doc **doc);

#endif
