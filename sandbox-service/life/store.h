/* sandbox-service/life/store.h: the time of sandboxes, and their rest, in PostgreSQL.
 *
 * Each change is one statement, conditional on the state it leaves; now() of the database is the
 * clock. All are run by store_ask: done comes exactly once, later, on the loop. */
#ifndef SANDBOX_LIFE_STORE_H
#define SANDBOX_LIFE_STORE_H

#include "common/contracts/life.h"
#include "sandbox-service/sandbox/store.h"

/* For store_options.more. */
extern const struct pg_statement life_statements[];
extern const size_t life_statement_count;

/* What came of a change that a caller asked for. No row: the sandbox is not the user's. */
struct life_moved {
    struct view status; /* before */
    bool moved;         /* by this statement */
    bool on_disk;       /* of one that rests: its container does not run */
    int64_t generation; /* of its agent's credential */
};
void life_read_moved(const PGresult *result, struct life_moved *out);

/* running -> pausing, by its user; one that rests for a snapshot then rests for its user.
 * api_key_id, of this and the next: whose event it is; "" for a session. */
void life_store_pause(struct store *store, struct store_call *call,
                      const struct sandbox_pause *request, const char *api_key_id,
                      pg_result_fn *done, void *arg);
/* running -> pausing, while what is on its disk is kept. A row for life_read_moved, or none. */
void life_store_still(struct store *store, struct store_call *call, const char *id,
                      pg_result_fn *done, void *arg);
/* paused -> resuming, of one that rested for that alone. The same. */
void life_store_move_on(struct store *store, struct store_call *call, const char *id,
                        pg_result_fn *done, void *arg);
/* Those that rest for that alone: rows for store_read_id. */
void life_store_left_still(struct store *store, struct store_call *call, int64_t most,
                           pg_result_fn *done, void *arg);
/* pausing -> paused: its clock stops. One row when it was so. */
void life_store_paused(struct store *store, struct store_call *call, const char *id,
                       pg_result_fn *done, void *arg);
/* pausing -> running: the engine refused. One row when it was so. */
void life_store_not_paused(struct store *store, struct store_call *call, const char *id,
                           pg_result_fn *done, void *arg);

/* paused -> resuming: its clock goes on. request->is_automatic: only when it may be woken so. */
void life_store_resume(struct store *store, struct store_call *call,
                       const struct sandbox_resume *request, const char *api_key_id,
                       pg_result_fn *done, void *arg);
/* resuming -> running. One row when it was so. */
void life_store_resumed(struct store *store, struct store_call *call, const char *id,
                        pg_result_fn *done, void *arg);
/* resuming -> pausing: it did not come up. One row when it was so. */
void life_store_not_resumed(struct store *store, struct store_call *call, const char *id,
                            pg_result_fn *done, void *arg);

/* Of whoever's: at most one row, for life_read_moved (moved: false) and life_read_owner. */
void life_store_look(struct store *store, struct store_call *call, const char *id,
                     pg_result_fn *done, void *arg);
const char *life_read_owner(const PGresult *result);

/* Changes the times of a living sandbox. A row for life_read_moved. */
void life_store_set_times(struct store *store, struct store_call *call,
                          const struct sandbox_times *request, pg_result_fn *done, void *arg);
/* At most one row, for life_read_state. */
void life_store_state(struct store *store, struct store_call *call, const char *id,
                      pg_result_fn *done, void *arg);
/* The views point into the result. */
void life_read_state(const PGresult *result, struct life_state *out);

/* ids and ages are array literals of one length: how many ms ago each was last active. */
void life_store_active(struct store *store, struct store_call *call, const char *ids,
                       const char *ages, pg_result_fn *done, void *arg);

/* Of this node, at most `most` rows each, those that are due first; rows that somebody else is just
 * changing are left for the next look. Rows: store_read_id and, of the first two,
 * life_read_reason. */
/* creating, running -> stopping: their time is over ("timeout"), or they were idle ("idle"). */
void life_store_end_due(struct store *store, struct store_call *call, int64_t most,
                        pg_result_fn *done, void *arg);
/* living -> stopping: their user was suspended ("suspended") or deleted ("user"). */
void life_store_end_unserved(struct store *store, struct store_call *call, int64_t most,
                             pg_result_fn *done, void *arg);
/* running -> pausing, as their on_timeout says. life_read_due_owner too. */
void life_store_pause_due(struct store *store, struct store_call *call, int64_t most,
                          pg_result_fn *done, void *arg);
const char *life_read_due_owner(const PGresult *result, int row);
/* Those that end within lead_ms, each once for each end. */
void life_store_warn_due(struct store *store, struct store_call *call, int64_t lead_ms,
                         int64_t most, pg_result_fn *done, void *arg);
const char *life_read_reason(const PGresult *result, int row);

/* One row: in how many ms the next of the above is due; below 0: already; NULL: nothing is. */
void life_store_next(struct store *store, struct store_call *call, int64_t lead_ms,
                     pg_result_fn *done, void *arg);
bool life_read_next(const PGresult *result, int64_t *in_ms);

#endif
