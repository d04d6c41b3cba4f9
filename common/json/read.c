#include "common/json/read.h"

#include "common/base/id.h"
#include "common/json/doc.h"
#include "common/json/names.h"
#include "common/json/scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { JSON_FIELDS_MAX = 64 };
static const int64_t int_max = (int64_t)1 << 53U;

struct reader {
    struct json_doc *doc; /* owned by json_read */
    bool refuse_unknown;
    struct json_violations *violations; /* borrowed; may be NULL */
    size_t violation_count;             /* all, also those that violations has no room for */
    bool out_of_memory;
    struct err *err; /* holds the first violation */
};

/* An object that is being read by a table. */
struct object {
    struct reader *reader;
    const struct json_field *fields;
    size_t field_count;
    const char *path;
    struct view values[JSON_FIELDS_MAX]; /* by field; len 0: absent */
};

/* One value on its way into the struct. */
struct target {
    struct reader *reader;
    const struct json_field *field;
    const char *path;
    void *member; /* in the caller's struct */
};

static bool collect(struct object *object, struct view text, struct err *err) MUST_CHECK;
static void read_fields(struct object *object, void *out);

static void violate(struct reader *reader, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void violate(struct reader *reader, const char *path, const char *format, ...)
{
    struct json_violation violation;
    (void)snprintf(violation.path, sizeof violation.path, "%s", path);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(violation.message, sizeof violation.message, format, args);
    va_end(args);
    if (reader->violation_count++ == 0) {
        err_set_reason(reader->err, ERR_INVALID, "validation_failed", "%s %s",
                       path[0] == '\0' ? "the document" : path, violation.message);
    }
    struct json_violations *list = reader->violations;
    if (list != NULL && list->count < JSON_VIOLATIONS_MAX) {
        list->items[list->count++] = violation;
    }
}

static void member_path(const char *parent, struct view name, char out[JSON_PATH_SIZE])
{
    int len = name.len < JSON_PATH_SIZE ? (int)name.len : JSON_PATH_SIZE;
    (void)snprintf(out, JSON_PATH_SIZE, "%s%s%.*s", parent, parent[0] == '\0' ? "" : ".", len,
                   name.ptr);
}

static void item_path(const char *parent, size_t index, char out[JSON_PATH_SIZE])
{
    (void)snprintf(out, JSON_PATH_SIZE, "%s[%zu]", parent, index);
}

static bool is_string(struct view value)
{
    return value.ptr[0] == '"';
}

static void check_length(const struct target *target, const char *path, size_t len, size_t max)
{
    if (max > 0 && len > max) {
        violate(target->reader, path, "must be at most %zu bytes long", max);
    }
}

static void check_count(const struct target *target, size_t count)
{
    size_t max = target->field->max_len;
    if (max > 0 && count > max) {
        violate(target->reader, target->path, "must have at most %zu entries", max);
    }
}

static void check_nul(const struct target *target, const char *path, struct view value)
{
    if (!target->field->allow_nul && value.len > 0 && memchr(value.ptr, '\0', value.len) != NULL) {
        violate(target->reader, path, "must not contain NUL");
    }
}

static void check_rule(const struct target *target, const char *path, struct view value)
{
    const char *problem = "is not valid";
    if (target->field->check != NULL && !target->field->check(value, &problem)) {
        violate(target->reader, path, "%s", problem);
    }
}

static void check_choice(const struct target *target, const char *path, struct view value)
{
    char choices[JSON_VIOLATION_MESSAGE_SIZE] = "";
    size_t len = 0;
    for (const char *const *choice = target->field->one_of; choice != NULL; choice++) {
        if (*choice == NULL) {
            violate(target->reader, path, "must be one of%s", choices);
            return;
        }
        if (view_equal(value, view_of(*choice))) {
            return;
        }
        int added =
            snprintf(choices + len, sizeof choices - len, "%s %s", len == 0 ? "" : ",", *choice);
        len += (size_t)added < sizeof choices - len ? (size_t)added : 0;
    }
}

static void check_string(const struct target *target, const char *path, struct view value,
                         size_t max)
{
    check_length(target, path, value.len, max);
    check_nul(target, path, value);
    check_choice(target, path, value);
    check_rule(target, path, value);
}

static bool keep_string(const struct target *target, struct view text, struct view *out)
{
    if (!json_doc_string(target->reader->doc, text, out)) {
        target->reader->out_of_memory = true;
        return false;
    }
    return true;
}

static void read_string(const struct target *target, struct view text)
{
    struct view *out = target->member;
    if (!keep_string(target, text, out)) {
        return;
    }
    if (target->field->not_empty && out->len == 0) {
        violate(target->reader, target->path, "must not be empty");
        return;
    }
    check_string(target, target->path, *out, target->field->max_len);
}

static void read_id(const struct target *target, struct view text)
{
    struct view value;
    if (keep_string(target, text, &value) && !id_parse(value, target->member)) {
        violate(target->reader, target->path, "must be a UUID");
    }
}

/* Only digits with a sign before them: the text decides, not what it is worth. */
static bool parse_int(struct view text, int64_t *out)
{
    bool negative = text.ptr[0] == '-';
    text = view_from(text, negative ? 1 : 0);
    int64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > int_max) {
            return false;
        }
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = negative ? -value : value;
    return value <= int_max;
}

