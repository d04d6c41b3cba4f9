#include "sandbox-service/sandbox/store_statements.h"

#include "sandbox-service/sandbox/store_pieces.h"

#define ISO STORE_ISO
/* The clock of one that is paused stands still. */
#define EXPIRES_AT "CASE WHEN status <> 'paused' THEN " ISO("expires_at") " END"
#define WARNED_OF                                                                                  \
    "CASE WHEN status = 'running' AND warned_of = ends_at THEN " ISO("warned_of") " END"
#define INFO_COLUMNS                                                                               \
    "id, user_id, api_key_id, template, tier, network, status, end_reason, " ISO(                  \
        "created_at") ", " EXPIRES_AT                                                              \
                      ", " ISO("ended_at") ", metadata, memory_mb, cpu_milli, lifetime_hours, "    \
                                           "container_running, container_status, exit_code, "      \
                                           "container_error, pids, disk_mb, has_start, " WARNED_OF
#define BEGUN_COLUMNS                                                                              \
    INFO_COLUMNS ", image, profile, read_only_root, array_to_string(cpus, ','), runtime, "         \
                 "create_id IS NOT NULL, agent_generation, env, work_dir, "                        \
                 "EXISTS (SELECT 1 FROM templates t WHERE t.id = template_id "                     \
                 "AND t.work_dir IS NOT NULL), image_user, "                                       \
                 "EXISTS (SELECT 1 FROM templates t WHERE t.id = template_id "                     \
                 "AND t.user_chosen), network_policy -> 'allow'"
#define LIST_COLUMNS INFO_COLUMNS ", (extract(epoch FROM created_at) * 1000000)::bigint"

