#include "common/contracts/users.h"

#include "common/base/utf8.h"

bool user_name_check(struct view name, const char **problem)
{
    size_t characters = 0;
    size_t blanks = 0;
    while (name.len > 0) {
        unsigned char c = (unsigned char)name.ptr[0];
        size_t length = utf8_length(name, NULL);
        if (length == 0 || c < ' ' || c == 0x7f) {
            *problem = "must not contain control characters";
            return false;
        }
        characters++;
        blanks += c == ' ' ? 1 : 0;
        name = view_from(name, length);
    }
    *problem = "must be 1 to 100 characters, not all of them blanks";
    return characters <= USER_NAME_CHARS_MAX && blanks < characters;
}

static bool is_url_character(char c)
{
    return c > ' ' && c <= '~' && strchr("\"<>\\^`{|}", c) == NULL;
}

bool user_avatar_check(struct view url, const char **problem)
{
    static const struct view scheme = VIEW("https://");
    *problem = "must be an https:// address of at most 2048 characters";
    if (!view_starts_with(url, scheme) || url.len > USER_AVATAR_URL_MAX) {
        return false;
    }
    for (size_t i = 0; i < url.len; i++) {
        if (!is_url_character(url.ptr[i])) {
            return false;
        }
    }
    struct view rest = view_from(url, scheme.len);
    struct view host = view_cut(&rest, '/');
    *problem = "must name a host, and no user";
    return host.len > 0 && strchr("?#:", host.ptr[0]) == NULL &&
           memchr(host.ptr, '@', host.len) == NULL;
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS get_user_fields[] = {
    JSON_ID(struct auth_get_user, user_id, "userId", .required = true),
};
SCHEMA(auth_get_user_schema, get_user_fields);

FIELDS user_fields[] = {
    JSON_ID(struct auth_user, id, "id", .required = true),
    JSON_STRING(struct auth_user, email, "email"),
    JSON_STRING(struct auth_user, display_name, "displayName"),
    JSON_STRING(struct auth_user, avatar_url, "avatarUrl"),
    JSON_STRING(struct auth_user, tier, "tier", .required = true, .max_len = TIER_SIZE - 1),
    JSON_STRING(struct auth_user, role, "role", .required = true),
    JSON_STRING(struct auth_user, created_at, "createdAt", .required = true),
};
SCHEMA(auth_user_schema, user_fields);

FIELDS update_user_fields[] = {
    JSON_ID(struct auth_update_user, user_id, "userId", .required = true),
    JSON_ID(struct auth_update_user, actor_key_id, "actorKeyId"),
    JSON_BOOL(struct auth_update_user, sets_display_name, "setsDisplayName"),
    JSON_BOOL(struct auth_update_user, sets_avatar_url, "setsAvatarUrl"),
    JSON_STRING(struct auth_update_user, display_name, "displayName", .max_len = USER_NAME_MAX,
                .check = user_name_check),
    JSON_STRING(struct auth_update_user, avatar_url, "avatarUrl", .max_len = USER_AVATAR_URL_MAX,
                .check = user_avatar_check),
};
SCHEMA(auth_update_user_schema, update_user_fields);

FIELDS delete_user_fields[] = {
    JSON_ID(struct auth_delete_user, user_id, "userId", .required = true),
    JSON_ID(struct auth_delete_user, actor_key_id, "actorKeyId"),
};
SCHEMA(auth_delete_user_schema, delete_user_fields);

FIELDS list_audit_fields[] = {
    JSON_ID(struct auth_list_audit, user_id, "userId"),
    JSON_BOOL(struct auth_list_audit, is_for_admin, "isForAdmin"),
    JSON_STRING(struct auth_list_audit, action, "action", .max_len = AUDIT_WORD_MAX),
    JSON_STRING(struct auth_list_audit, target, "target", .max_len = AUDIT_WORD_MAX),
    JSON_INT(struct auth_list_audit, since_ms, "sinceMs", .min = 0, .max = -1),
    JSON_INT(struct auth_list_audit, until_ms, "untilMs", .min = 0, .max = -1),
    JSON_INT(struct auth_list_audit, limit, "limit", .required = true, .min = 1,
             .max = AUDIT_LIST_MAX),
    JSON_STRING(struct auth_list_audit, cursor, "cursor"),
};
SCHEMA(auth_list_audit_schema, list_audit_fields);

FIELDS audit_page_fields[] = {
    JSON_ARRAY(struct auth_audit_page, records, "records", .required = true),
    JSON_STRING(struct auth_audit_page, next_cursor, "nextCursor"),
};
SCHEMA(auth_audit_page_schema, audit_page_fields);
