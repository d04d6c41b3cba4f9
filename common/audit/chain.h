/* common/audit/chain.h: what makes a change to the audit trail show.
 *
 * Each row is sealed with SHA-256 over the seal before it and the row in its canonical form: every
 * column as PostgreSQL writes it, with its length before it. The personal part of a row is in there
 * only as SHA-256 over a random salt and itself: without salt and text the digest says nothing, and
 * the chain holds without them. */
#ifndef COMMON_AUDIT_CHAIN_H
#define COMMON_AUDIT_CHAIN_H

#include "common/audit/record.h"

#include <libpq-fe.h>

enum {
    AUDIT_HASH_BYTES = 32,
    AUDIT_ROW_COLUMN_COUNT = 12,
};

/* The columns of audit_log (as l) that a seal is over, in the order of the canonical form. The
 * first is the id. */
#define AUDIT_ROW_COLUMNS                                                                          \
    "l.id, (extract(epoch FROM l.at) * 1000000)::bigint, l.action, l.result, l.actor_user,"        \
    " l.actor_key, l.target_kind, l.target, l.request_id, l.service, l.detail::text,"              \
    " encode(l.personal_digest, 'hex')"

/* What the first seal is chained to. */
extern const uint8_t audit_chain_start[AUDIT_HASH_BYTES];

/* The seal of the row whose columns stand in result from first_column on, as the database's own
 * audit_hash() makes it. */
bool audit_chain_next(const uint8_t previous[AUDIT_HASH_BYTES], const PGresult *result, int row,
                      int first_column, uint8_t out[AUDIT_HASH_BYTES], struct err *err) MUST_CHECK;

/* "" of each is none. address is taken by its value: however it is written. */
struct audit_personal {
    const char *address;
    const char *impersonator;
    const char *user_agent;
};
bool audit_personal_digest(const uint8_t salt[AUDIT_SALT_BYTES],
                           const struct audit_personal *personal, uint8_t out[AUDIT_HASH_BYTES],
                           struct err *err) MUST_CHECK;

#endif
