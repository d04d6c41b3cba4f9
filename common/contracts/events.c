#include "common/contracts/events.h"

enum {
    DIGITS_MAX = 16, /* numbers within 2^53 */
    WEBHOOK_OBJECT_MAX = 16 * 1024,
    WEBHOOK_ARRAY_MAX = 3 * 1024 * 1024,
    CURSOR_MAX = 256,
};

bool event_type_check(struct view type, const char **problem)
{
    bool has_dot = false;
    char before = '.';
    for (size_t i = 0; i < type.len; i++) {
        char c = type.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || c == '_';
        if (!is_letter && (c != '.' || before == '.')) {
            before = '.';
            break;
        }
        has_dot = has_dot || c == '.';
        before = c;
    }
    *problem = "must be a type such as sandbox.running";
    return has_dot && before != '.' && type.len <= EVENT_TYPE_MAX;
}

static bool read_number(struct view text, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len && i < DIGITS_MAX; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return text.len >= 1 && text.len <= DIGITS_MAX;
}

bool event_text_read(struct view text, struct event_text *out, struct err *err)
{
    const char *ignored;
    *out = (struct event_text){0};
    bool has_number = read_number(view_cut(&text, ' '), &out->number);
    out->type = view_cut(&text, ' ');
    out->object = text;
    return (has_number && event_type_check(out->type, &ignored) && text.len >= 2 &&
            text.ptr[0] == '{') ||
           err_set(err, ERR_INVALID, "an event can't be read");
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS list_fields[] = {
    JSON_ID(struct event_list, user_id, "userId", .required = true),
    JSON_ID(struct event_list, sandbox_id, "sandboxId"),
    JSON_INT(struct event_list, after, "after", .required = true, .min = EVENT_LIST_NEWEST,
             .max = INT64_C(1) << 53),
    JSON_INT(struct event_list, limit, "limit", .required = true, .min = 1, .max = EVENT_LIST_MAX),
};
SCHEMA(event_list_schema, list_fields);

FIELDS page_fields[] = {
    JSON_STRINGS(struct event_page, events, "events", .required = true, .max_len = EVENT_LIST_MAX,
                 .item_max = EVENT_TEXT_MAX),
    JSON_INT(struct event_page, next, "next", .required = true),
    JSON_BOOL(struct event_page, is_over, "isOver", .required = true),
};
SCHEMA(event_page_schema, page_fields);

FIELDS create_fields[] = {
    JSON_ID(struct webhook_create, id, "id"),
    JSON_ID(struct webhook_create, user_id, "userId", .required = true),
    JSON_STRING(struct webhook_create, url, "url", .required = true, .not_empty = true,
                .max_len = WEBHOOK_URL_MAX),
    JSON_STRINGS(struct webhook_create, types, "types", .max_len = WEBHOOK_TYPES_MAX,
                 .item_max = EVENT_TYPE_MAX, .check = event_type_check),
    JSON_STRING(struct webhook_create, description, "description",
                .max_len = WEBHOOK_DESCRIPTION_BYTES),
};
SCHEMA(webhook_create_schema, create_fields);

FIELDS made_fields[] = {
    JSON_OBJECT(struct webhook_made, webhook, "webhook", .required = true,
                .max_len = WEBHOOK_OBJECT_MAX),
    JSON_STRING(struct webhook_made, secret, "secret", .required = true,
                .max_len = WEBHOOK_SECRET_SIZE - 1),
};
SCHEMA(webhook_made_schema, made_fields);

FIELDS webhook_list_fields[] = {
    JSON_ID(struct webhook_list, user_id, "userId", .required = true),
};
SCHEMA(webhook_list_schema, webhook_list_fields);

FIELDS array_fields[] = {
    JSON_ARRAY(struct webhook_array, items, "items", .required = true,
               .max_len = WEBHOOK_ARRAY_MAX),
    JSON_STRING(struct webhook_array, next_cursor, "nextCursor", .max_len = CURSOR_MAX),
};
SCHEMA(webhook_array_schema, array_fields);

FIELDS name_fields[] = {
    JSON_ID(struct webhook_name, id, "id", .required = true),
    JSON_ID(struct webhook_name, user_id, "userId", .required = true),
};
SCHEMA(webhook_name_schema, name_fields);

FIELDS redelivered_fields[] = {
    JSON_INT(struct webhook_redelivered, queued, "queued", .required = true, .min = 0, .max = -1),
};
SCHEMA(webhook_redelivered_schema, redelivered_fields);

FIELDS dead_fields[] = {
    JSON_ID(struct webhook_dead_letters, id, "id", .required = true),
    JSON_ID(struct webhook_dead_letters, user_id, "userId", .required = true),
    JSON_INT(struct webhook_dead_letters, limit, "limit", .required = true, .min = 1,
             .max = DEAD_LETTERS_MAX),
    JSON_STRING(struct webhook_dead_letters, cursor, "cursor", .max_len = CURSOR_MAX),
};
SCHEMA(webhook_dead_letters_schema, dead_fields);
