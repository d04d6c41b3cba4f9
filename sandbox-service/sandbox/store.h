/* sandbox-service/sandbox/store.h: sandboxes in PostgreSQL. Every change of state is one statement,
 * conditional on the state it leaves. */
#ifndef SANDBOX_SANDBOX_STORE_H
#define SANDBOX_SANDBOX_STORE_H

#include "common/contracts/sandbox.h"
#include "common/db/pg.h"
#include "common/db/position.h"
#include "common/event/loop.h"

struct store;
struct wire_image;

struct store_options {
    const char *url;
    const char *instance;            /* borrowed */
    const char *node;                /* borrowed */
    const char *limits;              /* borrowed; tiers_write */
    const struct pg_statement *more; /* for store_ask; borrowed for ever */
    size_t more_count;
};

struct store *store_open(struct loop *loop, const struct store_options *options,
                         struct err *err) MUST_CHECK;
bool store_is_up(const struct store *store);
/* Ends what is in flight with ERR_UNAVAILABLE; later calls end the same way. Returns whether it
 * called anybody back. */
bool store_fail_all(struct store *store);
/* After store_fail_all. */
void store_close(struct store *store);

/* One question. Lies in the caller's request; belongs to the store until done, which comes exactly
 * once, later, on the loop, also when the question can't even be asked. */
struct store_call {
    struct list node;
    struct store *store;    /* borrowed */
    struct pg_query *query; /* NULL when it could not begin: err says why */
    pg_result_fn *done;
    void *arg;
    struct err err;
};

/* Runs one of the statements that store_open was given. Copies the parameters. */
void store_ask(struct store *store, struct store_call *call, const char *statement,
               const struct pg_parameters *parameters, pg_result_fn *done, void *arg);
/* Which rows are ours. */
const char *store_instance(const struct store *store);
const char *store_node(const struct store *store);

/* What a create needs of its new row; the views point into the result. */
struct store_begun {
    struct sandbox_info info;
    const char *image;
    const char *profile;
    bool read_only_root;
    const char *runtime; /* "": the engine's */
    const char *cpus;    /* "0,3": the processors that it is bound to; "": all */
    struct view volumes; /* volume_hold_read */
    struct view secrets; /* secrets_check */
    bool is_warm;        /* it was claimed from the pool and runs; the rest is for its agent */
    bool limits_differ;  /* from those that its container has */
    int64_t agent_generation;
    const char *env;
    const char *work_dir;
    bool work_dir_chosen; /* by the template */
    const char *user;
    bool user_chosen;  /* by the template */
    struct view allow; /* of a restricted network, by the template: policy_read_list */
};
/* What the node can promise; 0: no bound, or no processors that can be told apart. */
struct store_bounds {
    int64_t node_memory_mb;
    int64_t total_memory_mb;
    int64_t cpus;
    const char *network; /* where neither the request nor the template names one */
    bool limits_disk;    /* the engine does: of one that runs it can't be changed */
};
/* Which containers will do. */
struct store_claim {
    const char *mode; /* "any", "warm", "cold": a waiting one, one that has to be started */
    const char *dead; /* "", or what was given before and does not answer */
};
/* Counts, checks and inserts the row `creating`, with the volumes and secrets that it attaches, or
 * claims one that waits in the pool, whose row is `running`. No row: none waits, and nothing else
 * would do. Errors: those of SANDBOX_CREATE, ERR_CONFLICT "sandbox_exists" and "pool_stale" (only a
 * cold one will do), ERR_DENIED "user_suspended". */
void store_begin(struct store *store, struct store_call *call, const struct sandbox_create *create,
                 const char *network, const struct store_bounds *bounds,
                 const struct store_claim *claim, pg_result_fn *done, void *arg);
/* At most one row: of what was created as id. */
void store_get_created(struct store *store, struct store_call *call, const char *id,
                       pg_result_fn *done, void *arg);
/* Of both. */
void store_read_begun(const PGresult *result, struct store_begun *out);

/* What the containers of a pool have in common. */
struct store_warm {
    const char *template_name;
    const char *network;
    const char *tier;
    const char *bundle; /* the volume of the agent */
};
/* Inserts the row of a container that will wait in the pool. From here on it is as a sandbox's to
 * all that is below, but that it has no user. ERR_NOT_FOUND "template_not_found", ERR_LIMIT
 * "node_full". */
void store_add_warm(struct store *store, struct store_call *call, const char *id,
                    const struct store_warm *warm, const struct store_bounds *bounds,
                    pg_result_fn *done, void *arg);
void store_read_warm(const PGresult *result, struct store_begun *out);

