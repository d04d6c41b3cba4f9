#include "auth-service/jwt/organization.h"

#include "common/base/str.h"
#include "common/json/read.h"

enum { MASK_BITS = 64 };

struct packed {
    struct view id;
    struct view role;        /* without "org:" */
    struct view permissions; /* "read,manage" */
    struct view masks;       /* "3,2": for each feature of the organization which permissions */
};
static const struct json_field packed_fields[] = {
    JSON_STRING(struct packed, id, "id"),
    JSON_STRING(struct packed, role, "rol"),
    JSON_STRING(struct packed, permissions, "per"),
    JSON_STRING(struct packed, masks, "fpm"),
};

struct members {
    struct packed packed;
    struct view features; /* "o:dashboard,uo:export": scopes and name */
    struct view id;
    struct view role;
    struct json_strings permissions;
};
static const struct json_field member_fields[] = {
    JSON_STRUCT(struct members, packed, "o", packed_fields, .nullable = true),
    JSON_STRING(struct members, features, "fea", .nullable = true),
    JSON_STRING(struct members, id, "org_id", .nullable = true),
    JSON_STRING(struct members, role, "org_role", .nullable = true),
    JSON_STRINGS(struct members, permissions, "org_permissions", .nullable = true),
};

/* Cuts the part before the next separator off rest; false when nothing is left. */
static bool next_part(struct view *rest, char separator, struct view *part)
{
    if (rest->len == 0) {
        return false;
    }
    *part = view_cut(rest, separator);
    return true;
}

static uint64_t parse_mask(struct view text)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || mask > UINT64_MAX / 10 - 1) {
            return 0;
        }
        mask = mask * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    return mask;
}

static void append_feature(struct str *out, struct view feature, struct view permissions,
                           uint64_t mask)
{
    struct view permission;
    for (size_t bit = 0; bit < MASK_BITS && next_part(&permissions, ',', &permission); bit++) {
        if ((mask >> bit & 1U) != 0) {
            str_append_string(out, out->len == 0 ? "org:" : ",org:");
            str_append_view(out, feature);
            str_append_char(out, ':');
            str_append_view(out, permission);
        }
    }
}

/* The k-th mask belongs to the k-th feature whose scopes hold an o. */
static void unpack_permissions(const struct members *members, struct str *out)
{
    struct view features = members->features;
    struct view masks = members->packed.masks;
    struct view feature;
    struct view scopes;
    struct view mask;
    while (next_part(&features, ',', &feature)) {
        if (next_part(&feature, ':', &scopes) && memchr(scopes.ptr, 'o', scopes.len) != NULL &&
            next_part(&masks, ',', &mask)) {
            append_feature(out, feature, members->packed.permissions, parse_mask(mask));
        }
    }
}

static void join_permissions(const struct json_strings *permissions, struct str *out)
{
    for (size_t i = 0; i < permissions->count; i++) {
        str_append_string(out, out->len == 0 ? "" : ",");
        str_append_view(out, permissions->items[i]);
    }
}

static bool keep(const struct members *members, struct token_organization *out)
{
    bool packed = members->packed.id.len > 0;
    struct str role = STR_INIT(ORGANIZATION_TEXT_SIZE - 1);
    struct str permissions = STR_INIT(ORGANIZATION_PERMISSIONS_SIZE - 1);
    if (packed) {
        str_append_string(&role, "org:");
        str_append_view(&role, members->packed.role);
        unpack_permissions(members, &permissions);
    } else {
        str_append_view(&role, members->role);
        join_permissions(&members->permissions, &permissions);
    }
    bool kept = !role.failed && !permissions.failed &&
                view_copy(packed ? members->packed.id : members->id, out->id, sizeof out->id) &&
                view_copy(str_view(&role), out->role, sizeof out->role) &&
                view_copy(str_view(&permissions), out->permissions, sizeof out->permissions);
    str_free(&role);
    str_free(&permissions);
    return kept;
}

void token_organization_read(struct view payload, struct token_organization *out)
{
    struct members members;
    struct err ignored;
    *out = (struct token_organization){0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(payload, &JSON_SCHEMA(member_fields), &members, NULL, &ignored);
    if (doc == NULL || !keep(&members, out)) {
        *out = (struct token_organization){0};
    }
}
