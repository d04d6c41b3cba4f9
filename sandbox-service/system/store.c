#include "sandbox-service/system/store.h"

#include "sandbox-service/config.h"
#include "sandbox-service/sandbox/store_statements.h"

#include <inttypes.h>
#include <stdio.h>

enum { INT_SIZE = 24 };
enum { STATE_SANDBOXES, STATE_PROMISED, STATE_DRAINING };
enum { ONLY_COLUMN };
enum { LEFT_ID, LEFT_IS_UNKNOWN };

static void write_int(int64_t value, char out[INT_SIZE])
{
    (void)snprintf(out, INT_SIZE, "%" PRId64, value);
}

void store_node_state(struct store *store, struct store_call *call,
                      const struct sandbox_config *config, pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{config->instance, config->node_name}, 2};
    store_ask(store, call, "node_state", &parameters, done, arg);
}

void store_read_node_state(const PGresult *result, struct node_state *out)
{
    *out = (struct node_state){
        .sandboxes = view_of(pg_text(result, 0, STATE_SANDBOXES)),
        .promised = view_of(pg_text(result, 0, STATE_PROMISED)),
        .draining = pg_is_null(result, 0, STATE_DRAINING)
                        ? VIEW("null")
                        : view_of(pg_text(result, 0, STATE_DRAINING)),
    };
}

void store_set_draining(struct store *store, struct store_call *call,
                        const struct sandbox_config *config, const struct node_draining *wanted,
                        pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{wanted->admin_id, config->instance, config->node_name,
                                              wanted->draining ? "true" : "false", wanted->reason},
                                             5};
    store_ask(store, call, "node_set_draining", &parameters, done, arg);
}

void store_forget(struct store *store, struct store_call *call, const struct sandbox_config *config,
                  int64_t limit, pg_result_fn *done, void *arg)
{
    char days[INT_SIZE];
    char most[INT_SIZE];
    write_int(config->sandbox_keep_days, days);
    write_int(limit, most);
    const struct pg_parameters parameters = {{config->instance, days, most}, 3};
    store_ask(store, call, "sandboxes_forget", &parameters, done, arg);
}

void store_forget_personal(struct store *store, struct store_call *call,
                           const struct sandbox_config *config, int64_t limit, pg_result_fn *done,
                           void *arg)
{
    char days[INT_SIZE];
    char most[INT_SIZE];
    write_int(config->personal_keep_days, days);
    write_int(limit, most);
    const struct pg_parameters parameters = {{days, most}, 2};
    store_ask(store, call, "audit_forget_personal", &parameters, done, arg);
}

int64_t store_read_forgotten(const PGresult *result)
{
    return pg_int(result, 0, ONLY_COLUMN);
}

void store_ports_left(struct store *store, struct store_call *call,
                      const struct sandbox_config *config, const char *admin_id, bool remove,
                      pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {
        {admin_id, config->instance, config->node_name, remove ? "true" : "false"}, 4};
    store_ask(store, call, "ports_left", &parameters, done, arg);
}

struct view store_read_left_port(const PGresult *result, int row)
{
    return view_of(pg_text(result, row, ONLY_COLUMN));
}

void store_left(struct store *store, struct store_call *call, const char *ids, pg_result_fn *done,
                void *arg)
{
    const struct pg_parameters parameters = {{ids}, 1};
    store_ask(store, call, "sandboxes_left", &parameters, done, arg);
}

struct view store_read_left(const PGresult *result, int row, bool *is_unknown)
{
    *is_unknown = pg_bool(result, row, LEFT_IS_UNKNOWN);
    return view_of(pg_text(result, row, LEFT_ID));
}

void store_images_named(struct store *store, struct store_call *call, const char *images,
                        pg_result_fn *done, void *arg)
{
    const struct pg_parameters parameters = {{images}, 1};
    store_ask(store, call, "images_named", &parameters, done, arg);
}

struct view store_read_image(const PGresult *result, int row)
{
    return view_of(pg_text(result, row, ONLY_COLUMN));
}
