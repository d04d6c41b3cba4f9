/* common/audit/record.h: one entry of the audit trail. */
#ifndef COMMON_AUDIT_RECORD_H
#define COMMON_AUDIT_RECORD_H

#include "common/contracts/actor.h"

#include <stdint.h>

/* Stored by name: names never change. */
enum audit_action {
    AUDIT_SESSION_STARTED, /* a token of it came for the first time */
    AUDIT_SESSION_REFUSED,
    AUDIT_SESSION_ENDED, /* as its issuer said */
    AUDIT_KEY_REFUSED,
    AUDIT_KEY_CREATED,
    AUDIT_KEY_REVOKED,
    AUDIT_KEY_ROTATED,
    AUDIT_SANDBOX_CREATED,
    AUDIT_SANDBOX_DESTROYED, /* by a caller */
    AUDIT_SANDBOX_ENDED,     /* by itself or by us */
    AUDIT_SANDBOX_PAUSED,    /* this and the next two: by a caller */
    AUDIT_SANDBOX_RESUMED,
    AUDIT_SANDBOX_TIMES_SET,
    AUDIT_PORT_EXPOSED,
    AUDIT_PORT_CLOSED,
    AUDIT_NETWORK_CHANGED,
    AUDIT_FILE_URL_MADE,
    AUDIT_TOKEN_MADE,
    AUDIT_USER_CREATED,
    AUDIT_USER_UPDATED,
    AUDIT_USER_DELETED,
    AUDIT_USER_SUSPENDED,
    AUDIT_USER_RESTORED, /* is suspended no more */
    AUDIT_USER_ROLE_SET,
    AUDIT_USER_TIER_SET,
    AUDIT_EXEC,
    AUDIT_FILE_WRITTEN,
    AUDIT_TRAIL_READ, /* of others, by an administrator */
    AUDIT_TOKEN_REFUSED,
    AUDIT_TEMPLATE_CREATED,
    AUDIT_TEMPLATE_REMOVED,
    AUDIT_WEBHOOK_CREATED,
    AUDIT_WEBHOOK_REMOVED,
    AUDIT_WEBHOOK_REDELIVERED,
    AUDIT_SECRET_SET,
    AUDIT_SECRET_DELETED,
    AUDIT_VOLUME_CREATED,
    AUDIT_VOLUME_DELETED,
    AUDIT_NODE_DRAINING, /* begun or ended: the detail says which */
    AUDIT_NODE_CLEANED,
    AUDIT_ACTION_COUNT,
};

enum audit_result { AUDIT_OK, AUDIT_REFUSED, AUDIT_FAILED };

enum {
    AUDIT_TARGET_KIND_SIZE = 16,
    AUDIT_TARGET_SIZE = 257,
    AUDIT_REQUEST_ID_SIZE = 65,
    AUDIT_DETAIL_SIZE = 1025,
    AUDIT_SALT_BYTES = 32, /* of what keeps a record from being there twice */
};

/* Texts that do not fit are cut by whoever fills them in; "" is none. */
struct audit_record {
    enum audit_action action;
    enum audit_result result;
    char actor_user[ID_SIZE];
    char actor_key[ID_SIZE];
    char target_kind[AUDIT_TARGET_KIND_SIZE]; /* "api_key", "sandbox", "port", ... */
    char target[AUDIT_TARGET_SIZE];
    char request_id[AUDIT_REQUEST_ID_SIZE];
    char detail[AUDIT_DETAIL_SIZE]; /* a JSON object: see audit_record_set_detail */
    /* What can be traced to a person: kept apart, and erased with the person's account. */
    char address[ACTOR_ADDRESS_SIZE];
    char impersonator[ACTOR_IMPERSONATOR_SIZE];
    char user_agent[ACTOR_USER_AGENT_SIZE];
};

/* "key.created". */
const char *audit_action_name(enum audit_action action);
bool audit_action_parse(struct view name, enum audit_action *out) MUST_CHECK;
/* "ok", "refused", "failed". */
const char *audit_result_name(enum audit_result result);
bool audit_result_parse(struct view name, enum audit_result *out) MUST_CHECK;
/* What came of an act that ended with err (NULL: all went well): refused, or, where it is not known
 * what was done, failed. */
enum audit_result audit_result_of(const struct err *err);

/* Who did it, from where, and in which request (an id of AUDIT_REQUEST_ID_SIZE at most). */
void audit_record_set_actor(struct audit_record *record, const struct actor *actor,
                            const char *request_id);

/* Cuts value to what fits. */
void audit_text_set(char *out, size_t size, struct view value);

/* Makes detail {"<name>": "<value>"}; value is cut so that it fits, and at a NUL. name is a literal
 * of ours. */
void audit_record_set_detail(struct audit_record *record, const char *name, struct view value);
/* Adds a member to detail, in most of the room that the ones before it left; "" is left out. */
void audit_record_add_detail(struct audit_record *record, const char *name, struct view value);

/* Makes all texts such as the database takes: bytes that are no UTF-8 become '?', an address that
 * is none becomes "". */
void audit_record_clean(struct audit_record *record);

#endif