static void read_int(const struct target *target, struct view text)
{
    const struct json_field *field = target->field;
    bool any = field->min == 0 && field->max == 0;
    int64_t min = any ? -int_max : field->min;
    int64_t max = any || field->max < field->min ? int_max : field->max;
    int64_t *out = target->member;
    if (!parse_int(text, out)) {
        violate(target->reader, target->path, "must be a whole number");
    } else if (*out < min || *out > max) {
        violate(target->reader, target->path, "must be from %" PRId64 " to %" PRId64, min, max);
    }
}

static void read_number(const struct target *target, struct view text)
{
    char number[JSON_NUMBER_MAX + 1];
    double *out = target->member;
    *out = view_copy(text, number, sizeof number) ? strtod(number, NULL) : 0;
    if (!(*out >= (double)-int_max && *out <= (double)int_max)) {
        violate(target->reader, target->path, "must be a number within +-2^53");
    }
}

static void read_bool(const struct target *target, struct view text)
{
    bool *out = target->member;
    *out = text.ptr[0] == 't';
}

/* Counts the entries of an array or object that must all be strings. */
struct counter {
    const struct target *target;
    size_t count;
    bool all_strings;
};

static void refuse_entry(struct counter *counter, const char *path)
{
    counter->all_strings = false;
    violate(counter->target->reader, path, "must be a string");
}

static void on_item(struct view item, void *arg)
{
    struct counter *counter = arg;
    if (!is_string(item)) {
        char path[JSON_PATH_SIZE];
        item_path(counter->target->path, counter->count, path);
        refuse_entry(counter, path);
    }
    counter->count++;
}

static void on_pair(const struct json_member *member, void *arg)
{
    struct counter *counter = arg;
    if (!is_string(member->value)) {
        char path[JSON_PATH_SIZE];
        member_path(counter->target->path, member->name, path);
        refuse_entry(counter, path);
    }
    counter->count++;
}

/* Whether the entries may be parsed: they are strings and not too many. */
static bool may_parse(struct counter *counter, bool scanned)
{
    size_t max = counter->target->field->max_len;
    counter->target->reader->out_of_memory |= !scanned; /* the text was found valid before */
    check_count(counter->target, counter->count);
    return scanned && counter->all_strings && (max == 0 || counter->count <= max);
}

