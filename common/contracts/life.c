#include "common/contracts/life.h"

#include "common/contracts/sandbox.h"

const char *const pause_modes[] = {PAUSE_FREEZE, PAUSE_DISK, NULL};

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS state_fields[] = {
    JSON_STRING(struct life_state, status, "status", .required = true),
    JSON_STRING(struct life_state, expires_at, "expiresAt"),
    JSON_STRING(struct life_state, paused_at, "pausedAt"),
    JSON_STRING(struct life_state, pause_mode, "pauseMode"),
    JSON_STRING(struct life_state, ends_at, "endsAt"),
    JSON_STRING(struct life_state, on_timeout, "onTimeout", .required = true),
    JSON_INT(struct life_state, idle_timeout_ms, "idleTimeoutMs"),
    JSON_BOOL(struct life_state, auto_resume, "autoResume", .required = true),
};
SCHEMA(life_state_schema, state_fields);

FIELDS pause_fields[] = {
    JSON_ID(struct sandbox_pause, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_pause, user_id, "userId", .required = true),
    JSON_STRING(struct sandbox_pause, mode, "mode", .required = true, .one_of = pause_modes),
};
SCHEMA(sandbox_pause_schema, pause_fields);

FIELDS resume_fields[] = {
    JSON_ID(struct sandbox_resume, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_resume, user_id, "userId", .required = true),
    JSON_INT(struct sandbox_resume, timeout_ms, "timeoutMs", .min = 0,
             .max = SANDBOX_TIMEOUT_MS_MAX),
    JSON_BOOL(struct sandbox_resume, is_automatic, "automatic"),
};
SCHEMA(sandbox_resume_schema, resume_fields);

FIELDS times_fields[] = {
    JSON_ID(struct sandbox_times, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct sandbox_times, user_id, "userId", .required = true),
    JSON_INT(struct sandbox_times, timeout_ms, "timeoutMs", .required = true, .min = -1,
             .max = SANDBOX_TIMEOUT_MS_MAX),
    JSON_INT(struct sandbox_times, idle_timeout_ms, "idleTimeoutMs", .required = true, .min = -1,
             .max = SANDBOX_TIMEOUT_MS_MAX),
    JSON_STRING(struct sandbox_times, on_timeout, "onTimeout", .one_of = timeout_policies),
    JSON_BOOL(struct sandbox_times, auto_resume, "autoResume",
              JSON_PRESENT(struct sandbox_times, has_auto_resume)),
};
SCHEMA(sandbox_times_schema, times_fields);

FIELDS active_fields[] = {
    JSON_ID(struct sandbox_active, gateway_id, "gatewayId", .required = true),
    JSON_PAIRS(struct sandbox_active, active, "active", .required = true, .max_len = ACTIVE_IDS_MAX,
               .item_max = ACTIVE_AGE_DIGITS_MAX),
};
SCHEMA(sandbox_active_schema, active_fields);

bool sandbox_active_read(const struct json_pair *pair, char sandbox_id[ID_SIZE], int64_t *age_ms)
{
    *age_ms = 0;
    for (size_t i = 0; i < pair->value.len; i++) {
        if (pair->value.ptr[i] < '0' || pair->value.ptr[i] > '9') {
            return false;
        }
        *age_ms = *age_ms * 10 + (pair->value.ptr[i] - '0');
    }
    return pair->value.len > 0 && pair->value.len <= ACTIVE_AGE_DIGITS_MAX &&
           id_parse(pair->name, sandbox_id);
}
