#include "sandbox-service/pool/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 1,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
};
enum { SHED_ID };
enum { NEXT_IMAGE };
enum { KIND_TEMPLATE, KIND_NETWORK, KIND_TIER, KIND_WARM, KIND_PEAK };

static const struct pg_statement statements[] = {
    {"pool_shed_stale", "SELECT pool_shed_stale($1, $2, $3, $4)"},
    {"pool_shed",
     "UPDATE warm_sandboxes SET status = 'leaving' WHERE id IN (SELECT id FROM warm_sandboxes "
     "WHERE instance = $1 AND node = $2 AND template = $3 AND network = $4 AND tier = $5 "
     "AND status = 'ready' ORDER BY ready_at LIMIT $6 FOR UPDATE SKIP LOCKED) RETURNING id"},
    {"pool_next_image", "SELECT image FROM warm_sandboxes WHERE instance = $1 AND node = $2 "
                        "AND status = 'ready' ORDER BY image > $3 DESC, image LIMIT 1"},
    {"pool_shed_image",
     "UPDATE warm_sandboxes SET status = 'leaving' WHERE id IN (SELECT id FROM warm_sandboxes "
     "WHERE instance = $1 AND node = $2 AND image = $3 AND image_id <> $4 AND status = 'ready' "
     "FOR UPDATE SKIP LOCKED) RETURNING id"},
    /* Who asks for networks or limits of its own is served by the kind that comes closest. First
     * those of which some wait: where there are more kinds than a table has places, none of these
     * is forgotten. */
    {"pool_survey",
     "SELECT template, network, tier, max(warm), max(peak) FROM ("
     "SELECT template, network, tier, count(*) AS warm, 0 AS peak FROM warm_sandboxes "
     "WHERE instance = $1 AND node = $2 AND status <> 'leaving' GROUP BY 1, 2, 3 "
     "UNION ALL SELECT template, network, tier, 0, max(creates) FROM ("
     "SELECT template, network, tier, count(*) AS creates FROM sandboxes "
     "WHERE instance = $1 AND node = $2 AND network IN ('none', 'open') AND template_id IN ("
     "SELECT id FROM templates WHERE user_id IS NULL AND status = 'ready' AND start IS NULL) "
     "AND created_at > now() - interval '1 hour' "
     "GROUP BY template, network, tier, date_trunc('minute', created_at)) AS minutes "
     "GROUP BY 1, 2, 3) AS known GROUP BY 1, 2, 3 "
     "ORDER BY max(warm) > 0 DESC, max(peak) DESC, 1, 2, 3"},
    {"pool_count", "SELECT template, network, tier, count(*) FROM warm_sandboxes WHERE "
                   "instance = $1 AND node = $2 AND status <> 'leaving' GROUP BY 1, 2, 3"},
};

struct pool_store {
    struct pg_pool *pool;              /* owned */
    struct pool_store_options options; /* without the URL */
};

struct pool_store *pool_store_open(struct loop *loop, const struct pool_store_options *options,
                                   struct err *err)
{
    struct pool_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "pool store: out of memory");
        return NULL;
    }
    const struct pg_options pg = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->options = *options;
    store->options.url = NULL;
    store->pool = pg_pool_open(loop, &pg, err);
    if (store->pool == NULL) {
        pool_store_close(store);
        return NULL;
    }
    return store;
}

bool pool_store_fail_all(struct pool_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void pool_store_close(struct pool_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

bool pool_store_shed_stale(struct pool_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    const struct pool_store_options *options = &store->options;
    const struct pg_parameters parameters = {
        {options->instance, options->node, options->bundle, options->limits}, 4};
    return pg_ask(store->pool, "pool_shed_stale", &parameters, done, arg, err);
}

bool pool_store_shed(struct pool_store *store, const struct pool_kind *kind, int64_t count,
                     pg_result_fn *done, void *arg, struct err *err)
{
    char number[INT_SIZE];
    (void)snprintf(number, sizeof number, "%" PRId64, count);
    const struct pg_parameters parameters = {{store->options.instance, store->options.node,
                                              kind->template_name, kind->network,
                                              tier_name(kind->tier), number},
                                             6};
    return pg_ask(store->pool, "pool_shed", &parameters, done, arg, err);
}

const char *pool_store_read_id(const PGresult *result, int row)
{
    return pg_text(result, row, SHED_ID);
}

bool pool_store_next_image(struct pool_store *store, const char *after, pg_result_fn *done,
                           void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->options.instance, store->options.node, after},
                                             3};
    return pg_ask(store->pool, "pool_next_image", &parameters, done, arg, err);
}

const char *pool_store_read_image(const PGresult *result, int row)
{
    return pg_text(result, row, NEXT_IMAGE);
}

bool pool_store_shed_image(struct pool_store *store, const char *image, const char *image_id,
                           pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {
        {store->options.instance, store->options.node, image, image_id}, 4};
    return pg_ask(store->pool, "pool_shed_image", &parameters, done, arg, err);
}

bool pool_store_survey(struct pool_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->options.instance, store->options.node}, 2};
    return pg_ask(store->pool, "pool_survey", &parameters, done, arg, err);
}

static struct pool_kind *kind_of(const PGresult *result, int row, struct pool_kinds *kinds)
{
    enum tier tier = TIER_FREE;
    if (!tier_find(view_of(pg_text(result, row, KIND_TIER)), &tier)) {
        return NULL;
    }
    return pool_kinds_find(kinds, view_of(pg_text(result, row, KIND_TEMPLATE)),
                           view_of(pg_text(result, row, KIND_NETWORK)), tier);
}

void pool_store_read_kind(const PGresult *result, int row, struct pool_kinds *kinds)
{
    struct pool_kind *kind = kind_of(result, row, kinds);
    if (kind != NULL) {
        kind->warm = pg_int(result, row, KIND_WARM);
        kind->peak = pg_int(result, row, KIND_PEAK);
    }
}

bool pool_store_count(struct pool_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->options.instance, store->options.node}, 2};
    return pg_ask(store->pool, "pool_count", &parameters, done, arg, err);
}

void pool_store_read_counts(const PGresult *result, struct pool_kinds *kinds)
{
    for (size_t i = 0; i < kinds->count; i++) {
        kinds->items[i].warm = 0;
    }
    for (int row = 0; row < pg_rows(result); row++) {
        struct pool_kind *kind = kind_of(result, row, kinds);
        if (kind != NULL) {
            kind->warm = pg_int(result, row, KIND_WARM);
        }
    }
}
