#include "sandbox-service/reconcile/store.h"

#include "sandbox-service/sandbox/store_pieces.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 1,
    STORE_TIMEOUT_MS = 10 * 1000,
    INT_SIZE = 16,
    IDS_TEXT_MAX = BULK_MAX * ID_SIZE + 8,
};

static const struct pg_statement statements[] = {
    {"bulk_strange", "SELECT id, is_elsewhere FROM sandboxes_strange($2, $3, $1::uuid[])"},
    /* It waits for none: whoever deletes a user holds many too. */
    {"bulk_end",
     "WITH gone AS (SELECT id FROM sandboxes WHERE id = ANY ($1::uuid[]) "
     "AND status IN " STORE_LIVE " AND status <> 'creating' FOR NO KEY UPDATE SKIP LOCKED), "
     "ended AS (UPDATE sandboxes SET status = 'stopping', end_reason = $2, "
     "container_running = false, container_status = 'removed' "
     "WHERE id IN (SELECT id FROM gone) RETURNING id, end_reason)" STORE_TELL_ENDED
     "SELECT id FROM ended"},
    {"bulk_unsettle",
     "UPDATE sandboxes SET network_applied = network_version - 1 WHERE id = ANY ($1::uuid[]) "
     "AND network_applied = network_version AND status = 'running' RETURNING id"},
    {"bulk_free_ports",
     "WITH freed AS (DELETE FROM ports p USING sandboxes s WHERE s.id = p.sandbox_id "
     "AND p.instance = $1 AND p.node = $2 "
     "AND s.status IN ('stopping', 'destroyed', 'failed') RETURNING p.sandbox_id) "
     "SELECT DISTINCT sandbox_id FROM freed"},
    /* A statement that ends one may have begun a moment before it is seen. */
    {"bulk_ended",
     "WITH ended AS (SELECT id, ended_at FROM sandboxes WHERE instance = $1 AND node = $2 "
     "AND ended_at > coalesce($3::timestamptz, now() - interval '25 hours') "
     "ORDER BY ended_at LIMIT $4::integer) "
     "SELECT e.id, CASE WHEN (SELECT count(*) FROM ended) = $4::integer "
     "THEN (SELECT max(ended_at) FROM ended) ELSE now() - interval '1 minute' END "
     "FROM (SELECT 1) AS once LEFT JOIN ended e ON true"},
};

struct bulk_store {
    struct pg_pool *pool; /* owned */
    const char *instance; /* borrowed */
    const char *node;     /* borrowed */
};

void bulk_ids_begin(struct bulk_ids *ids)
{
    ids->text = STR_INIT(IDS_TEXT_MAX);
    ids->count = 0;
}

bool bulk_ids_add(struct bulk_ids *ids, const char sandbox_id[ID_SIZE])
{
    if (ids->count == BULK_MAX) {
        return false;
    }
    str_append_string(&ids->text, ids->count == 0 ? "{" : ",");
    str_append_string(&ids->text, sandbox_id);
    ids->count++;
    return true;
}

void bulk_ids_free(struct bulk_ids *ids)
{
    str_free(&ids->text);
    ids->count = 0;
}

struct bulk_store *bulk_store_open(struct loop *loop, const struct bulk_options *options,
                                   struct err *err)
{
    const struct pg_options pg = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    struct bulk_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "bulk store: out of memory");
        return NULL;
    }
    store->instance = options->instance;
    store->node = options->node;
    store->pool = pg_pool_open(loop, &pg, err);
    if (store->pool == NULL) {
        bulk_store_close(store);
        return NULL;
    }
    return store;
}

bool bulk_store_fail_all(struct bulk_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void bulk_store_close(struct bulk_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

/* A question with ids, and up to two parameters more. */
static bool ask_about(struct bulk_store *store, const char *statement, struct bulk_ids *ids,
                      const struct pg_parameters *more, pg_result_fn *done, void *arg,
                      struct err *err)
{
    str_append_string(&ids->text, ids->count == 0 ? "{}" : "}");
    const struct pg_parameters parameters = {{ids->text.data, more->values[0], more->values[1]},
                                             1 + more->count};
    return str_check(&ids->text, "ids of sandboxes", err) &&
           pg_ask(store->pool, statement, &parameters, done, arg, err);
}

bool bulk_store_strange(struct bulk_store *store, struct bulk_ids *ids, pg_result_fn *done,
                        void *arg, struct err *err)
{
    const struct pg_parameters own = {{store->instance, store->node}, 2};
    return ask_about(store, "bulk_strange", ids, &own, done, arg, err);
}

bool bulk_store_end(struct bulk_store *store, struct bulk_ids *ids, const char *reason,
                    pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters why = {{reason}, 1};
    return ask_about(store, "bulk_end", ids, &why, done, arg, err);
}

bool bulk_store_unsettle(struct bulk_store *store, struct bulk_ids *ids, pg_result_fn *done,
                         void *arg, struct err *err)
{
    static const struct pg_parameters none = {.count = 0};
    return ask_about(store, "bulk_unsettle", ids, &none, done, arg, err);
}

bool bulk_store_free_ports(struct bulk_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->instance, store->node}, 2};
    return pg_ask(store->pool, "bulk_free_ports", &parameters, done, arg, err);
}

bool bulk_store_ended(struct bulk_store *store, const char *since, pg_result_fn *done, void *arg,
                      struct err *err)
{
    char most[INT_SIZE];
    (void)snprintf(most, sizeof most, "%d", BULK_MAX);
    const struct pg_parameters parameters = {{store->instance, store->node, since, most}, 4};
    return pg_ask(store->pool, "bulk_ended", &parameters, done, arg, err);
}

const char *bulk_store_read_moment(const PGresult *result)
{
    return pg_text(result, 0, 1);
}

bool bulk_store_read_elsewhere(const PGresult *result, int row)
{
    return pg_bool(result, row, 1);
}

const char *bulk_store_read_id(const PGresult *result, int row)
{
    return pg_text(result, row, 0);
}
