#include "common/json/write.h"

#include "common/base/encode.h"
#include "common/base/utf8.h"
#include "common/json/plain.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    ASCII_COUNT = 128,
    JSON_ESCAPE_SIZE = 7, /* \u001f and its NUL */
    JSON_INT_SIZE = 24,   /* -9223372036854775808 and its NUL */
    JSON_DOUBLE_SIZE = 32,
};

/* Stands for bytes that are not UTF-8. */
static const struct view replacement = {"\xef\xbf\xbd", 3};

struct json_writer json_writer_on(struct str *out)
{
    return (struct json_writer){.out = out};
}

/* The comma and the name before a value. */
static void start_value(struct json_writer *writer, const char *name)
{
    if (writer->needs_comma) {
        str_append_char(writer->out, ',');
    }
    writer->needs_comma = true;
    if (name != NULL) {
        str_append_char(writer->out, '"');
        str_append_string(writer->out, name);
        str_append_view(writer->out, VIEW("\":"));
    }
}

static void begin(struct json_writer *writer, const char *name, char bracket)
{
    start_value(writer, name);
    str_append_char(writer->out, bracket);
    writer->needs_comma = false;
}

static void end(struct json_writer *writer, char bracket)
{
    str_append_char(writer->out, bracket);
    writer->needs_comma = true;
}

void json_begin_object(struct json_writer *writer, const char *name)
{
    begin(writer, name, '{');
}

void json_end_object(struct json_writer *writer)
{
    end(writer, '}');
}

void json_begin_array(struct json_writer *writer, const char *name)
{
    begin(writer, name, '[');
}

void json_end_array(struct json_writer *writer)
{
    end(writer, ']');
}

/* What escapes c, which is ASCII, alone behind a backslash; '\0': nothing does. */
static char short_escape(char c)
{
    static const char letters[ASCII_COUNT] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
        ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    return letters[(size_t)c];
}

static void append_escape(struct str *out, char c)
{
    char letter = short_escape(c);
    if (letter != '\0') {
        str_append_char(out, '\\');
        str_append_char(out, letter);
        return;
    }
    char escape[JSON_ESCAPE_SIZE];
    (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)c & 0xffU);
    str_append_string(out, escape);
}

/* How many bytes text begins with that can stand in a string as they are. */
static size_t unescaped_run(struct view text)
{
    size_t run = json_plain_run(text);
    while (run < text.len && (unsigned char)text.ptr[run] >= 0x80) {
        size_t length = utf8_length(view_from(text, run), NULL);
        if (length == 0) {
            break;
        }
        run += length;
        run += json_plain_run(view_from(text, run));
    }
    return run;
}

/* Appends what stands for the beginning of text, which has to be escaped or replaced; returns how
 * many bytes that was. */
static size_t append_special(struct str *out, struct view text)
{
    if ((unsigned char)text.ptr[0] < 0x80) {
        append_escape(out, text.ptr[0]);
        return 1;
    }
    size_t skip;
    (void)utf8_length(text, &skip);
    str_append_view(out, replacement);
    return skip;
}

/* How many bytes append_special appends; skip: how many it stands for. */
static size_t special_size(struct view text, size_t *skip)
{
    if ((unsigned char)text.ptr[0] >= 0x80) {
        (void)utf8_length(text, skip);
        return replacement.len;
    }
    *skip = 1;
    return short_escape(text.ptr[0]) == '\0' ? JSON_ESCAPE_SIZE - 1 : 2;
}

static void append_string(struct str *out, struct view value)
{
    str_append_char(out, '"');
    /* Room for all of it at once; escapes make it grow. */
    (void)str_reserve(out, value.len + 1);
    while (value.len > 0 && !out->failed) {
        size_t run = unescaped_run(value);
        str_append(out, value.ptr, run);
        value = view_from(value, run);
        if (value.len > 0) {
            value = view_from(value, append_special(out, value));
        }
    }
    str_append_char(out, '"');
}

void json_string(struct json_writer *writer, const char *name, struct view value)
{
    start_value(writer, name);
    append_string(writer->out, value);
}

struct view json_string_cut(struct view value, size_t *room)
{
    struct view rest = value;
    size_t left = *room;
    while (rest.len > 0) {
        size_t run = unescaped_run(rest);
        if (run > left) {
            run = utf8_prefix((struct view){rest.ptr, left}, NULL);
            rest = view_from(rest, run);
            left -= run;
            break;
        }
        rest = view_from(rest, run);
        left -= run;
        size_t skip = 0;
        size_t size = rest.len == 0 ? 0 : special_size(rest, &skip);
        if (size > left) {
            break;
        }
        rest = view_from(rest, skip);
        left -= size;
    }
    *room = left;
    return (struct view){value.ptr, value.len - rest.len};
}

void json_view_or_null(struct json_writer *writer, const char *name, struct view value)
{
    if (value.len == 0) {
        json_null(writer, name);
    } else {
        json_string(writer, name, value);
    }
}

