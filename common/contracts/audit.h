/* common/contracts/audit.h: records of the audit trail on their way to the auth-service, from a
 * process that has no database. */
#ifndef COMMON_CONTRACTS_AUDIT_H
#define COMMON_CONTRACTS_AUDIT_H

#include "common/audit/writer.h"
#include "common/base/str.h"

enum {
    AUDIT_APPEND_RECORDS_MAX = AUDIT_BATCH_MAX,
    AUDIT_APPEND_RECORD_MAX = 16 * 1024, /* bytes of a record as JSON, when all has to be escaped */
};

/* audit.append -> {}, once all are stored. May be repeated: one that is there already, by its salt,
 * is not stored again. */
#define AUDIT_APPEND "audit.append"
struct audit_append {
    struct view service; /* whose records they are: every record names it */
    struct json_strings records;
};
enum { AUDIT_SERVICE_NAME_MAX = 32 };
extern const struct json_schema audit_append_schema;

/* A record as one of those strings; appended to out. */
void audit_item_write(const struct audit_item *item, struct str *out);

struct audit_item_read {
    struct audit_record record; /* cleaned */
    uint8_t salt[AUDIT_SALT_BYTES];
    int64_t age_ms;
};
/* ERR_INVALID when it is none. */
bool audit_item_read(struct view text, struct audit_item_read *out, struct err *err) MUST_CHECK;

#endif
