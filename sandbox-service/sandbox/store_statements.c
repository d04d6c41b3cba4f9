#include "sandbox-service/sandbox/store_statements.h"

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define INFO_COLUMNS                                                                               \
    "id, user_id, api_key_id, template, tier, network, status, end_reason, " ISO(                  \
        "created_at") ", " ISO("expires_at") ", " ISO("ended_at") ", metadata, memory_mb, "        \
                                                                  "cpu_milli, lifetime_hours, "    \
                                                                  "container_running, "            \
                                                                  "container_status, exit_code, "  \
                                                                  "container_error, pids, disk_mb"
#define LIST_COLUMNS INFO_COLUMNS ", (extract(epoch FROM created_at) * 1000000)::bigint"

/* Of a row that ends by itself or by us the audit trail hears in the statement that ends it: it is
 * there once, whatever becomes of this process. Nobody acts, and nothing personal is in it: there
 * is no personal part, only the digest that every record has. */
#define TELL_ENDED                                                                                 \
    ", told AS (INSERT INTO audit_log (action, result, target_kind, target, service, detail, "     \
    "personal_digest) SELECT 'sandbox.ended', 'ok', 'sandbox', id::text, 'sandbox-service', "      \
    "jsonb_build_object('reason', CASE end_reason WHEN 'user' THEN 'user_deleted' "                \
    "ELSE end_reason END), "                                                                       \
    "sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FROM ended) "

const struct pg_statement store_statements[] = {
    {"sandbox_begin",
     "SELECT " INFO_COLUMNS ", image, profile, read_only_root, array_to_string(cpus, ',') "
     "FROM sandbox_begin($1, $2, nullif($3, '')::uuid, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
     "$13)"},
    {"quota_usage",
     "SELECT tier, sandboxes, memory_mb, cpu_milli, disk_mb, key_sandboxes, key_most "
     "FROM quota_usage($1, nullif($2, '')::uuid)"},
    {"sandbox_disk_limits", "SELECT id, disk_mb FROM sandboxes WHERE instance = $1 AND node = $2 "
                            "AND status = 'running' AND disk_mb > 0 AND ended_at IS NULL"},
    {"sandbox_set_image", "UPDATE sandboxes SET work_dir = $2, image_user = $3 "
                          "WHERE id = $1 AND status IN ('creating', 'running') RETURNING id"},
    {"sandbox_fail",
     "WITH ended AS (UPDATE sandboxes SET status = 'failed', end_reason = $2, ended_at = now(), "
     "container_running = false, container_status = 'removed' "
     "WHERE id = $1 AND status = 'creating' RETURNING id, end_reason)" TELL_ENDED
     "SELECT id FROM ended"},
    {"sandbox_get", "SELECT " INFO_COLUMNS " FROM sandboxes WHERE id = $1"},
    {"sandbox_list_first", "SELECT " LIST_COLUMNS " FROM sandboxes WHERE user_id = $1 "
                           "AND ($2::text = '' OR status = $2) "
                           "ORDER BY created_at DESC, id DESC LIMIT $3"},
    {"sandbox_list_after",
     "SELECT " LIST_COLUMNS " FROM sandboxes WHERE user_id = $1 "
     "AND ($2::text = '' OR status = $2) AND (created_at, id) < "
     "(timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5::uuid) "
     "ORDER BY created_at DESC, id DESC LIMIT $3"},
    {"sandbox_list_any",
     "SELECT " LIST_COLUMNS
     " FROM sandboxes WHERE ($1::text = '' OR user_id = nullif($1, '')::uuid) "
     "AND ($2::text = '' OR status = $2) AND ($3::text = '' OR (created_at, id) < "
     "(timestamptz 'epoch' + nullif($3, '')::bigint * interval '1 microsecond', "
     "nullif($4::text, '')::uuid)) "
     "ORDER BY created_at DESC, id DESC LIMIT $5::integer"},
    {"sandbox_destroy_any",
     "WITH admin AS (SELECT 1 FROM users WHERE id = $2 AND role = 'admin' "
     "AND suspended_at IS NULL), "
     "moved AS (UPDATE sandboxes SET status = 'stopping', end_reason = 'admin' "
     "WHERE id = $1 AND status IN ('creating', 'running') AND EXISTS (SELECT 1 FROM admin) "
     "RETURNING id) "
     "SELECT EXISTS (SELECT 1 FROM moved) FROM sandboxes, admin WHERE id = $1"},
    {"sandbox_destroy",
     "WITH moved AS (UPDATE sandboxes SET status = 'stopping', end_reason = 'user' "
     "WHERE id = $1 AND user_id = $2 AND status IN ('creating', 'running') RETURNING id) "
     "SELECT EXISTS (SELECT 1 FROM moved) FROM sandboxes WHERE id = $1 AND user_id = $2"},
    {"sandbox_end",
     "WITH ended AS (UPDATE sandboxes SET status = CASE status WHEN 'creating' THEN 'failed' ELSE "
     "'stopping' END, "
     "end_reason = $2, ended_at = CASE status WHEN 'creating' THEN now() END, "
     "container_running = false, container_status = $3, exit_code = $4, "
     "container_error = nullif($5, '') WHERE id = $1 AND status IN ('creating', 'running') "
     "RETURNING id, end_reason)" TELL_ENDED "SELECT id FROM ended"},
    /* Of many at a time, so that it waits for none: whoever deletes a user holds many too. */
    {"sandbox_expire",
     "WITH due AS (SELECT id FROM sandboxes s "
     "WHERE instance = $1 AND node = $2 AND status IN ('creating', 'running') "
     "AND (expires_at <= now() OR EXISTS (SELECT 1 FROM users u WHERE u.id = s.user_id "
     "AND u.suspended_at IS NOT NULL)) FOR NO KEY UPDATE OF s SKIP LOCKED), "
     "ended AS (UPDATE sandboxes SET status = 'stopping', "
     "end_reason = CASE WHEN expires_at <= now() THEN 'timeout' "
     "WHEN (SELECT u.deleted_at IS NULL FROM users u WHERE u.id = sandboxes.user_id) "
     "THEN 'suspended' ELSE 'user' END "
     "WHERE id IN (SELECT id FROM due) RETURNING id, end_reason)" TELL_ENDED
     "SELECT id, end_reason FROM ended"},
    {"sandbox_finish",
     "UPDATE sandboxes SET status = 'destroyed', ended_at = now(), container_running = false, "
     "container_status = 'removed' WHERE id = $1 AND status = 'stopping' RETURNING id"},
    {"sandbox_connect",
     "WITH before AS (SELECT id, status, agent_generation FROM sandboxes WHERE id = $1 FOR "
     "UPDATE), "
     "moved AS (UPDATE sandboxes s SET agent_generation = $2, status = 'running', "
     "started_at = coalesce(s.started_at, now()), container_running = true, "
     "container_status = 'running' FROM before b WHERE s.id = b.id "
     "AND b.status IN ('creating', 'running') AND $2::integer - b.agent_generation IN (0, 1) "
     "RETURNING s.env, s.profile, s.work_dir, s.image_user) "
     "SELECT b.status, m.profile IS NOT NULL, m.env, m.profile, m.work_dir, m.image_user "
     "FROM before b LEFT JOIN moved m ON true"},
    {"sandbox_live", "SELECT id, status FROM sandboxes WHERE instance = $1 AND node = $2 "
                     "AND status IN ('creating', 'running', 'stopping')"},
};

const size_t store_statement_count = sizeof store_statements / sizeof store_statements[0];
