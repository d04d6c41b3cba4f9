#include "sandbox-service/network/store.h"

#include "sandbox-service/network/denials.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 2,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
};

enum { SET_ADDRESS, SET_VERSION, SET_SETTLED };
enum { GET_USER_ID, GET_NETWORK, GET_ALLOW, GET_KIND, GET_TARGET, GET_ATTEMPTS, GET_LAST_AT };
enum { TIER_ID, TIER_NAME };
enum { UNIT_ID, UNIT_ADDRESS, UNIT_NETWORK, UNIT_ALLOW, UNIT_VERSION };

#define UNIT_COLUMNS                                                                               \
    "id, coalesce(host(network_address), ''), network, network_policy -> 'allow', network_version"

/* As the index of what is on an engine has it. */
#define LIVES                                                                                      \
    "status IN ('warm', 'creating', 'running', 'pausing', 'paused', 'resuming', 'stopping')"

const struct pg_statement network_statements[] = {
    {"network_set", "SELECT coalesce(host(n.network_address), ''), n.network_version, "
                    "n.old_network = n.network AND s.network_applied = n.network_version - 1 "
                    "FROM network_set($1, $2, $3, jsonb_build_object('allow', $4::jsonb), $5) n "
                    "JOIN sandboxes s ON s.id = $1"},
    {"network_applied", "UPDATE sandboxes SET network_applied = $2 WHERE id = $1 "
                        "AND network_version = $2 "
                        "AND status NOT IN ('stopping', 'destroyed', 'failed') RETURNING id"},
    {"network_still", "SELECT network_version FROM sandboxes WHERE id = $1 "
                      "AND network_version = $2 AND network_applied <> $2 "
                      "AND status NOT IN ('stopping', 'destroyed', 'failed')"},
    {"network_get",
     "SELECT s.user_id, s.network, s.network_policy -> 'allow', d.kind, d.target, d.attempts, "
     "to_char(d.last_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') "
     "FROM sandboxes s LEFT JOIN network_denials d ON d.sandbox_id = s.id WHERE s.id = $1 "
     "ORDER BY d.last_at DESC, d.kind, d.target"},
    {"network_denied", "SELECT network_denied($1, $2, $3)"},
    {"network_restricted",
     "SELECT " UNIT_COLUMNS " FROM sandboxes WHERE instance = $1 AND node = $2 "
     "AND network = 'restricted' AND network_address IS NOT NULL "
     "AND network_applied = network_version AND status NOT IN ('destroyed', 'failed')"},
    {"network_tiers",
     "SELECT id, tier FROM sandboxes WHERE instance = $1 AND node = $2 AND " LIVES},
    /* Those that are being created have nothing to settle: it was done before the container was. */
    {"network_unsettled",
     "SELECT " UNIT_COLUMNS " FROM sandboxes WHERE instance = $1 AND node = $2 "
     "AND network_applied <> network_version "
     "AND status IN ('warm', 'running', 'pausing', 'paused', 'resuming') "
     "ORDER BY random() LIMIT 8"},
};
const size_t network_statement_count = sizeof network_statements / sizeof network_statements[0];

struct network_store {
    struct network_store_options options;
    struct pg_pool *pool; /* owned */
};

struct network_store *network_store_open(const struct network_store_options *options,
                                         struct err *err)
{
    struct network_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "network store: out of memory");
        return NULL;
    }
    const struct pg_options pool = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = network_statements,
        .statement_count = network_statement_count,
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->options = *options;
    store->options.url = NULL;
    store->pool = pg_pool_open(options->loop, &pool, err);
    if (store->pool == NULL) {
        network_store_close(store);
        return NULL;
    }
    return store;
}

