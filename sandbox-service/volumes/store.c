#include "sandbox-service/volumes/store.h"

#include "common/json/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 1,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
};

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define INFO_COLUMNS "v.id, v.name, v.size_mb, v.is_shared, " ISO("v.created_at")
enum { INFO_ID, INFO_NAME, INFO_SIZE_MB, INFO_IS_SHARED, INFO_CREATED_AT, INFO_COUNT };
enum { LIST_ATTACHMENTS = INFO_COUNT };
enum { HERE_ID, HERE_STATUS, HERE_ATTACHED };

static const struct pg_statement statements[] = {
    {"volume_make", "SELECT " INFO_COLUMNS " FROM volume_make($1, $2, $3, $4, $5, $6, $7) AS v"},
    {"volume_list",
     "SELECT " INFO_COLUMNS ", coalesce((SELECT jsonb_agg(jsonb_build_object("
     "'sandboxId', a.sandbox_id, 'path', a.path, 'readOnly', a.read_only) "
     "ORDER BY a.sandbox_id, a.path) FROM volume_attachments a WHERE a.volume_id = v.id), '[]') "
     "FROM volumes v WHERE v.user_id = $1 AND v.instance = $2 AND v.status = 'ready' "
     "ORDER BY v.name"},
    {"volume_delete", "SELECT " INFO_COLUMNS " FROM volume_delete($1, $2) AS v"},
    {"volume_here", "SELECT v.id, v.status, EXISTS (SELECT 1 FROM volume_attachments a "
                    "WHERE a.volume_id = v.id) FROM volumes v "
                    "WHERE v.instance = $1 AND (v.node = $2 OR v.node IS NULL) ORDER BY v.id"},
    {"volume_unknown", "SELECT u.id FROM unnest($1::uuid[]) AS u (id) "
                       "WHERE NOT EXISTS (SELECT 1 FROM volumes v WHERE v.id = u.id)"},
    {"volume_forget", "DELETE FROM volumes WHERE id = ANY ($1::uuid[]) AND status = 'deleting' "
                      "AND instance = $2 AND node = $3"},
};

struct volume_store {
    struct pg_pool *pool; /* owned */
    const char *instance; /* borrowed */
    const char *node;     /* borrowed */
    const char *limits;   /* borrowed */
};

struct volume_store *volume_store_open(struct loop *loop,
                                       const struct volume_store_options *options, struct err *err)
{
    struct volume_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "volume store: out of memory");
        return NULL;
    }
    store->instance = options->instance;
    store->node = options->node;
    store->limits = options->limits;
    const struct pg_options pg = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->pool = pg_pool_open(loop, &pg, err);
    if (store->pool == NULL) {
        volume_store_close(store);
        return NULL;
    }
    return store;
}

bool volume_store_fail_all(struct volume_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void volume_store_close(struct volume_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

static bool copy_name(struct view name, char out[VOLUME_NAME_MAX + 1], struct err *err)
{
    return view_copy(name, out, VOLUME_NAME_MAX + 1) ||
           err_set(err, ERR_INVALID, "a volume's name is too long");
}

bool volume_store_make(struct volume_store *store, const struct volume_create *request,
                       pg_result_fn *done, void *arg, struct err *err)
{
    char name[VOLUME_NAME_MAX + 1];
    char size[INT_SIZE];
    (void)snprintf(size, sizeof size, "%" PRId64, request->size_mb);
    if (!copy_name(request->name, name, err)) {
        return false;
    }
    const struct pg_parameters parameters = {{request->volume_id, request->user_id, name, size,
                                              request->is_shared ? "true" : "false",
                                              store->instance, store->limits},
                                             7};
    return pg_ask(store->pool, "volume_make", &parameters, done, arg, err);
}

bool volume_store_read_info(const PGresult *result, struct volume_info *out, struct err *err)
{
    *out = (struct volume_info){.name = view_of(pg_text(result, 0, INFO_NAME)),
                                .size_mb = pg_int(result, 0, INFO_SIZE_MB),
                                .is_shared = pg_bool(result, 0, INFO_IS_SHARED),
                                .created_at = view_of(pg_text(result, 0, INFO_CREATED_AT))};
    return id_parse(view_of(pg_text(result, 0, INFO_ID)), out->volume_id) ||
           err_set(err, ERR_INTERNAL, "a volume's row can't be read");
}

bool volume_store_list(struct volume_store *store, const char *user_id, pg_result_fn *done,
                       void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{user_id, store->instance}, 2};
    return pg_ask(store->pool, "volume_list", &parameters, done, arg, err);
}

bool volume_store_write_list(const PGresult *result, struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_begin_object(&json, NULL);
        json_string(&json, "id", view_of(pg_text(result, row, INFO_ID)));
        json_string(&json, "name", view_of(pg_text(result, row, INFO_NAME)));
        json_int(&json, "sizeMB", pg_int(result, row, INFO_SIZE_MB));
        json_bool(&json, "shared", pg_bool(result, row, INFO_IS_SHARED));
        json_string(&json, "createdAt", view_of(pg_text(result, row, INFO_CREATED_AT)));
        json_raw(&json, "attachments", view_of(pg_text(result, row, LIST_ATTACHMENTS)));
        json_end_object(&json);
    }
    json_end_array(&json);
    return str_check(out, "the list of volumes", err);
}

bool volume_store_delete(struct volume_store *store, const struct volume_delete *request,
                         pg_result_fn *done, void *arg, struct err *err)
{
    char name[VOLUME_NAME_MAX + 1];
    if (!copy_name(request->name, name, err)) {
        return false;
    }
    const struct pg_parameters parameters = {{request->user_id, name}, 2};
    return pg_ask(store->pool, "volume_delete", &parameters, done, arg, err);
}

bool volume_store_here(struct volume_store *store, pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->instance, store->node}, 2};
    return pg_ask(store->pool, "volume_here", &parameters, done, arg, err);
}

bool volume_store_read_here(const PGresult *result, int row, struct volume_here *out,
                            struct err *err)
{
    out->is_deleting = strcmp(pg_text(result, row, HERE_STATUS), "deleting") == 0;
    out->is_attached = pg_bool(result, row, HERE_ATTACHED);
    return id_parse(view_of(pg_text(result, row, HERE_ID)), out->id) ||
           err_set(err, ERR_INTERNAL, "a volume's row can't be read");
}

bool volume_store_unknown(struct volume_store *store, const char *ids, pg_result_fn *done,
                          void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{ids}, 1};
    return pg_ask(store->pool, "volume_unknown", &parameters, done, arg, err);
}

const char *volume_store_read_unknown(const PGresult *result, int row)
{
    return pg_text(result, row, HERE_ID);
}

bool volume_store_forget(struct volume_store *store, const char *ids, pg_result_fn *done, void *arg,
                         struct err *err)
{
    const struct pg_parameters parameters = {{ids, store->instance, store->node}, 3};
    return pg_ask(store->pool, "volume_forget", &parameters, done, arg, err);
}
