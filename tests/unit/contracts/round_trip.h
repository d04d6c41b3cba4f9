/* tests/unit/contracts/round_trip.h: a message survives being written and read by its schema. */
#ifndef TESTS_UNIT_CONTRACTS_ROUND_TRIP_H
#define TESTS_UNIT_CONTRACTS_ROUND_TRIP_H

#include "common/json/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROUND_TRIP_MAX = 1 << 20 };

/* Reads text, writes what was read and expects the same text again. scratch holds the struct. */
static inline void expect_round_trip(const struct json_schema *schema, void *scratch,
                                     const char *text)
{
    struct err err = {0};
    struct json_doc *doc = json_read(view_of(text), schema, scratch, NULL, &err);
    if (doc == NULL) {
        fail_msg("%s: %s", err.message, text);
    }
    struct str out = STR_INIT(ROUND_TRIP_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, schema, scratch);
    json_end_object(&writer);
    assert_true(str_check(&out, "message", &err));
    assert_string_equal(out.data, text);
    str_free(&out);
    json_doc_free(doc);
}

/* What err says of text, for the caller to compare; "" when it is valid. */
static inline const char *refusal(const struct json_schema *schema, void *scratch, const char *text,
                                  struct err *err)
{
    *err = (struct err){0};
    struct json_doc *doc = json_read(view_of(text), schema, scratch, NULL, err);
    json_doc_free(doc);
    return err->message;
}

#endif
