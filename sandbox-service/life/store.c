#include "sandbox-service/life/store.h"

#include "sandbox-service/sandbox/store_pieces.h"

#include <inttypes.h>
#include <stdio.h>

enum { INT_SIZE = 24, MODE_SIZE = 8, POLICY_SIZE = 8 };

#define MILLISECONDS(value) "(" value " * interval '1 millisecond')"
#define OWN_ROW                                                                                    \
    "before AS (SELECT * FROM sandboxes WHERE id = $1 AND user_id = $2 FOR NO KEY UPDATE)"
#define MOVED_ROW                                                                                  \
    " SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false), "     \
    "b.agent_generation FROM before b"
#define AWAKE                                                                                      \
    "status = 'running', pause_mode = NULL, pause_reason = NULL, paused_at = NULL, "               \
    "left_ms = NULL, last_active_at = now(), container_running = true, "                           \
    "container_status = 'running'"
/* FOR UPDATE OF s SKIP LOCKED: of many at a time, so that it waits for none; whoever deletes a user
 * holds many too. */
#define DUE(policy)                                                                                \
    "WITH due AS (SELECT id FROM sandboxes s WHERE instance = $1 AND node = $2 "                   \
    "AND status IN ('creating', 'running') AND ends_at <= now() AND " policy                       \
    " ORDER BY ends_at LIMIT $3 FOR NO KEY UPDATE OF s SKIP LOCKED), "
enum { MOVED_STATUS, MOVED_DONE, MOVED_ON_DISK, MOVED_GENERATION, MOVED_OWNER };
enum {
    STATE_STATUS,
    STATE_EXPIRES_AT,
    STATE_PAUSED_AT,
    STATE_PAUSE_MODE,
    STATE_ENDS_AT,
    STATE_ON_TIMEOUT,
    STATE_IDLE_TIMEOUT_MS,
    STATE_AUTO_RESUME,
};
enum { DUE_ID, DUE_REASON, DUE_OWNER };
enum { NEXT_IN_MS };