static void read_strings(const struct target *target, struct view text)
{
    struct err ignored;
    struct counter counter = {.target = target, .all_strings = true};
    bool scanned = json_scan_items(text, on_item, &counter, &ignored);
    if (!may_parse(&counter, scanned)) {
        return;
    }
    struct json_strings *out = target->member;
    if (!json_doc_strings(target->reader->doc, text, counter.count, out)) {
        target->reader->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < out->count; i++) {
        char path[JSON_PATH_SIZE];
        item_path(target->path, i, path);
        check_string(target, path, out->items[i], target->field->item_max);
    }
}

static void read_pairs(const struct target *target, struct view text)
{
    struct err ignored;
    struct counter counter = {.target = target, .all_strings = true};
    bool scanned = json_scan(text, on_pair, &counter, &ignored);
    if (!may_parse(&counter, scanned)) {
        return;
    }
    struct json_pairs *out = target->member;
    if (!json_doc_pairs(target->reader->doc, text, counter.count, out)) {
        target->reader->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < out->count; i++) {
        char path[JSON_PATH_SIZE];
        const struct json_pair *pair = &out->items[i];
        member_path(target->path, pair->name, path);
        check_nul(target, path, pair->name);
        check_rule(target, path, pair->name);
        check_nul(target, path, pair->value);
        check_length(target, path, pair->value.len, target->field->item_max);
    }
}

static void read_text(const struct target *target, struct view text)
{
    if (!json_doc_copy(target->reader->doc, text, target->member)) {
        target->reader->out_of_memory = true;
    }
    check_length(target, target->path, text.len, target->field->max_len);
}

static void read_struct(const struct target *target, struct view text)
{
    struct err ignored;
    struct object object = {.reader = target->reader,
                            .fields = target->field->fields,
                            .field_count = target->field->field_count,
                            .path = target->path};
    if (!collect(&object, text, &ignored)) {
        target->reader->out_of_memory = true; /* the text was found valid before */
        return;
    }
    read_fields(&object, target->member);
}

static const struct {
    const char *first_bytes; /* what such a value can begin with */
    const char *must_be;
    size_t size; /* in the struct */
    void (*read)(const struct target *target, struct view text);
} kinds[] = {
    [JSON_KIND_STRING] = {"\"", "must be a string", sizeof(struct view), read_string},
    [JSON_KIND_ID] = {"\"", "must be a UUID", ID_SIZE, read_id},
    [JSON_KIND_INT] = {"-0123456789", "must be a whole number", sizeof(int64_t), read_int},
    [JSON_KIND_NUMBER] = {"-0123456789", "must be a number", sizeof(double), read_number},
    [JSON_KIND_BOOL] = {"tf", "must be true or false", sizeof(bool), read_bool},
    [JSON_KIND_STRINGS] = {"[", "must be an array of strings", sizeof(struct json_strings),
                           read_strings},
    [JSON_KIND_PAIRS] = {"{", "must be an object of strings", sizeof(struct json_pairs),
                         read_pairs},
    [JSON_KIND_OBJECT] = {"{", "must be an object", sizeof(struct view), read_text},
    [JSON_KIND_ARRAY] = {"[", "must be an array", sizeof(struct view), read_text},
    [JSON_KIND_STRUCT] = {"{", "must be an object", 0, read_struct},
};

/* offset 0: nobody wants to know. */
static void set_flag(void *out, size_t offset, bool value)
{
    if (offset != 0) {
        *(bool *)((char *)out + offset) = value;
    }
}

static void clear_fields(const struct json_field *fields, size_t count, void *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct json_field *field = &fields[i];
        char *member = (char *)out + field->offset;
        if (field->kind == JSON_KIND_STRUCT) {
            clear_fields(field->fields, field->field_count, member);
        }
        memset(member, 0, kinds[field->kind].size);
        set_flag(out, field->present_offset, false);
        set_flag(out, field->null_offset, false);
    }
}

static void set_absent(const struct target *target)
{
    const struct json_field *field = target->field;
    if (field->required) {
        violate(target->reader, target->path, "is required");
    } else if (field->kind == JSON_KIND_INT) {
        *(int64_t *)target->member = field->fallback;
    } else if (field->kind == JSON_KIND_BOOL) {
        *(bool *)target->member = field->fallback != 0;
    }
}