/* Remembers what the image says, while the sandbox lives: one row when it does. */
void store_set_image(struct store *store, struct store_call *call, const char *id,
                     const struct wire_image *image, pg_result_fn *done, void *arg);
/* creating -> failed. One row when that was so. */
void store_fail(struct store *store, struct store_call *call, const char *id, const char *reason,
                pg_result_fn *done, void *arg);

/* At most one row, for store_read_info. */
void store_get(struct store *store, struct store_call *call, const char *id, pg_result_fn *done,
               void *arg);
void store_read_info(const PGresult *result, int row, struct sandbox_info *out);

/* A page of a user's list, newest first. All borrowed during the call. */
struct store_selection {
    const char *user_id;
    const char *status;           /* "": any */
    const struct position *after; /* NULL: from the newest on */
    int64_t limit;
};
/* Rows for store_read_info and store_read_position. */
void store_list(struct store *store, struct store_call *call,
                const struct store_selection *selection, pg_result_fn *done, void *arg);
void store_read_position(const PGresult *result, int row, struct position *out);

/* The same of all users, or one. */
struct store_any_selection {
    const char *user_id; /* borrowed; "": any */
    const char *status;  /* borrowed; "": any */
    struct position_parameters after;
    int64_t limit;
};
void store_list_any(struct store *store, struct store_call *call,
                    const struct store_any_selection *selection, pg_result_fn *done, void *arg);

/* living -> stopping, when it is the user's; id may be what it was created as. No row: not the
 * user's; store_read_moved tells whether it was this call that changed it. api_key_id: whose event
 * it is; "" for a session. */
void store_destroy(struct store *store, struct store_call *call, const char *id,
                   const char *user_id, const char *api_key_id, pg_result_fn *done, void *arg);
bool store_read_moved(const PGresult *result);
/* Its own id. */
const char *store_read_destroyed(const PGresult *result);
/* The same of whoever's. No row: there is no such sandbox, or admin_id does not administer. */
void store_destroy_any(struct store *store, struct store_call *call, const char *id,
                       const char *admin_id, pg_result_fn *done, void *arg);

struct store_end {
    const char *reason;
    const char *container_status;
    bool has_exit_code;
    int64_t exit_code;
    const char *error; /* may be "" */
    bool is_gone;      /* there is no container, or it is to be removed: resting does not save it */
};
/* creating -> failed, other living -> stopping; one that rests on disk has no running container
 * and ends only when is_gone. One row when it was so. */
void store_end(struct store *store, struct store_call *call, const char *id,
               const struct store_end *end, pg_result_fn *done, void *arg);
/* stopping -> destroyed. One row when it was so. */
void store_finish(struct store *store, struct store_call *call, const char *id, pg_result_fn *done,
                  void *arg);
const char *store_read_id(const PGresult *result, int row);

/* creating, resuming from disk -> running, when the generation is the row's or the next; the row
 * gets it. */
void store_connect(struct store *store, struct store_call *call, const char *id, int64_t generation,
                   pg_result_fn *done, void *arg);
struct store_connected {
    bool known;    /* there is such a sandbox */
    bool alive;    /* and it has not ended */
    bool accepted; /* and the generation was right: the rest is there */
    bool first;    /* and it was not `running` until now */
    bool is_warm;  /* it waits in the pool */
    const char *env;
    const char *profile;
    const char *work_dir;
    bool work_dir_chosen; /* by the template */
    const char *start;    /* of the template, as JSON; "": none */
    const char *user;
    bool user_chosen;    /* by the template */
    struct view secrets; /* secrets_given_read */
};
void store_read_connected(const PGresult *result, struct store_connected *out);

/* What a user, and a key ("": none), has in use. No row: there is no such user. */
void store_usage(struct store *store, struct store_call *call, const char *user_id,
                 const char *api_key_id, pg_result_fn *done, void *arg);
struct quota_usage;
/* Fills what the database knows; the limits are the tier's. Its tier points into the result. */
void store_read_usage(const PGresult *result, struct quota_usage *out);

/* The sandboxes of this node that have a limit of disk and run, or came to rest in the last
 * paused_ms; by their ids: store_read_id and store_read_disk_mb. */
void store_disk_limits(struct store *store, struct store_call *call, int64_t paused_ms,
                       pg_result_fn *done, void *arg);
int64_t store_read_disk_mb(const PGresult *result, int row);

/* All rows of this node that are not at their end: store_read_id, store_read_status,
 * store_read_network and store_read_on_disk (whether it rests, or is about to, without a running
 * container). */
void store_live(struct store *store, struct store_call *call, pg_result_fn *done, void *arg);
const char *store_read_status(const PGresult *result, int row);
const char *store_read_network(const PGresult *result, int row);
bool store_read_on_disk(const PGresult *result, int row);

#endif
