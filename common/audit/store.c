#include "common/audit/store.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "common/json/write.h"

#define APPEND "audit_append"

/* The digest tells which personal part belongs to which new row, and keeps a record that is sent
 * again, after an answer that did not come or in the same batch, from being there twice. */
const struct pg_statement audit_statements[AUDIT_STATEMENT_COUNT] = {
    {APPEND,
     "WITH input AS MATERIALIZED ("
     "  SELECT * FROM ROWS FROM (json_to_recordset($2::json) AS ("
     "    action text, result text, \"actorUser\" uuid, \"actorKey\" uuid, \"targetKind\" text,"
     "    target text, \"requestId\" text, detail json, address inet, impersonator text,"
     "    \"userAgent\" text, \"ageMs\" bigint, salt text, digest text)) WITH ORDINALITY AS record"
     "), appended AS ("
     "  INSERT INTO audit_log (at, action, result, actor_user, actor_key, target_kind, target,"
     "                         request_id, service, detail, personal_digest)"
     "  SELECT clock_timestamp() - \"ageMs\" * interval '1 millisecond', action, result,"
     "         \"actorUser\", \"actorKey\", \"targetKind\", target, \"requestId\", $1::text,"
     "         detail::jsonb, decode(digest, 'hex')"
     "  FROM input ORDER BY ordinality"
     "  ON CONFLICT (personal_digest) DO NOTHING"
     "  RETURNING id, personal_digest"
     ")"
     " INSERT INTO audit_personal (audit_id, salt, address, impersonator, user_agent)"
     " SELECT DISTINCT ON (appended.id) appended.id, decode(salt, 'hex'), address, impersonator,"
     "        \"userAgent\""
     " FROM appended JOIN input ON appended.personal_digest = decode(input.digest, 'hex')"
     " ORDER BY appended.id"},
};

static void text_or_none(struct json_writer *batch, const char *name, const char *text)
{
    if (text[0] != '\0') {
        json_string(batch, name, view_of(text));
    }
}

static void write_digests(struct json_writer *batch, const uint8_t salt[AUDIT_SALT_BYTES],
                          const uint8_t digest[AUDIT_HASH_BYTES])
{
    char hex[ENCODE_HEX_SIZE(AUDIT_HASH_BYTES)];
    encode_hex(salt, AUDIT_SALT_BYTES, hex);
    json_string(batch, "salt", view_of(hex));
    encode_hex(digest, AUDIT_HASH_BYTES, hex);
    json_string(batch, "digest", view_of(hex));
}

static bool add_item(struct json_writer *batch, const struct audit_item *item, struct err *err)
{
    const struct audit_record *record = item->record;
    const struct audit_personal personal = {
        .address = record->address,
        .impersonator = record->impersonator,
        .user_agent = record->user_agent,
    };
    uint8_t digest[AUDIT_HASH_BYTES];
    if (!audit_personal_digest(item->salt, &personal, digest, err)) {
        return false;
    }
    json_begin_object(batch, NULL);
    json_string(batch, "action", view_of(audit_action_name(record->action)));
    json_string(batch, "result", view_of(audit_result_name(record->result)));
    text_or_none(batch, "actorUser", record->actor_user);
    text_or_none(batch, "actorKey", record->actor_key);
    text_or_none(batch, "targetKind", record->target_kind);
    text_or_none(batch, "target", record->target);
    text_or_none(batch, "requestId", record->request_id);
    if (record->detail[0] != '\0') {
        json_raw(batch, "detail", view_of(record->detail));
    }
    text_or_none(batch, "address", record->address);
    text_or_none(batch, "impersonator", record->impersonator);
    text_or_none(batch, "userAgent", record->user_agent);
    json_int(batch, "ageMs", item->age_ms);
    write_digests(batch, item->salt, digest);
    json_end_object(batch);
    return true;
}

static bool write_batch(const struct audit_item *items, size_t count, struct str *text,
                        struct err *err)
{
    struct json_writer batch = json_writer_on(text);
    json_begin_array(&batch, NULL);
    for (size_t i = 0; i < count; i++) {
        if (!add_item(&batch, &items[i], err)) {
            return false;
        }
    }
    json_end_array(&batch);
    return str_check(text, "audit records", err);
}

bool audit_store_insert(struct pg_pool *pg, const char *service, const struct audit_item *items,
                        size_t count, int64_t timeout_ms, pg_result_fn *done, void *arg,
                        struct err *err)
{
    AUTO(str_free) struct str text = STR_INIT(AUDIT_BATCH_TEXT_MAX);
    if (!write_batch(items, count, &text, err)) {
        return false;
    }
    const struct pg_parameters parameters = {{service, text.data}, 2};
    return pg_query_begin(pg, APPEND, &parameters, timeout_ms, done, arg, err) != NULL;
}

bool audit_store_with(PGconn *pg, const char *service, struct audit_record *record, struct err *err)
{
    uint8_t salt[AUDIT_SALT_BYTES];
    const struct audit_item item = {.record = record, .salt = salt};
    AUTO(str_free) struct str text = STR_INIT(AUDIT_RECORD_TEXT_MAX);
    audit_record_clean(record);
    if (!secret_random(salt, sizeof salt, err) || !write_batch(&item, 1, &text, err)) {
        return false;
    }
    const char *const values[] = {service, text.data};
    PGresult *result = PQexecParams(pg, audit_statements[0].sql, 2, NULL, values, NULL, NULL, 0);
    bool stored = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return stored || err_set(err, ERR_UNAVAILABLE, "the audit trail takes no record: %.*s",
                             (int)strcspn(PQerrorMessage(pg), "\n"), PQerrorMessage(pg));
}
