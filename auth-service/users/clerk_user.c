#include "auth-service/users/clerk_user.h"

#include "common/json/scan.h"

#include <stdio.h>

struct description {
    struct view id;
    struct view first_name;
    struct view last_name;
    struct view username;
    struct view image_url;
    struct view primary_email_id;
    struct view email_addresses;
    int64_t updated_at_ms;
    bool banned;
};
static const struct json_field description_fields[] = {
    JSON_STRING(struct description, id, "id", .required = true, .not_empty = true,
                .max_len = CLAIM_TEXT_MAX),
    JSON_STRING(struct description, first_name, "first_name", .nullable = true),
    JSON_STRING(struct description, last_name, "last_name", .nullable = true),
    JSON_STRING(struct description, username, "username", .nullable = true),
    JSON_STRING(struct description, image_url, "image_url", .nullable = true),
    JSON_STRING(struct description, primary_email_id, "primary_email_address_id", .nullable = true),
    JSON_ARRAY(struct description, email_addresses, "email_addresses", .nullable = true),
    JSON_INT(struct description, updated_at_ms, "updated_at", .required = true, .min = 1,
             .max = INT64_C(1) << 52U),
    JSON_BOOL(struct description, banned, "banned", .nullable = true),
};

struct verification {
    struct view status;
};
static const struct json_field verification_fields[] = {
    JSON_STRING(struct verification, status, "status", .nullable = true),
};
struct address {
    struct view id;
    struct view email;
    struct verification verification;
};
static const struct json_field address_fields[] = {
    JSON_STRING(struct address, id, "id", .required = true),
    JSON_STRING(struct address, email, "email_address", .required = true),
    JSON_STRUCT(struct address, verification, "verification", verification_fields,
                .nullable = true),
};

struct search {
    struct view primary_id;
    char *email;
};

static void on_address(struct view item, void *arg)
{
    const struct search *search = arg;
    struct address address;
    struct err ignored;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(item, &JSON_SCHEMA(address_fields), &address, NULL, &ignored);
    if (doc != NULL && view_equal(address.id, search->primary_id) &&
        view_equal(address.verification.status, VIEW("verified")) &&
        !view_copy(address.email, search->email, PROFILE_EMAIL_SIZE)) {
        search->email[0] = '\0';
    }
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0U) == 0x80U;
}

/* Cuts what is too long between two characters. */
static void copy_name(struct view text, char *out, size_t size)
{
    if (text.len >= size) {
        text.len = size - 1;
        while (text.len > 0 && is_continuation(text.ptr[text.len])) {
            text.len--;
        }
    }
    if (!view_copy(text, out, size)) {
        out[0] = '\0';
    }
}

static void read_name(const struct description *description, char out[PROFILE_NAME_SIZE])
{
    struct view first = description->first_name;
    struct view last = description->last_name;
    copy_name(first.len > 0  ? first
              : last.len > 0 ? last
                             : description->username,
              out, PROFILE_NAME_SIZE);
    size_t len = strlen(out);
    if (first.len > 0 && last.len > 0 && len + 2 < PROFILE_NAME_SIZE) {
        out[len] = ' ';
        copy_name(last, out + len + 1, PROFILE_NAME_SIZE - len - 1);
    }
}

bool clerk_user_read(struct view json, struct clerk_user *out, struct err *err)
{
    struct description description;
    struct profile *profile = &out->profile;
    *out = (struct clerk_user){0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(json, &JSON_SCHEMA(description_fields), &description, NULL, err);
    if (doc == NULL) {
        return err_wrap(err, "Clerk's description of a user");
    }
    struct search search = {.primary_id = description.primary_email_id, .email = profile->email};
    if (description.primary_email_id.len > 0 && description.email_addresses.len > 0 &&
        !json_scan_items(description.email_addresses, on_address, &search, err)) {
        return false;
    }
    read_name(&description, profile->display_name);
    if (!view_starts_with(description.image_url, VIEW("https://")) ||
        !view_copy(description.image_url, profile->avatar_url, sizeof profile->avatar_url)) {
        profile->avatar_url[0] = '\0';
    }
    profile->at_ms = description.updated_at_ms;
    profile->banned = description.banned;
    return view_copy(description.id, out->subject, sizeof out->subject) ||
           err_set(err, ERR_INVALID, "Clerk's description of a user: its id is too long");
}

bool clerk_user_id_is_sound(struct view subject)
{
    enum { ID_PART_MAX = 64 };
    static const struct view prefix = VIEW("user_");
    if (!view_starts_with(subject, prefix) || subject.len == prefix.len ||
        subject.len > prefix.len + ID_PART_MAX) {
        return false;
    }
    for (size_t i = prefix.len; i < subject.len; i++) {
        char c = subject.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return true;
}