static void read_field(struct object *object, size_t index, void *out)
{
    char path[JSON_PATH_SIZE];
    const struct json_field *field = &object->fields[index];
    struct view text = object->values[index];
    struct target target = {object->reader, field, path, (char *)out + field->offset};
    member_path(object->path, view_of(field->name), path);
    bool is_null = text.len > 0 && field->nullable && text.ptr[0] == 'n';
    set_flag(out, field->null_offset, is_null);
    if (text.len == 0 || is_null) {
        set_absent(&target);
        return;
    }
    if (strchr(kinds[field->kind].first_bytes, text.ptr[0]) == NULL) {
        violate(object->reader, path, "%s", kinds[field->kind].must_be);
        return;
    }
    set_flag(out, field->present_offset, true);
    kinds[field->kind].read(&target, text);
}

static void on_member(const struct json_member *member, void *arg)
{
    struct object *object = arg;
    for (size_t i = 0; i < object->field_count; i++) {
        if (json_name_equal(member->name, view_of(object->fields[i].name))) {
            object->values[i] = member->value;
            return;
        }
    }
    if (object->reader->refuse_unknown) {
        char path[JSON_PATH_SIZE];
        member_path(object->path, member->name, path);
        violate(object->reader, path, "is not known here");
    }
}

static bool collect(struct object *object, struct view text, struct err *err)
{
    assert(object->field_count <= JSON_FIELDS_MAX);
    return json_scan(text, on_member, object, err);
}

static void read_fields(struct object *object, void *out)
{
    for (size_t i = 0; i < object->field_count; i++) {
        read_field(object, i, out);
    }
}

/* Of valid JSON text. */
static bool is_object(struct view text)
{
    return text.ptr[strspn(text.ptr, " \t\r\n")] == '{';
}

/* The text is no JSON at all: that alone is reported, whatever was found before the mistake. */
static void report_syntax(const struct reader *reader)
{
    if (reader->violations != NULL) {
        struct json_violation *violation = &reader->violations->items[0];
        violation->path[0] = '\0';
        (void)snprintf(violation->message, sizeof violation->message, "%.*s",
                       JSON_VIOLATION_MESSAGE_SIZE - 1, reader->err->message);
        reader->violations->count = 1;
    }
}

static bool read_document(struct reader *reader, struct view text, const struct json_schema *schema,
                          void *out)
{
    struct object object = {
        .reader = reader, .fields = schema->fields, .field_count = schema->field_count, .path = ""};
    if (!collect(&object, text, reader->err)) {
        report_syntax(reader);
        return false;
    }
    if (!is_object(text)) {
        violate(reader, "", "must be a JSON object");
        return false;
    }
    read_fields(&object, out);
    if (reader->out_of_memory) {
        return err_set(reader->err, ERR_INTERNAL, "reading JSON: out of memory");
    }
    return reader->violation_count == 0;
}

struct json_doc *json_read(struct view text, const struct json_schema *schema, void *out,
                           struct json_violations *violations, struct err *err)
{
    struct reader reader = {.doc = json_doc_new(),
                            .refuse_unknown = schema->refuse_unknown,
                            .violations = violations,
                            .err = err};
    clear_fields(schema->fields, schema->field_count, out);
    if (violations != NULL) {
        violations->count = 0;
    }
    if (reader.doc == NULL) {
        err_set(err, ERR_INTERNAL, "reading JSON: out of memory");
        return NULL;
    }
    if (!read_document(&reader, text, schema, out)) {
        /* Nothing may point into the document any more. */
        clear_fields(schema->fields, schema->field_count, out);
        json_doc_mark_secret(reader.doc); /* nobody else can say whether it is */
        json_doc_free(reader.doc);
        return NULL;
    }
    return reader.doc;
}