const struct pg_statement life_statements[] = {
    {"life_pause",
     "WITH " OWN_ROW ", kept AS (UPDATE sandboxes s SET pause_reason = 'user' FROM before b "
     "WHERE s.id = b.id AND b.status IN ('pausing', 'paused') AND b.pause_reason = 'snapshot'), "
     "moved AS (UPDATE sandboxes s SET status = 'pausing', pause_mode = $3, "
     "pause_reason = 'user' FROM before b WHERE s.id = b.id AND b.status = 'running' "
     "RETURNING s.id, event_act('user', $2::uuid, nullif($4, '')::uuid, NULL))" MOVED_ROW},
    {"life_still",
     "WITH before AS (SELECT * FROM sandboxes WHERE id = $1 FOR NO KEY UPDATE), "
     "moved AS (UPDATE sandboxes s SET status = 'pausing', pause_mode = 'freeze', "
     "pause_reason = 'snapshot' FROM before b WHERE s.id = b.id AND b.status = 'running' "
     "RETURNING s.id, event_act('system', NULL, NULL, 'snapshot'))" MOVED_ROW},
    {"life_move_on", "SELECT was, is_moved, on_disk, generation FROM sandbox_move_on($1)"},
    {"life_left_still", "SELECT id FROM sandboxes WHERE instance = $1 AND node = $2 "
                        "AND status = 'paused' AND pause_reason = 'snapshot' LIMIT $3"},
    {"life_paused",
     "UPDATE sandboxes SET status = 'paused', paused_at = now(), "
     "left_ms = greatest(0, floor(extract(epoch FROM expires_at - now()) * 1000)), "
     "life_ms = coalesce(life_ms, floor(extract(epoch FROM expires_at - awake_since) * 1000)), "
     "container_running = (pause_mode = 'freeze'), "
     "container_status = CASE pause_mode WHEN 'freeze' THEN 'paused' ELSE 'exited' END "
     "WHERE id = $1 AND status = 'pausing' RETURNING id"},
    {"life_not_paused", "SELECT sandbox_not_paused($1)"},
    {"life_resume", "SELECT was, is_moved, on_disk, generation "
                    "FROM sandbox_resume($1, $2, $3, $4, nullif($5, '')::uuid)"},
    {"life_resumed",
     "UPDATE sandboxes SET " AWAKE " WHERE id = $1 AND status = 'resuming' RETURNING id"},
    {"life_not_resumed", "UPDATE sandboxes SET status = 'pausing' "
                         "WHERE id = $1 AND status = 'resuming' RETURNING id"},
    {"life_look", "SELECT status, false, coalesce(pause_mode = 'disk', false), agent_generation, "
                  "user_id FROM sandboxes WHERE id = $1"},
    {"life_set_times", "SELECT was, is_moved, on_disk, generation FROM sandbox_set_times($1, $2, "
                       "$3, $4, nullif($5, ''), nullif($6::text, '')::boolean)"},
    {"life_state",
     "SELECT status, CASE WHEN status <> 'paused' THEN " STORE_ISO("expires_at") " END, " STORE_ISO(
         "paused_at") ", CASE WHEN status IN ('pausing', 'paused', 'resuming') THEN pause_mode "
                      "END, CASE WHEN status = 'running' THEN " STORE_ISO(
                          "ends_at") " END, on_timeout, coalesce(idle_timeout_ms, 0), auto_resume "
                                     "FROM sandboxes WHERE id = $1"},
    /* In the order of the ids, as whoever else takes many and waits (sandboxes_leave). */
    {"life_active",
     "WITH held AS (SELECT id FROM sandboxes WHERE id = ANY ($1::uuid[]) AND status = 'running' "
     "AND idle_timeout_ms IS NOT NULL ORDER BY id FOR NO KEY UPDATE) "
     "UPDATE sandboxes s SET last_active_at = greatest(s.last_active_at, now() - " MILLISECONDS(
         "a.age") ") FROM unnest($1::uuid[], $2::bigint[]) AS a (id, age), held "
                  "WHERE s.id = a.id AND s.id = held.id"},
    {"life_end_due",
     DUE("(on_timeout = 'destroy' OR status = 'creating')") "ended AS (UPDATE sandboxes SET "
                                                            "status = 'stopping', "
                                                            "end_reason = CASE WHEN expires_at <= "
                                                            "now() THEN 'timeout' ELSE 'idle' END "
                                                            "WHERE id IN (SELECT id FROM due) "
                                                            "RETURNING id, "
                                                            "end_reason)" STORE_TELL_ENDED
                                                            "SELECT id, end_reason FROM ended"},
    {"life_pause_due",
     DUE("on_timeout = 'pause' AND status = 'running'") "moved AS (UPDATE sandboxes SET "
                                                        "status = 'pausing', pause_mode = "
                                                        "'freeze', "
                                                        "pause_reason = CASE WHEN expires_at <= "
                                                        "now() THEN 'timeout' ELSE 'idle' END "
                                                        "WHERE id IN (SELECT id FROM due) "
                                                        "RETURNING id, pause_reason, user_id) "
                                                        "SELECT id, pause_reason, user_id "
                                                        "FROM moved"},
    {"life_end_unserved",
     "WITH due AS (SELECT s.id, u.deleted_at FROM sandboxes s JOIN users u ON u.id = s.user_id "
     "WHERE s.instance = $1 AND s.node = $2 AND s.status IN " STORE_LIVE " "
     "AND u.suspended_at IS NOT NULL LIMIT $3 FOR NO KEY UPDATE OF s SKIP LOCKED), "
     "ended AS (UPDATE sandboxes s SET status = 'stopping', "
     "end_reason = CASE WHEN due.deleted_at IS NULL THEN 'suspended' ELSE 'user' END "
     "FROM due WHERE s.id = due.id RETURNING s.id, s.end_reason)" STORE_TELL_ENDED
     "SELECT id, end_reason FROM ended"},
    {"life_warn_due",
     "WITH due AS (SELECT id FROM sandboxes s WHERE instance = $1 AND node = $2 "
     "AND status = 'running' AND warned_of IS DISTINCT FROM ends_at "
     "AND ends_at <= now() + " MILLISECONDS(
         "$4::bigint") " AND ends_at > now() "
                       "ORDER BY ends_at LIMIT $3 FOR NO KEY UPDATE OF s SKIP LOCKED), "
                       "warned AS (UPDATE sandboxes SET warned_of = ends_at "
                       "WHERE id IN (SELECT id FROM due) RETURNING *) "
                       "SELECT id, event_note(id, 'sandbox.ending', CASE WHEN ends_at = expires_at "
                       "THEN 'timeout' ELSE 'idle' END, jsonb_build_object('endsAt', " STORE_ISO(
                           "ends_at") ", 'onTimeout', on_timeout)) FROM warned"},
    {"life_next", "SELECT ceil(extract(epoch FROM least("
                  "(SELECT min(ends_at) FROM sandboxes WHERE instance = $1 AND node = $2 "
                  "AND status IN ('creating', 'running')), "
                  "(SELECT min(ends_at) FROM sandboxes WHERE instance = $1 AND node = $2 "
                  "AND status = 'running' AND warned_of IS DISTINCT FROM ends_at) - " MILLISECONDS(
                      "$3::bigint") ") - clock_timestamp()) * 1000)::bigint"},
};
const size_t life_statement_count = sizeof life_statements / sizeof life_statements[0];

