#include "common/audit/record.h"

#include "common/base/str.h"
#include "common/base/utf8.h"
#include "common/json/write.h"

#include <arpa/inet.h>
#include <assert.h>

static const char *const action_names[AUDIT_ACTION_COUNT] = {
    [AUDIT_SESSION_STARTED] = "session.started",
    [AUDIT_SESSION_REFUSED] = "session.refused",
    [AUDIT_SESSION_ENDED] = "session.ended",
    [AUDIT_KEY_REFUSED] = "key.refused",
    [AUDIT_KEY_CREATED] = "key.created",
    [AUDIT_KEY_REVOKED] = "key.revoked",
    [AUDIT_KEY_ROTATED] = "key.rotated",
    [AUDIT_SANDBOX_CREATED] = "sandbox.created",
    [AUDIT_SANDBOX_DESTROYED] = "sandbox.destroyed",
    [AUDIT_SANDBOX_ENDED] = "sandbox.ended",
    [AUDIT_SANDBOX_PAUSED] = "sandbox.paused",
    [AUDIT_SANDBOX_RESUMED] = "sandbox.resumed",
    [AUDIT_SANDBOX_TIMES_SET] = "sandbox.times_set",
    [AUDIT_PORT_EXPOSED] = "port.exposed",
    [AUDIT_PORT_CLOSED] = "port.closed",
    [AUDIT_NETWORK_CHANGED] = "sandbox.network_changed",
    [AUDIT_FILE_URL_MADE] = "file_url.made",
    [AUDIT_TOKEN_MADE] = "token.made",
    [AUDIT_USER_CREATED] = "user.created",
    [AUDIT_USER_UPDATED] = "user.updated",
    [AUDIT_USER_DELETED] = "user.deleted",
    [AUDIT_USER_SUSPENDED] = "user.suspended",
    [AUDIT_USER_RESTORED] = "user.restored",
    [AUDIT_USER_ROLE_SET] = "user.role_set",
    [AUDIT_USER_TIER_SET] = "user.tier_set",
    [AUDIT_EXEC] = "exec",
    [AUDIT_FILE_WRITTEN] = "file.written",
    [AUDIT_TRAIL_READ] = "trail.read",
    [AUDIT_TOKEN_REFUSED] = "token.refused",
    [AUDIT_TEMPLATE_CREATED] = "template.created",
    [AUDIT_TEMPLATE_REMOVED] = "template.removed",
    [AUDIT_WEBHOOK_CREATED] = "webhook.created",
    [AUDIT_WEBHOOK_REMOVED] = "webhook.removed",
    [AUDIT_WEBHOOK_REDELIVERED] = "webhook.redelivered",
    [AUDIT_SECRET_SET] = "secret.set",
    [AUDIT_SECRET_DELETED] = "secret.deleted",
    [AUDIT_VOLUME_CREATED] = "volume.created",
    [AUDIT_VOLUME_DELETED] = "volume.deleted",
    [AUDIT_NODE_DRAINING] = "node.draining_set",
    [AUDIT_NODE_CLEANED] = "node.cleaned",
};

static const char *const result_names[] = {
    [AUDIT_OK] = "ok", [AUDIT_REFUSED] = "refused", [AUDIT_FAILED] = "failed"};

enum {
    DETAIL_NAME_MAX = 32,
    DETAIL_ROOM = AUDIT_DETAIL_SIZE - 1 - DETAIL_NAME_MAX - sizeof("{\"\":\"\",}"),
    ESCAPE_MAX = 6, /* bytes that a byte of a value may take in JSON */
    REPAIR_MAX = 3, /* that one of no ASCII may: it may be no UTF-8 */
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

bool audit_result_parse(struct view name, enum audit_result *out)
{
    for (size_t i = 0; i < sizeof result_names / sizeof result_names[0]; i++) {
        if (view_equal(name, view_of(result_names[i]))) {
            *out = (enum audit_result)i;
            return true;
        }
    }
    return false;
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

static size_t escaped_size(char c)
{
    unsigned char byte = (unsigned char)c;
    if (byte >= 0x80) {
        return REPAIR_MAX;
    }
    return byte < 0x20 || byte == 0x7f ? ESCAPE_MAX : c == '"' || c == '\\' ? 2 : 1;
}

/* What of it takes at most that many bytes in JSON; up to a NUL. */
static struct view cut_value(struct view value, size_t most)
{
    size_t len = 0;
    size_t size = 0;
    while (len < value.len && value.ptr[len] != '\0' &&
           size + escaped_size(value.ptr[len]) <= most) {
        size += escaped_size(value.ptr[len]);
        len++;
    }
    while (len > 0 && len < value.len && ((unsigned char)value.ptr[len] & 0xc0) == 0x80) {
        len--; /* not inside a character */
    }
    return (struct view){value.ptr, len};
}

/* detail is "" or an object, and stays one. most: bytes of the value in JSON. */
static void add_member(struct audit_record *record, const char *name, struct view value,
                       size_t most)
{
    struct str text = STR_INIT(AUDIT_DETAIL_SIZE - 1);
    struct json_writer writer = json_writer_on(&text);
    struct err err;
    size_t held = strlen(record->detail);
    assert(strlen(name) <= DETAIL_NAME_MAX);
    str_append_view(&text, held == 0 ? VIEW("{") : (struct view){record->detail, held - 1});
    writer.needs_comma = held > sizeof "{}" - 1;
    json_string(&writer, name, cut_value(value, most));
    str_append_char(&text, '}');
    if (str_check(&text, "detail", &err)) {
        memcpy(record->detail, text.data, text.len + 1);
    }
    str_free(&text);
}

void audit_record_set_detail(struct audit_record *record, const char *name, struct view value)
{
    record->detail[0] = '\0';
    add_member(record, name, value, DETAIL_ROOM);
}

void audit_record_add_detail(struct audit_record *record, const char *name, struct view value)
{
    size_t held = strlen(record->detail);
    if (value.len > 0 && held < DETAIL_ROOM) {
        add_member(record, name, value, (DETAIL_ROOM - held) / 4 * 3);
    }
}

void audit_record_set_actor(struct audit_record *record, const struct actor *actor,
                            const char *request_id)
{
    memcpy(record->actor_user, actor->user_id, sizeof record->actor_user);
    memcpy(record->actor_key, actor->api_key_id, sizeof record->actor_key);
    memcpy(record->address, actor->address, sizeof record->address);
    memcpy(record->impersonator, actor->impersonator, sizeof record->impersonator);
    memcpy(record->user_agent, actor->user_agent, sizeof record->user_agent);
    audit_text_set(record->request_id, sizeof record->request_id, view_of(request_id));
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
