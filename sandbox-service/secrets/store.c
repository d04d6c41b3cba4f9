#include "sandbox-service/secrets/store.h"

#include "common/base/encode.h"
#include "common/json/write.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 1,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
    BYTEA_SIZE = ENCODE_HEX_SIZE(SECRET_SEALED_MAX) + 2, /* with the "\x" before it */
};

#define ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

enum { SET_CREATED_AT, SET_UPDATED_AT, SET_IS_NEW };
enum { LIST_NAME, LIST_CREATED_AT, LIST_UPDATED_AT };
enum { FOREIGN_ID, FOREIGN_USER_ID, FOREIGN_NAME, FOREIGN_KEY_ID, FOREIGN_SEALED };

static const struct pg_statement statements[] = {
    {"secret_set", "SELECT " ISO("created_at") ", " ISO(
                       "updated_at") ", is_new FROM secret_set($1, $2, $3, $4::bytea, $5)"},
    {"secret_list", "SELECT name, " ISO("created_at") ", " ISO(
                        "updated_at") " FROM secrets WHERE user_id = $1 ORDER BY name"},
    {"secret_delete", "DELETE FROM secrets WHERE user_id = $1 AND name = $2 RETURNING name"},
    {"secret_foreign", "SELECT id, user_id, name, key_id, encode(sealed, 'hex') FROM secrets "
                       "WHERE key_id <> $1 AND ($2::text = '' OR id > nullif($2, '')::uuid) "
                       "ORDER BY id LIMIT $3::integer"},
    {"secret_reseal", "UPDATE secrets SET key_id = $2, sealed = $3::bytea "
                      "WHERE id = $1 AND sealed = $4::bytea RETURNING id"},
};

struct secret_store {
    struct pg_pool *pool; /* owned */
};

struct secret_store *secret_store_open(struct loop *loop, const char *url, struct err *err)
{
    struct secret_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "secret store: out of memory");
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
        secret_store_close(store);
        return NULL;
    }
    return store;
}

bool secret_store_fail_all(struct secret_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void secret_store_close(struct secret_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

/* As PostgreSQL reads it; the caller frees it. */
static char *write_bytea(struct view bytes, struct err *err)
{
    char *out = bytes.len > SECRET_SEALED_MAX ? NULL : malloc(BYTEA_SIZE);
    if (out == NULL) {
        err_set(err, ERR_INTERNAL, "secret store: no room for a value");
        return NULL;
    }
    out[0] = '\\';
    out[1] = 'x';
    encode_hex(bytes.ptr, bytes.len, out + 2);
    return out;
}

bool secret_store_set(struct secret_store *store, const struct secret_row *row, pg_result_fn *done,
                      void *arg, struct err *err)
{
    char most[INT_SIZE];
    (void)snprintf(most, sizeof most, "%d", SECRETS_PER_USER_MAX);
    AUTO(free_string) char *sealed = write_bytea(row->sealed, err);
    const struct pg_parameters parameters = {{row->user_id, row->name, row->key_id, sealed, most},
                                             5};
    return sealed != NULL && pg_ask(store->pool, "secret_set", &parameters, done, arg, err);
}

void secret_store_read_set(const PGresult *result, struct secret_info *out)
{
    *out = (struct secret_info){.created_at = view_of(pg_text(result, 0, SET_CREATED_AT)),
                                .updated_at = view_of(pg_text(result, 0, SET_UPDATED_AT)),
                                .is_new = pg_bool(result, 0, SET_IS_NEW)};
}

bool secret_store_list(struct secret_store *store, const char *user_id, pg_result_fn *done,
                       void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{user_id}, 1};
    return pg_ask(store->pool, "secret_list", &parameters, done, arg, err);
}

bool secret_store_write_list(const PGresult *result, struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    json_begin_array(&json, NULL);
    for (int row = 0; row < pg_rows(result); row++) {
        json_begin_object(&json, NULL);
        json_string(&json, "name", view_of(pg_text(result, row, LIST_NAME)));
        json_string(&json, "createdAt", view_of(pg_text(result, row, LIST_CREATED_AT)));
        json_string(&json, "updatedAt", view_of(pg_text(result, row, LIST_UPDATED_AT)));
        json_end_object(&json);
    }
    json_end_array(&json);
    return str_check(out, "the list of secrets", err);
}

bool secret_store_delete(struct secret_store *store, const char *user_id, const char *name,
                         pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{user_id, name}, 2};
    return pg_ask(store->pool, "secret_delete", &parameters, done, arg, err);
}

bool secret_store_foreign(struct secret_store *store, const char *key_id, const char *after,
                          pg_result_fn *done, void *arg, struct err *err)
{
    char rows[INT_SIZE];
    (void)snprintf(rows, sizeof rows, "%d", SECRET_RESEAL_ROWS);
    const struct pg_parameters parameters = {{key_id, after, rows}, 3};
    return pg_ask(store->pool, "secret_foreign", &parameters, done, arg, err);
}

bool secret_store_read_foreign(const PGresult *result, int row, struct secret_foreign *out,
                               struct err *err)
{
    struct view sealed = view_of(pg_text(result, row, FOREIGN_SEALED));
    out->name = view_of(pg_text(result, row, FOREIGN_NAME));
    out->key_id = pg_text(result, row, FOREIGN_KEY_ID);
    out->sealed_len = sealed.len / 2;
    return (id_parse(view_of(pg_text(result, row, FOREIGN_ID)), out->id) &&
            id_parse(view_of(pg_text(result, row, FOREIGN_USER_ID)), out->user_id) &&
            out->sealed_len <= sizeof out->sealed &&
            encode_hex_decode(sealed, out->sealed, out->sealed_len)) ||
           err_set(err, ERR_INTERNAL, "a secret's row can't be read");
}

bool secret_store_reseal(struct secret_store *store, const char *id, const struct view *was,
                         const struct secret_row *row, pg_result_fn *done, void *arg,
                         struct err *err)
{
    AUTO(free_string) char *sealed = write_bytea(row->sealed, err);
    AUTO(free_string) char *before = sealed == NULL ? NULL : write_bytea(*was, err);
    const struct pg_parameters parameters = {{id, row->key_id, sealed, before}, 4};
    return before != NULL && pg_ask(store->pool, "secret_reseal", &parameters, done, arg, err);
}