static const char *write_int(int64_t value, char out[INT_SIZE])
{
    (void)snprintf(out, INT_SIZE, "%" PRId64, value);
    return out;
}

void life_read_moved(const PGresult *result, struct life_moved *out)
{
    *out = (struct life_moved){
        .status = view_of(pg_text(result, 0, MOVED_STATUS)),
        .moved = pg_bool(result, 0, MOVED_DONE),
        .on_disk = pg_bool(result, 0, MOVED_ON_DISK),
        .generation = pg_int(result, 0, MOVED_GENERATION),
    };
}

const char *life_read_owner(const PGresult *result)
{
    return pg_text(result, 0, MOVED_OWNER);
}

static void ask_of(struct store *store, struct store_call *call, const char *statement,
                   const char *id, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{id}, 1};
    store_ask(store, call, statement, &parameters, done, arg);
}

void life_store_pause(struct store *store, struct store_call *call,
                      const struct sandbox_pause *request, const char *api_key_id,
                      pg_result_fn *done, void *arg)
{
    char mode[MODE_SIZE];
    bool known = view_copy(request->mode, mode, sizeof mode) && mode[0] != '\0';
    const struct pg_parameters parameters = {
        {request->sandbox_id, request->user_id, known ? mode : PAUSE_FREEZE, api_key_id}, 4};
    store_ask(store, call, "life_pause", &parameters, done, arg);
}

void life_store_paused(struct store *store, struct store_call *call, const char *id,
                       pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_paused", id, done, arg);
}

void life_store_not_paused(struct store *store, struct store_call *call, const char *id,
                           pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_not_paused", id, done, arg);
}

void life_store_resume(struct store *store, struct store_call *call,
                       const struct sandbox_resume *request, const char *api_key_id,
                       pg_result_fn *done, void *arg)
{
    char timeout[INT_SIZE];
    const struct pg_parameters parameters = {{request->sandbox_id, request->user_id,
                                              write_int(request->timeout_ms, timeout),
                                              request->is_automatic ? "true" : "false", api_key_id},
                                             5};
    store_ask(store, call, "life_resume", &parameters, done, arg);
}

void life_store_resumed(struct store *store, struct store_call *call, const char *id,
                        pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_resumed", id, done, arg);
}

void life_store_not_resumed(struct store *store, struct store_call *call, const char *id,
                            pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_not_resumed", id, done, arg);
}

void life_store_look(struct store *store, struct store_call *call, const char *id,
                     pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_look", id, done, arg);
}

void life_store_set_times(struct store *store, struct store_call *call,
                          const struct sandbox_times *request, pg_result_fn *done, void *arg)
{
    char timeout[INT_SIZE];
    char idle[INT_SIZE];
    char on_timeout[POLICY_SIZE];
    const char *wakes = !request->has_auto_resume ? "" : request->auto_resume ? "true" : "false";
    bool known = view_copy(request->on_timeout, on_timeout, sizeof on_timeout);
    const struct pg_parameters parameters = {
        {request->sandbox_id, request->user_id, write_int(request->timeout_ms, timeout),
         write_int(request->idle_timeout_ms, idle), known ? on_timeout : "", wakes},
        6};
    store_ask(store, call, "life_set_times", &parameters, done, arg);
}

