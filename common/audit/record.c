#include "common/audit/record.h"

#include "common/base/str.h"
#include "common/base/utf8.h"
#include "common/json/write.h"

#include <arpa/inet.h>
#include <assert.h>

static const char *const action_names[AUDIT_ACTION_COUNT] = {
    [AUDIT_SESSION_REFUSED] = "session.refused",
    [AUDIT_KEY_REFUSED] = "key.refused",
    [AUDIT_KEY_CREATED] = "key.created",
    [AUDIT_KEY_REVOKED] = "key.revoked",
    [AUDIT_KEY_ROTATED] = "key.rotated",
    [AUDIT_SANDBOX_CREATED] = "sandbox.created",
    [AUDIT_SANDBOX_DESTROYED] = "sandbox.destroyed",
    [AUDIT_SANDBOX_ENDED] = "sandbox.ended",
    [AUDIT_PORT_EXPOSED] = "port.exposed",
    [AUDIT_PORT_CLOSED] = "port.closed",
    [AUDIT_FILE_URL_MADE] = "file_url.made",
    [AUDIT_TOKEN_MADE] = "token.made",
    [AUDIT_USER_CREATED] = "user.created",
    [AUDIT_USER_UPDATED] = "user.updated",
    [AUDIT_USER_DELETED] = "user.deleted",
    [AUDIT_USER_SUSPENDED] = "user.suspended",
    [AUDIT_USER_TIER_SET] = "user.tier_set",
    [AUDIT_EXEC] = "exec",
    [AUDIT_FILE_WRITTEN] = "file.written",
};

static const char *const result_names[] = {
    [AUDIT_OK] = "ok", [AUDIT_REFUSED] = "refused", [AUDIT_FAILED] = "failed"};

enum {
    DETAIL_NAME_MAX = 32,
    /* Of a value, so that it fits when each byte takes the six of an escape. */
    DETAIL_VALUE_MAX = (AUDIT_DETAIL_SIZE - DETAIL_NAME_MAX - sizeof("{\"\":\"\"}")) / 6,
};

const char *audit_action_name(enum audit_action action)
{
    return action_names[action];
}

bool audit_action_parse(struct view name, enum audit_action *out)
{
    for (int i = 0; i < AUDIT_ACTION_COUNT; i++) {
        if (view_equal(name, view_of(action_names[i]))) {
            *out = (enum audit_action)i;
            return true;
        }
    }
    return false;
}

const char *audit_result_name(enum audit_result result)
{
    return result_names[result];
}

enum audit_result audit_result_of(const struct err *err)
{
    if (err == NULL) {
        return AUDIT_OK;
    }
    return err_message_is_public(err->code) ? AUDIT_REFUSED : AUDIT_FAILED;
}

void audit_text_set(char *out, size_t size, struct view value)
{
    size_t len = value.len;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)value.ptr[len] & 0xc0) == 0x80) {
            len--; /* not inside a character */
        }
    }
    if (len > 0) {
        memcpy(out, value.ptr, len);
    }
    out[len] = '\0';
}

void audit_record_set_detail(struct audit_record *record, const char *name, struct view value)
{
    struct str text = STR_INIT(AUDIT_DETAIL_SIZE - 1);
    struct json_writer writer = json_writer_on(&text);
    struct err err;
    assert(strlen(name) <= DETAIL_NAME_MAX);
    value.len = value.len > DETAIL_VALUE_MAX ? DETAIL_VALUE_MAX : value.len;
    value.len = value.len == 0 ? 0 : strnlen(value.ptr, value.len);
    json_begin_object(&writer, NULL);
    json_string(&writer, name, value);
    json_end_object(&writer);
    if (str_check(&text, "detail", &err)) {
        memcpy(record->detail, text.data, text.len + 1);
    }
    str_free(&text);
}

static void clean(char *text)
{
    struct view rest = view_of(text);
    while (rest.len > 0) {
        size_t skip;
        size_t len = utf8_length(rest, &skip);
        if (len == 0) {
            memset(text + (rest.ptr - text), '?', skip);
            len = skip;
        }
        rest = view_from(rest, len);
    }
}

static bool is_address(const char *text)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET, text, &ignored) == 1 || inet_pton(AF_INET6, text, &ignored) == 1;
}

void audit_record_clean(struct audit_record *record)
{
    clean(record->target_kind);
    clean(record->target);
    clean(record->request_id);
    clean(record->impersonator);
    clean(record->user_agent);
    if (!is_address(record->address)) {
        record->address[0] = '\0';
    }
}
