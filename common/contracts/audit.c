#include "common/contracts/audit.h"

#include "common/base/encode.h"
#include "common/json/write.h"

#include <assert.h>

enum { SALT_TEXT_LEN = ENCODE_HEX_SIZE(AUDIT_SALT_BYTES) - 1 };

static const struct json_field append_fields[] = {
    JSON_STRING(struct audit_append, service, "service", .required = true, .not_empty = true,
                .max_len = AUDIT_SERVICE_NAME_MAX),
    JSON_STRINGS(struct audit_append, records, "records", .required = true,
                 .max_len = AUDIT_APPEND_RECORDS_MAX, .item_max = AUDIT_APPEND_RECORD_MAX),
};
const struct json_schema audit_append_schema = {
    append_fields, sizeof append_fields / sizeof append_fields[0], true};

struct wire {
    struct view action;
    struct view result;
    char actor_user[ID_SIZE];
    char actor_key[ID_SIZE];
    struct view target_kind;
    struct view target;
    struct view request_id;
    struct view detail;
    struct view address;
    struct view impersonator;
    struct view user_agent;
    int64_t age_ms;
    struct view salt;
};

static const struct json_field wire_fields[] = {
    JSON_STRING(struct wire, action, "action", .required = true),
    JSON_STRING(struct wire, result, "result", .required = true),
    JSON_ID(struct wire, actor_user, "actorUser"),
    JSON_ID(struct wire, actor_key, "actorKey"),
    JSON_STRING(struct wire, target_kind, "targetKind", .max_len = AUDIT_TARGET_KIND_SIZE - 1),
    JSON_STRING(struct wire, target, "target", .max_len = AUDIT_TARGET_SIZE - 1),
    JSON_STRING(struct wire, request_id, "requestId", .max_len = AUDIT_REQUEST_ID_SIZE - 1),
    JSON_OBJECT(struct wire, detail, "detail", .max_len = AUDIT_DETAIL_SIZE - 1),
    JSON_STRING(struct wire, address, "address", .max_len = ACTOR_ADDRESS_SIZE - 1),
    JSON_STRING(struct wire, impersonator, "impersonator", .max_len = ACTOR_IMPERSONATOR_SIZE - 1),
    JSON_STRING(struct wire, user_agent, "userAgent", .max_len = ACTOR_USER_AGENT_SIZE - 1),
    JSON_INT(struct wire, age_ms, "ageMs", .required = true, .min = 0, .max = -1),
    JSON_STRING(struct wire, salt, "salt", .required = true, .max_len = SALT_TEXT_LEN),
};
static const struct json_schema wire_schema = {wire_fields,
                                               sizeof wire_fields / sizeof wire_fields[0], true};

void audit_item_write(const struct audit_item *item, struct str *out)
{
    const struct audit_record *record = item->record;
    char salt[ENCODE_HEX_SIZE(AUDIT_SALT_BYTES)];
    struct json_writer writer = json_writer_on(out);
    encode_hex(item->salt, AUDIT_SALT_BYTES, salt);
    struct wire wire = {.action = view_of(audit_action_name(record->action)),
                        .result = view_of(audit_result_name(record->result)),
                        .target_kind = view_of(record->target_kind),
                        .target = view_of(record->target),
                        .request_id = view_of(record->request_id),
                        .detail = view_of(record->detail),
                        .address = view_of(record->address),
                        .impersonator = view_of(record->impersonator),
                        .user_agent = view_of(record->user_agent),
                        .age_ms = item->age_ms,
                        .salt = view_of(salt)};
    memcpy(wire.actor_user, record->actor_user, ID_SIZE);
    memcpy(wire.actor_key, record->actor_key, ID_SIZE);
    json_begin_object(&writer, NULL);
    json_struct(&writer, &wire_schema, &wire);
    json_end_object(&writer);
}

static bool copy(const struct wire *wire, struct audit_item_read *out)
{
    struct audit_record *record = &out->record;
    memcpy(record->actor_user, wire->actor_user, ID_SIZE);
    memcpy(record->actor_key, wire->actor_key, ID_SIZE);
    out->age_ms = wire->age_ms;
    return audit_action_parse(wire->action, &record->action) &&
           audit_result_parse(wire->result, &record->result) &&
           view_copy(wire->target_kind, record->target_kind, sizeof record->target_kind) &&
           view_copy(wire->target, record->target, sizeof record->target) &&
           view_copy(wire->request_id, record->request_id, sizeof record->request_id) &&
           view_copy(wire->detail, record->detail, sizeof record->detail) &&
           view_copy(wire->address, record->address, sizeof record->address) &&
           view_copy(wire->impersonator, record->impersonator, sizeof record->impersonator) &&
           view_copy(wire->user_agent, record->user_agent, sizeof record->user_agent) &&
           encode_hex_decode(wire->salt, out->salt, sizeof out->salt);
}

bool audit_item_read(struct view text, struct audit_item_read *out, struct err *err)
{
    struct wire wire;
    AUTO(json_doc_release) struct json_doc *doc = json_read(text, &wire_schema, &wire, NULL, err);
    if (doc == NULL) {
        return false;
    }
    *out = (struct audit_item_read){0};
    if (!copy(&wire, out)) {
        return err_set(err, ERR_INVALID, "a record of the audit trail is none");
    }
    audit_record_clean(&out->record);
    return true;
}
