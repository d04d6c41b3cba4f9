#include "common/contracts/network.h"

#include <inttypes.h>
#include <stdio.h>

enum { ATTEMPTS_DIGITS_MAX = 15, NETWORK_NAME_MAX = 16 };

const char *const network_modes[] = {"none", "restricted", "open", NULL};

const char *network_mode(struct view name)
{
    for (const char *const *mode = network_modes; *mode != NULL; mode++) {
        if (view_equal(name, view_of(*mode))) {
            return *mode;
        }
    }
    return network_modes[0];
}

void network_denial_write(const struct network_denial *denial, char out[NETWORK_DENIAL_TEXT_SIZE])
{
    (void)snprintf(out, NETWORK_DENIAL_TEXT_SIZE, "%.*s %" PRId64 " %.*s %.*s",
                   (int)denial->kind.len, denial->kind.ptr, denial->attempts,
                   (int)denial->last_at.len, denial->last_at.ptr, (int)denial->target.len,
                   denial->target.ptr);
}

static bool read_attempts(struct view text, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (text.ptr[i] - '0');
    }
    return text.len > 0 && text.len <= ATTEMPTS_DIGITS_MAX;
}

bool network_denial_read(struct view text, struct network_denial *out, struct err *err)
{
    out->kind = view_cut(&text, ' ');
    struct view attempts = view_cut(&text, ' ');
    out->last_at = view_cut(&text, ' ');
    out->target = text;
    return (attempts.len <= ATTEMPTS_DIGITS_MAX && read_attempts(attempts, &out->attempts) &&
            out->kind.len > 0 && out->last_at.len > 0) ||
           err_set(err, ERR_INVALID, "a denied attempt can't be read");
}

#define FIELDS static const struct json_field
#define SCHEMA(name, table)                                                                        \
    const struct json_schema name = {(table), sizeof(table) / sizeof(table)[0], true}

FIELDS set_fields[] = {
    JSON_ID(struct network_set, sandbox_id, "sandboxId", .required = true),
    JSON_ID(struct network_set, user_id, "userId", .required = true),
    JSON_STRING(struct network_set, network, "network", .required = true, .one_of = network_modes),
    JSON_STRINGS(struct network_set, allow, "allow", .max_len = NETWORK_ALLOW_MAX,
                 .item_max = NETWORK_ALLOW_ITEM_MAX),
};
SCHEMA(network_set_schema, set_fields);

FIELDS answer_fields[] = {
    JSON_ID(struct network_answer, user_id, "userId", .required = true),
    JSON_STRING(struct network_answer, network, "network", .required = true,
                .max_len = NETWORK_NAME_MAX),
    JSON_STRINGS(struct network_answer, allow, "allow", .required = true,
                 .max_len = NETWORK_ALLOW_MAX, .item_max = NETWORK_ALLOW_ITEM_MAX),
    JSON_STRINGS(struct network_answer, denials, "denials", .required = true,
                 .max_len = NETWORK_DENIALS_MAX, .item_max = NETWORK_DENIAL_TEXT_SIZE - 1),
};
SCHEMA(network_answer_schema, answer_fields);

FIELDS get_fields[] = {
    JSON_ID(struct network_get, sandbox_id, "sandboxId", .required = true),
};
SCHEMA(network_get_schema, get_fields);
