/* Any bytes into the JSON scanner and the schema reader. What is read must come out of the writer
 * in a form that reads and writes the same again. */
#include "common/base/id.h"
#include "common/base/utf8.h"
#include "common/json/scan.h"
#include "common/json/write.h"

#include <assert.h>

enum { OUT_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct inner {
    int64_t number;
    struct view text;
};
struct sample {
    struct view text;
    bool has_text;
    struct view name;
    char id[ID_SIZE];
    int64_t number;
    bool flag;
    struct json_strings list;
    struct json_pairs map;
    struct view object;
    struct view array;
    struct inner inner;
};
static const struct json_field inner_fields[] = {
    JSON_INT(struct inner, number, "n", .nullable = true),
    JSON_STRING(struct inner, text, "t", .allow_nul = true),
};
static const struct json_field fields[] = {
    JSON_STRING(struct sample, text, "t", .allow_nul = true, .nullable = true,
                JSON_PRESENT(struct sample, has_text)),
    JSON_STRING(struct sample, name, "s", .max_len = 8, .not_empty = true),
    JSON_ID(struct sample, id, "id"),
    JSON_INT(struct sample, number, "n"),
    JSON_BOOL(struct sample, flag, "b"),
    JSON_STRINGS(struct sample, list, "l", .allow_nul = true, .max_len = 64),
    JSON_PAIRS(struct sample, map, "m", .allow_nul = true),
    JSON_OBJECT(struct sample, object, "o"),
    JSON_ARRAY(struct sample, array, "a"),
    JSON_STRUCT(struct sample, inner, "i", inner_fields),
};
static const struct json_schema lenient = {fields, sizeof fields / sizeof fields[0], false};
static const struct json_schema strict = {fields, sizeof fields / sizeof fields[0], true};

static bool contains(struct view outer, struct view inner)
{
    return inner.ptr >= outer.ptr && inner.ptr + inner.len <= outer.ptr + outer.len;
}

static void on_member(const struct json_member *member, void *arg)
{
    const struct view *text = arg;
    assert(contains(*text, member->whole));
    assert(contains(member->whole, member->name));
    assert(contains(member->whole, member->value));
    assert(member->value.len > 0);
}

static void on_item(struct view item, void *arg)
{
    const struct view *text = arg;
    assert(contains(*text, item) && item.len > 0);
}

static void write_sample(struct str *out, const struct sample *sample)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &lenient, sample);
    json_end_object(&writer);
    assert(!out->failed);
}

/* sample was read from valid text. */
static void check_round_trip(const struct sample *sample)
{
    struct err err;
    struct str first = STR_INIT(OUT_MAX);
    struct str second = STR_INIT(OUT_MAX);
    struct sample again;
    write_sample(&first, sample);
    struct json_doc *doc = json_read(str_view(&first), &strict, &again, NULL, &err);
    assert(doc != NULL);
    write_sample(&second, &again);
    assert(view_equal(str_view(&first), str_view(&second)));
    json_doc_free(doc);
    str_free(&first);
    str_free(&second);
}

/* Whatever the bytes are, they can be written as a string. */
static void check_string(struct view bytes)
{
    struct err err;
    struct str out = STR_INIT(OUT_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_string(&writer, NULL, bytes);
    assert(json_scan(str_view(&out), NULL, NULL, &err));
    str_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view text = {(const char *)data, size};
    struct err err;
    struct json_violations violations;
    struct json_envelope envelope;
    struct sample sample;
    bool valid = json_scan(text, on_member, &text, &err);
    assert(!valid || utf8_is_valid(text));
    assert(json_scan_items(text, on_item, &text, &err) == valid);
    if (json_scan_envelope(text, &envelope, &err)) {
        assert(valid && envelope.id.len <= 64);
        assert(envelope.stream_id <= INT32_MAX);
        assert(envelope.stream_id == 0 || envelope.stream_member.len > 0);
    }
    check_string(text);
    struct json_doc *doc = json_read(text, &lenient, &sample, &violations, &err);
    assert(doc == NULL || valid);
    assert((doc == NULL) == (violations.count > 0));
    if (doc != NULL) {
        check_round_trip(&sample);
        json_doc_free(doc);
    }
    return 0;
}
