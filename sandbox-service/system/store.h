/* sandbox-service/system/store.h: what is asked of the database about the node as a whole. Calls as
 * in sandbox/store.h. */
#ifndef SANDBOX_SYSTEM_STORE_H
#define SANDBOX_SYSTEM_STORE_H

#include "sandbox-service/sandbox/store.h"

struct sandbox_config;

/* JSON, as the API shows it; the views point into the result. */
struct node_state {
    struct view sandboxes;
    struct view promised;
    struct view draining; /* "null" when it is not */
};
void store_node_state(struct store *store, struct store_call *call,
                      const struct sandbox_config *config, pg_result_fn *done, void *arg);
void store_read_node_state(const PGresult *result, struct node_state *out);

/* ERR_DENIED "not_admin". reason "": none, or as it is. */
struct node_draining {
    const char *admin_id;
    bool draining;
    const char *reason;
};
void store_set_draining(struct store *store, struct store_call *call,
                        const struct sandbox_config *config, const struct node_draining *wanted,
                        pg_result_fn *done, void *arg);

/* Forgets at most limit sandboxes that ended too long ago. */
void store_forget(struct store *store, struct store_call *call, const struct sandbox_config *config,
                  int64_t limit, pg_result_fn *done, void *arg);
/* The same of what can be traced to a person in the audit trail. */
void store_forget_personal(struct store *store, struct store_call *call,
                           const struct sandbox_config *config, int64_t limit, pg_result_fn *done,
                           void *arg);
int64_t store_read_forgotten(const PGresult *result);

/* The ports, "<sandbox id>/<port>" one a row, of sandboxes that are at their end; removed in the
 * same act if wanted. ERR_DENIED "not_admin". */
void store_ports_left(struct store *store, struct store_call *call,
                      const struct sandbox_config *config, const char *admin_id, bool remove,
                      pg_result_fn *done, void *arg);
struct view store_read_left_port(const PGresult *result, int row);

/* Those of the ids, an array of them, that no row explains: one a row. */
void store_left(struct store *store, struct store_call *call, const char *ids, pg_result_fn *done,
                void *arg);
/* is_unknown: no row has ever told of it. */
struct view store_read_left(const PGresult *result, int row, bool *is_unknown);

/* Which of the images something still names: one a row. images: a JSON array. */
void store_images_named(struct store *store, struct store_call *call, const char *images,
                        pg_result_fn *done, void *arg);
struct view store_read_image(const PGresult *result, int row);

#endif