const struct pg_statement store_statements[] = {
    {"sandbox_begin",
     "SELECT " BEGUN_COLUMNS ", create_id IS NOT NULL AND (memory_mb, cpu_milli, pids, cpus) "
     "IS DISTINCT FROM (had_memory_mb, had_cpu_milli, had_pids, had_cpus), volumes, secrets "
     "FROM (SELECT b.*, t.memory_mb AS had_memory_mb, t.cpu_milli AS had_cpu_milli, "
     "t.pids AS had_pids, t.cpus AS had_cpus, attached.volumes, attached.secrets "
     "FROM pool_take($1, $2, $4, $6, $7, $8, $13, $16, nullif($17, '')::uuid) AS t, "
     "LATERAL sandbox_begin(t.id, $2, nullif($3, '')::uuid, $4, $5, $6, $7, $8, $9, $10, $11, "
     "$12, $13) AS n, LATERAL pool_bind($1, n.id, t, $13) AS b, "
     "LATERAL (SELECT volumes_attach(b.id, $14) AS volumes, "
     "secrets_begin(b.id, $15) AS secrets) AS attached) AS bound"},
    {"sandbox_get_created", "SELECT " BEGUN_COLUMNS ", false, NULL, NULL FROM sandboxes "
                            "WHERE id = $1 OR create_id = $1"},
    {"sandbox_add_warm", "SELECT id, network, image, profile, read_only_root, memory_mb, "
                         "cpu_milli, pids, disk_mb, array_to_string(cpus, ','), runtime "
                         "FROM pool_add($1, $2, $3, $4, $5, $6, $7, $8, $9)"},
    {"quota_usage",
     "SELECT tier, sandboxes, memory_mb, cpu_milli, disk_mb, key_sandboxes, key_most "
     "FROM quota_usage($1, nullif($2, '')::uuid)"},
    {"sandbox_disk_limits", "SELECT id, disk_mb FROM sandboxes WHERE instance = $1 AND node = $2 "
                            "AND (status = 'running' OR (status = 'paused' "
                            "AND paused_at > now() - $3::bigint * interval '1 millisecond')) "
                            "AND disk_mb > 0 AND ended_at IS NULL ORDER BY id"},
    /* What the template says stands already. */
    {"sandbox_set_image", "WITH warm AS (UPDATE warm_sandboxes SET work_dir = $2, image_user = $3, "
                          "image_id = $4 WHERE id = $1 AND status <> 'leaving' RETURNING id), "
                          "owned AS (UPDATE sandboxes SET work_dir = coalesce(work_dir, $2), "
                          "image_user = coalesce(image_user, $3) "
                          "WHERE id = $1 AND status IN " STORE_LIVE " RETURNING id) "
                          "SELECT id FROM warm UNION ALL SELECT id FROM owned"},
    {"sandbox_fail",
     "WITH ended AS (UPDATE sandboxes SET status = 'failed', end_reason = $2, ended_at = now(), "
     "container_running = false, container_status = 'removed' "
     "WHERE id = $1 AND status = 'creating' RETURNING id, end_reason)" STORE_TELL_ENDED
     ", warm AS (UPDATE warm_sandboxes SET status = 'leaving' "
     "WHERE id = $1 AND status = 'starting' RETURNING id) "
     "SELECT id FROM ended UNION ALL SELECT id FROM warm"},
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
     "AND suspended_at IS NULL AND deleted_at IS NULL), "
     "moved AS (UPDATE sandboxes SET status = 'stopping', end_reason = 'admin' "
     "WHERE id = $1 AND status IN " STORE_LIVE " AND EXISTS (SELECT 1 FROM admin) "
     "RETURNING id, event_act('admin', $2::uuid, NULL, NULL)) "
     "SELECT EXISTS (SELECT 1 FROM moved), id FROM sandboxes, admin WHERE id = $1"},
    {"sandbox_destroy", "WITH meant AS (SELECT id FROM sandboxes "
                        "WHERE (id = $1 OR create_id = $1) AND user_id = $2), "
                        "moved AS (UPDATE sandboxes SET status = 'stopping', end_reason = 'user' "
                        "WHERE id = (SELECT id FROM meant) AND status IN " STORE_LIVE " "
                        "RETURNING id, event_act('user', $2::uuid, nullif($3, '')::uuid, NULL)) "
                        "SELECT EXISTS (SELECT 1 FROM moved), id FROM meant"},
    {"sandbox_end",
     "WITH ended AS (UPDATE sandboxes SET status = CASE status WHEN 'creating' THEN 'failed' ELSE "
     "'stopping' END, "
     "end_reason = $2, ended_at = CASE status WHEN 'creating' THEN now() END, "
     "container_running = false, container_status = $3, exit_code = $4, "
     "container_error = nullif($5, '') WHERE id = $1 AND status IN " STORE_LIVE " "
     "AND ($6 OR pause_mode IS DISTINCT FROM 'disk') "
     "RETURNING id, end_reason)" STORE_TELL_ENDED
     ", warm AS (UPDATE warm_sandboxes SET status = 'leaving' "
     "WHERE id = $1 AND status <> 'leaving' RETURNING id) "
     "SELECT id FROM ended UNION ALL SELECT id FROM warm"},
    /* Its container is gone; so are the volumes of one that had failed before. */
    {"sandbox_finish",
     "WITH warm AS (DELETE FROM warm_sandboxes WHERE id = $1 AND status = 'leaving'), "
     "freed AS (DELETE FROM volume_attachments a USING sandboxes s WHERE a.sandbox_id = $1 "
     "AND s.id = a.sandbox_id AND s.status = 'failed') "
     "UPDATE sandboxes SET status = 'destroyed', ended_at = now(), container_running = false, "
     "container_status = 'removed' WHERE id = $1 AND status = 'stopping' RETURNING id"},
    /* One that rests on disk has come back when its agent has. */
    {"sandbox_connect",
     "WITH before AS (SELECT id, status, agent_generation, status = 'creating' OR "
     "(status = 'resuming' AND pause_mode = 'disk') AS comes FROM sandboxes WHERE id = $1 "
     "FOR UPDATE), "
     "moved AS (UPDATE sandboxes s SET agent_generation = $2, "
     "status = CASE WHEN b.comes THEN 'running' ELSE s.status END, "
     "pause_mode = CASE WHEN NOT b.comes THEN s.pause_mode END, "
     "pause_reason = CASE WHEN NOT b.comes THEN s.pause_reason END, "
     "paused_at = CASE WHEN NOT b.comes THEN s.paused_at END, "
     "left_ms = CASE WHEN NOT b.comes THEN s.left_ms END, "
     "last_active_at = CASE WHEN b.comes THEN now() ELSE s.last_active_at END, "
     "started_at = coalesce(s.started_at, now()), container_running = true, "
     "container_status = CASE WHEN s.status = 'paused' THEN s.container_status "
     "ELSE 'running' END FROM before b WHERE s.id = b.id "
     "AND b.status IN " STORE_LIVE " AND $2::integer - b.agent_generation IN (0, 1) "
     "RETURNING s.env, s.profile, s.work_dir, s.image_user, s.template_id), "
     "warm AS (UPDATE warm_sandboxes SET agent_generation = $2, status = 'ready', "
     "ready_at = coalesce(ready_at, now()) WHERE id = $1 AND status <> 'leaving' "
     "AND $2::integer - agent_generation IN (0, 1) RETURNING profile, work_dir, image_user) "
     "SELECT b.status, m.profile IS NOT NULL, m.env, m.profile, m.work_dir, m.image_user, b.comes, "
     "t.work_dir IS NOT NULL, t.start, "
     "CASE WHEN m.profile IS NOT NULL THEN secrets_of_sandbox(b.id) END, t.user_chosen "
     "FROM before b LEFT JOIN moved m ON true LEFT JOIN templates t ON t.id = m.template_id "
     "UNION ALL "
     "SELECT 'warm', true, '{}', profile, work_dir, image_user, false, false, NULL, NULL, "
     "false FROM warm"},
    /* Those of the pool are as those that live, to whoever compares. Of the very many that failed
     * only such are looked at that have volumes yet. */
    {"sandbox_live",
     "SELECT id, status, coalesce(pause_mode = 'disk', false), network FROM sandboxes "
     "WHERE instance = $1 AND node = $2 AND (status IN " STORE_LIVE " OR status = 'stopping') "
     "UNION ALL SELECT id, status, false, network FROM sandboxes WHERE instance = $1 "
     "AND node = $2 AND status = 'failed' "
     "AND id = ANY (ARRAY(SELECT sandbox_id FROM volume_attachments)) "
     "UNION ALL SELECT id, CASE status WHEN 'starting' THEN 'creating' WHEN 'ready' THEN 'running' "
     "ELSE 'stopping' END, false, network FROM warm_sandboxes WHERE instance = $1 AND node = $2"},
    {"node_state", "SELECT sandboxes, promised, draining FROM node_state($1, $2)"},
    {"node_set_draining", "SELECT node_set_draining($1, $2, $3, $4, $5)"},
    {"sandboxes_forget", "SELECT sandboxes_forget($1, $2, $3)"},
    {"audit_forget_personal", "SELECT audit_forget_personal($1, $2)"},
    {"sandboxes_left", "SELECT id, is_unknown FROM sandboxes_left($1::uuid[])"},
    {"ports_left", "SELECT ports_left($1, $2, $3, $4)"},
    {"images_named", "SELECT images_named($1)"},
};
const size_t store_statement_count = sizeof store_statements / sizeof store_statements[0];
