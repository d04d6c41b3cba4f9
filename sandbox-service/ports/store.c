#include "sandbox-service/ports/store.h"

#include "common/contracts/sandbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 2,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
    VISIBILITY_SIZE = 16,
};

#define ROW_COLUMNS                                                                                \
    "p.container_port, coalesce(p.host_port, 0), p.visibility, p.generation, "                     \
    "to_char(p.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
enum {
    ROW_CONTAINER_PORT,
    ROW_HOST_PORT,
    ROW_VISIBILITY,
    ROW_GENERATION,
    ROW_CREATED_AT,
    ROW_COUNT,
};
enum { LIST_USER_ID = ROW_COUNT, LIST_STATUS };
enum { REMOVE_DONE };

static const struct pg_statement statements[] = {
    {"port_expose", "SELECT " ROW_COLUMNS " FROM port_expose($1, $2, $3, $4, $5, $6, $7, $8) AS p"},
    {"port_list", "SELECT " ROW_COLUMNS ", s.user_id, s.status FROM sandboxes s "
                  "LEFT JOIN ports p ON p.sandbox_id = s.id WHERE s.id = $1 "
                  "ORDER BY p.container_port"},
    {"port_remove",
     "WITH gone AS (DELETE FROM ports p USING sandboxes s WHERE p.sandbox_id = s.id "
     "AND s.id = $1 AND s.user_id = $2 AND p.container_port = $3 RETURNING p.container_port) "
     "SELECT EXISTS (SELECT 1 FROM gone) FROM sandboxes WHERE id = $1 AND user_id = $2"},
};

struct port_store {
    struct pg_pool *pool; /* owned */
};

struct port_store *port_store_open(struct loop *loop, const char *url, struct err *err)
{
    struct port_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "port store: out of memory");
        return NULL;
    }
    const struct pg_options options = {
        .url = url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->pool = pg_pool_open(loop, &options, err);
    if (store->pool == NULL) {
        port_store_close(store);
        return NULL;
    }
    return store;
}

bool port_store_fail_all(struct port_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void port_store_close(struct port_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

static void write_int(int64_t value, char out[INT_SIZE])
{
    (void)snprintf(out, INT_SIZE, "%" PRId64, value);
}

bool port_store_expose(struct port_store *store, const struct port_expose *request,
                       pg_result_fn *done, void *arg, struct err *err)
{
    char visibility[VISIBILITY_SIZE];
    char port[INT_SIZE];
    char first[INT_SIZE];
    char last[INT_SIZE];
    char taken[INT_SIZE];
    char most[INT_SIZE];
    write_int(request->container_port, port);
    write_int(request->host_port_first, first);
    write_int(request->host_port_last, last);
    write_int(request->taken_port, taken);
    write_int(SANDBOX_PORTS_MAX, most);
    if (!view_copy(request->visibility, visibility, sizeof visibility)) {
        return err_set(err, ERR_INVALID, "there is no such visibility");
    }
    const struct pg_parameters parameters = {
        {request->sandbox_id, request->user_id, port, visibility, first, last, taken, most}, 8};
    return pg_ask(store->pool, "port_expose", &parameters, done, arg, err);
}

bool port_store_list(struct port_store *store, const char sandbox_id[ID_SIZE], pg_result_fn *done,
                     void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{sandbox_id}, 1};
    return pg_ask(store->pool, "port_list", &parameters, done, arg, err);
}

bool port_store_remove(struct port_store *store, const struct port_close *request,
                       pg_result_fn *done, void *arg, struct err *err)
{
    char port[INT_SIZE];
    write_int(request->container_port, port);
    const struct pg_parameters parameters = {{request->sandbox_id, request->user_id, port}, 3};
    return pg_ask(store->pool, "port_remove", &parameters, done, arg, err);
}

bool port_store_has_port(const PGresult *result, int row)
{
    return !pg_is_null(result, row, ROW_CONTAINER_PORT);
}

/* The column is a uuid. */
static void copy_id(const PGresult *result, int row, int column, char out[ID_SIZE])
{
    if (!id_parse(view_of(pg_text(result, row, column)), out)) {
        out[0] = '\0';
    }
}

void port_store_read_row(const PGresult *result, int row, struct port_row *out)
{
    *out = (struct port_row){
        .container_port = (uint16_t)pg_int(result, row, ROW_CONTAINER_PORT),
        .host_port = (uint16_t)pg_int(result, row, ROW_HOST_PORT),
        .is_public = strcmp(pg_text(result, row, ROW_VISIBILITY), PORT_PUBLIC) == 0,
    };
    copy_id(result, row, ROW_GENERATION, out->generation);
    (void)snprintf(out->created_at, sizeof out->created_at, "%s",
                   pg_text(result, row, ROW_CREATED_AT));
}

void port_store_read_owner(const PGresult *result, struct port_owner *out)
{
    copy_id(result, 0, LIST_USER_ID, out->user_id);
    out->is_live = sandbox_status_is_live(view_of(pg_text(result, 0, LIST_STATUS)));
}

bool port_store_read_removed(const PGresult *result)
{
    return pg_bool(result, 0, REMOVE_DONE);
}
