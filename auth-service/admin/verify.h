/* auth-service/admin/verify.h: whether the audit trail is as it was written. Blocking. */
#ifndef AUTH_SERVICE_ADMIN_VERIFY_H
#define AUTH_SERVICE_ADMIN_VERIFY_H

#include "common/audit/chain.h"
#include "common/base/encode.h"

enum { AUDIT_BREAK_SIZE = 240 };

/* A seal that was written down somewhere else: the chain must have it still. */
struct audit_anchor {
    int64_t seq;
    uint8_t hash[AUDIT_HASH_BYTES];
};

/* "SEQ:HASH", the hash in hex. */
bool audit_anchor_parse(struct view text, struct audit_anchor *out, struct err *err) MUST_CHECK;

struct audit_verdict {
    int64_t last_seq; /* as many rows are sealed and hold; 0: none */
    uint8_t last_hash[AUDIT_HASH_BYTES];
    int64_t last_id;                    /* of the row of the last seal */
    int64_t unsealed;                   /* rows behind it */
    int64_t erased;                     /* rows whose personal part is gone, as it may */
    char first_break[AUDIT_BREAK_SIZE]; /* a sentence; "": the chain holds */
};

/* Walks the whole chain, up to the first break, in one snapshot of the database. anchor may be
 * NULL. Fails only when it could not look. */
bool audit_verify(PGconn *pg, const struct audit_anchor *anchor, struct audit_verdict *out,
                  struct err *err) MUST_CHECK;

#endif