void life_store_state(struct store *store, struct store_call *call, const char *id,
                      pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_state", id, done, arg);
}

void life_read_state(const PGresult *result, struct life_state *out)
{
    *out = (struct life_state){
        .status = view_of(pg_text(result, 0, STATE_STATUS)),
        .expires_at = view_of(pg_text(result, 0, STATE_EXPIRES_AT)),
        .paused_at = view_of(pg_text(result, 0, STATE_PAUSED_AT)),
        .pause_mode = view_of(pg_text(result, 0, STATE_PAUSE_MODE)),
        .ends_at = view_of(pg_text(result, 0, STATE_ENDS_AT)),
        .on_timeout = view_of(pg_text(result, 0, STATE_ON_TIMEOUT)),
        .idle_timeout_ms = pg_int(result, 0, STATE_IDLE_TIMEOUT_MS),
        .auto_resume = pg_bool(result, 0, STATE_AUTO_RESUME),
    };
}

void life_store_still(struct store *store, struct store_call *call, const char *id,
                      pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_still", id, done, arg);
}

void life_store_move_on(struct store *store, struct store_call *call, const char *id,
                        pg_result_fn *done, void *arg)
{
    ask_of(store, call, "life_move_on", id, done, arg);
}

void life_store_active(struct store *store, struct store_call *call, const char *ids,
                       const char *ages, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{ids, ages}, 2};
    store_ask(store, call, "life_active", &parameters, done, arg);
}

static void ask_due(struct store *store, struct store_call *call, const char *statement,
                    int64_t most, pg_result_fn *done, void *arg)
{
    char limit[INT_SIZE];
    const struct pg_parameters parameters = {
        {store_instance(store), store_node(store), write_int(most, limit)}, 3};
    store_ask(store, call, statement, &parameters, done, arg);
}

void life_store_left_still(struct store *store, struct store_call *call, int64_t most,
                           pg_result_fn *done, void *arg)
{
    ask_due(store, call, "life_left_still", most, done, arg);
}

void life_store_end_due(struct store *store, struct store_call *call, int64_t most,
                        pg_result_fn *done, void *arg)
{
    ask_due(store, call, "life_end_due", most, done, arg);
}

void life_store_end_unserved(struct store *store, struct store_call *call, int64_t most,
                             pg_result_fn *done, void *arg)
{
    ask_due(store, call, "life_end_unserved", most, done, arg);
}

void life_store_pause_due(struct store *store, struct store_call *call, int64_t most,
                          pg_result_fn *done, void *arg)
{
    ask_due(store, call, "life_pause_due", most, done, arg);
}

void life_store_warn_due(struct store *store, struct store_call *call, int64_t lead_ms,
                         int64_t most, pg_result_fn *done, void *arg)
{
    char limit[INT_SIZE];
    char lead[INT_SIZE];
    const struct pg_parameters parameters = {{store_instance(store), store_node(store),
                                              write_int(most, limit), write_int(lead_ms, lead)},
                                             4};
    store_ask(store, call, "life_warn_due", &parameters, done, arg);
}

const char *life_read_reason(const PGresult *result, int row)
{
    return pg_text(result, row, DUE_REASON);
}

const char *life_read_due_owner(const PGresult *result, int row)
{
    return pg_text(result, row, DUE_OWNER);
}

void life_store_next(struct store *store, struct store_call *call, int64_t lead_ms,
                     pg_result_fn *done, void *arg)
{
    char lead[INT_SIZE];
    const struct pg_parameters parameters = {
        {store_instance(store), store_node(store), write_int(lead_ms, lead)}, 3};
    store_ask(store, call, "life_next", &parameters, done, arg);
}

bool life_read_next(const PGresult *result, int64_t *in_ms)
{
    *in_ms = pg_int(result, 0, NEXT_IN_MS);
    return !pg_is_null(result, 0, NEXT_IN_MS);
}