bool network_store_fail_all(struct network_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void network_store_close(struct network_store *store)
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

/* The column is a uuid. */
static void copy_id(const PGresult *result, int row, int column, char out[ID_SIZE])
{
    if (!id_parse(view_of(pg_text(result, row, column)), out)) {
        out[0] = '\0';
    }
}

bool network_store_set(struct network_store *store, const char *sandbox_id, const char *user_id,
                       const char *network, const char *allow, pg_result_fn *done, void *arg,
                       struct err *err)
{
    const struct pg_parameters parameters = {
        {sandbox_id, user_id, network, allow, store->options.restricted_range}, 5};
    return pg_ask(store->pool, "network_set", &parameters, done, arg, err);
}

void network_store_read_set(const PGresult *result, struct network_row *out)
{
    (void)snprintf(out->address, sizeof out->address, "%s", pg_text(result, 0, SET_ADDRESS));
    out->version = pg_int(result, 0, SET_VERSION);
    out->is_settled = pg_bool(result, 0, SET_SETTLED);
}

bool network_store_applied(struct network_store *store, const char *sandbox_id, int64_t version,
                           pg_result_fn *done, void *arg, struct err *err)
{
    char number[INT_SIZE];
    write_int(version, number);
    const struct pg_parameters parameters = {{sandbox_id, number}, 2};
    return pg_ask(store->pool, "network_applied", &parameters, done, arg, err);
}

bool network_store_still(struct network_store *store, const char *sandbox_id, int64_t version,
                         pg_result_fn *done, void *arg, struct err *err)
{
    char number[INT_SIZE];
    write_int(version, number);
    const struct pg_parameters parameters = {{sandbox_id, number}, 2};
    return pg_ask(store->pool, "network_still", &parameters, done, arg, err);
}

int64_t network_store_read_still(const PGresult *result)
{
    return pg_int(result, 0, 0);
}

bool network_store_get(struct network_store *store, const char *sandbox_id, pg_result_fn *done,
                       void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{sandbox_id}, 1};
    return pg_ask(store->pool, "network_get", &parameters, done, arg, err);
}

bool network_store_has_denial(const PGresult *result, int row)
{
    return !pg_is_null(result, row, GET_KIND);
}

void network_store_read_denial(const PGresult *result, int row, struct network_denial *out)
{
    *out = (struct network_denial){.kind = view_of(pg_text(result, row, GET_KIND)),
                                   .attempts = pg_int(result, row, GET_ATTEMPTS),
                                   .last_at = view_of(pg_text(result, row, GET_LAST_AT)),
                                   .target = view_of(pg_text(result, row, GET_TARGET))};
}

void network_store_read_owner(const PGresult *result, struct network_owner *out)
{
    copy_id(result, 0, GET_USER_ID, out->user_id);
    out->network = view_of(pg_text(result, 0, GET_NETWORK));
    out->allow = view_of(pg_text(result, 0, GET_ALLOW));
}

bool network_store_denied(struct network_store *store, const char *sandbox_id, const char *attempts,
                          pg_result_fn *done, void *arg, struct err *err)
{
    char most[INT_SIZE];
    write_int(DENIALS_ROWS_MAX, most);
    const struct pg_parameters parameters = {{sandbox_id, attempts, most}, 3};
    return pg_ask(store->pool, "network_denied", &parameters, done, arg, err);
}

static bool ask_of_node(struct network_store *store, const char *statement, pg_result_fn *done,
                        void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->options.instance, store->options.node}, 2};
    return pg_ask(store->pool, statement, &parameters, done, arg, err);
}

bool network_store_restricted(struct network_store *store, pg_result_fn *done, void *arg,
                              struct err *err)
{
    return ask_of_node(store, "network_restricted", done, arg, err);
}

bool network_store_unsettled(struct network_store *store, pg_result_fn *done, void *arg,
                             struct err *err)
{
    return ask_of_node(store, "network_unsettled", done, arg, err);
}

void network_store_read_unit(const PGresult *result, int row, struct network_unit *out)
{
    copy_id(result, row, UNIT_ID, out->sandbox_id);
    (void)snprintf(out->address, sizeof out->address, "%s", pg_text(result, row, UNIT_ADDRESS));
    out->wanted = network_mode(view_of(pg_text(result, row, UNIT_NETWORK)));
    out->allow = view_of(pg_text(result, row, UNIT_ALLOW));
    out->version = pg_int(result, row, UNIT_VERSION);
}

bool network_store_tiers(struct network_store *store, pg_result_fn *done, void *arg,
                         struct err *err)
{
    return ask_of_node(store, "network_tiers", done, arg, err);
}

bool network_store_read_tier(const PGresult *result, int row, struct network_tier *out)
{
    copy_id(result, row, TIER_ID, out->sandbox_id);
    return tier_find(view_of(pg_text(result, row, TIER_NAME)), &out->tier);
}