void json_string_or_null(struct json_writer *writer, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0') {
        json_null(writer, name);
    } else {
        json_string(writer, name, view_of(value));
    }
}

void json_int(struct json_writer *writer, const char *name, int64_t value)
{
    char digits[JSON_INT_SIZE];
    (void)snprintf(digits, sizeof digits, "%" PRId64, value);
    json_raw(writer, name, view_of(digits));
}

void json_bool(struct json_writer *writer, const char *name, bool value)
{
    json_raw(writer, name, value ? VIEW("true") : VIEW("false"));
}

void json_null(struct json_writer *writer, const char *name)
{
    json_raw(writer, name, VIEW("null"));
}

void json_raw(struct json_writer *writer, const char *name, struct view text)
{
    start_value(writer, name);
    str_append_view(writer->out, text.len == 0 ? VIEW("null") : text);
}

void json_base64(struct json_writer *writer, const char *name, struct view bytes)
{
    start_value(writer, name);
    str_append_char(writer->out, '"');
    char *room = str_reserve(writer->out, ENCODE_BASE64_SIZE(bytes.len) - 1);
    if (room != NULL) {
        str_advance(writer->out, encode_base64(ENCODE_BASE64, bytes.ptr, bytes.len, room));
    }
    str_append_char(writer->out, '"');
}

void json_pair(struct json_writer *writer, struct view name, struct view value)
{
    start_value(writer, NULL);
    append_string(writer->out, name);
    str_append_char(writer->out, ':');
    append_string(writer->out, value);
}

static void write_number(struct json_writer *writer, const char *name, double value)
{
    char text[JSON_DOUBLE_SIZE];
    int len = snprintf(text, sizeof text, "%.17g", value);
    json_raw(writer, name, (struct view){text, (size_t)len});
}

static void write_strings(struct json_writer *writer, const char *name, const void *member)
{
    const struct json_strings *strings = member;
    json_begin_array(writer, name);
    for (size_t i = 0; i < strings->count; i++) {
        json_string(writer, NULL, strings->items[i]);
    }
    json_end_array(writer);
}

static void write_pairs(struct json_writer *writer, const char *name, const void *member)
{
    const struct json_pairs *pairs = member;
    json_begin_object(writer, name);
    for (size_t i = 0; i < pairs->count; i++) {
        json_pair(writer, pairs->items[i].name, pairs->items[i].value);
    }
    json_end_object(writer);
}

/* Whether a value without a present bool is there. */
static bool has_content(const struct json_field *field, const void *member)
{
    switch (field->kind) {
    case JSON_KIND_STRING:
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        return ((const struct view *)member)->len > 0;
    case JSON_KIND_ID:
        return *(const char *)member != '\0';
    case JSON_KIND_STRINGS:
        return ((const struct json_strings *)member)->count > 0;
    case JSON_KIND_PAIRS:
        return ((const struct json_pairs *)member)->count > 0;
    default:
        return true;
    }
}

static bool is_present(const struct json_field *field, const void *value, const void *member)
{
    if (field->required) {
        return true;
    }
    if (field->present_offset != 0) {
        return *(const bool *)((const char *)value + field->present_offset);
    }
    return has_content(field, member);
}

static void write_fields(struct json_writer *writer, const struct json_field *fields, size_t count,
                         const void *value);

static void write_field(struct json_writer *writer, const struct json_field *field,
                        const void *member)
{
    switch (field->kind) {
    case JSON_KIND_STRING:
        json_string(writer, field->name, *(const struct view *)member);
        break;
    case JSON_KIND_ID:
        json_string(writer, field->name, view_of(member));
        break;
    case JSON_KIND_INT:
        json_int(writer, field->name, *(const int64_t *)member);
        break;
    case JSON_KIND_NUMBER:
        write_number(writer, field->name, *(const double *)member);
        break;
    case JSON_KIND_BOOL:
        json_bool(writer, field->name, *(const bool *)member);
        break;
    case JSON_KIND_STRINGS:
        write_strings(writer, field->name, member);
        break;
    case JSON_KIND_PAIRS:
        write_pairs(writer, field->name, member);
        break;
    case JSON_KIND_OBJECT:
    case JSON_KIND_ARRAY:
        json_raw(writer, field->name, *(const struct view *)member);
        break;
    case JSON_KIND_STRUCT:
        json_begin_object(writer, field->name);
        write_fields(writer, field->fields, field->field_count, member);
        json_end_object(writer);
        break;
    }
}

static void write_fields(struct json_writer *writer, const struct json_field *fields, size_t count,
                         const void *value)
{
    for (size_t i = 0; i < count; i++) {
        const void *member = (const char *)value + fields[i].offset;
        if (is_present(&fields[i], value, member)) {
            write_field(writer, &fields[i], member);
        }
    }
}

void json_struct(struct json_writer *writer, const struct json_schema *schema, const void *value)
{
    write_fields(writer, schema->fields, schema->field_count, value);
}
