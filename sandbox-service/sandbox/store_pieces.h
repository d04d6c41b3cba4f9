/* sandbox-service/sandbox/store_pieces.h: SQL that statements about sandboxes share. */
#ifndef SANDBOX_SANDBOX_STORE_PIECES_H
#define SANDBOX_SANDBOX_STORE_PIECES_H

/* RFC 3339 in UTC. */
#define STORE_ISO(column)                                                                          \
    "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* The states in which a sandbox has an owner and has not begun to end. */
#define STORE_LIVE "('creating', 'running', 'pausing', 'paused', 'resuming')"

/* Of a row that ends by itself or by us the audit trail hears in the statement that ends it: it is
 * there once, whatever becomes of this process. Nobody acts, and nothing personal is in it: there
 * is no personal part, only the digest that every record has. */
#define STORE_TELL_ENDED                                                                           \
    ", told AS (INSERT INTO audit_log (action, result, target_kind, target, service, detail, "     \
    "personal_digest) SELECT 'sandbox.ended', 'ok', 'sandbox', id::text, 'sandbox-service', "      \
    "jsonb_build_object('reason', CASE end_reason WHEN 'user' THEN 'user_deleted' "                \
    "ELSE end_reason END), "                                                                       \
    "sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FROM ended) "

#endif
