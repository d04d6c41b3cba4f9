#include "sandbox-service/templates/store.h"

#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STORE_CONNECTIONS = 2,
    STORE_TIMEOUT_MS = 5000,
    INT_SIZE = 24,
    SOURCE_SIZE = 16,
};

enum { SHOWN, STATUS, SHOWN_ID, FAILURE, LOG };
enum { BEGUN_REFERENCE = 2, BEGUN_IS_HERE };
enum { MOVED };
enum { REMOVED_ID, REMOVED_IMAGE };
enum { IMAGE_ID, IMAGE_IS_GONE };

static const struct pg_statement statements[] = {
    {"template_begin", "SELECT template_shown(t, true), t.status, t.reference, "
                       "t.instance = $9 AND t.node = $10 FROM template_allow("
                       "template_begin($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11), $8) AS t"},
    {"template_get", "SELECT template_shown(t, true), t.status, t.id, t.failure, t.log "
                     "FROM templates t WHERE (t.name = $2 OR t.id::text = $2) "
                     "AND (t.user_id IS NULL OR t.user_id = $1) "
                     "ORDER BY t.user_id NULLS LAST LIMIT 1"},
    {"template_list", "SELECT template_shown(t, false) FROM templates t "
                      "WHERE (t.user_id IS NULL OR t.user_id = $1) "
                      "AND CASE WHEN $2::text = '' THEN t.source <> 'fork' ELSE t.source = $2 END "
                      "ORDER BY t.user_id NULLS FIRST, t.name"},
    {"template_remove", "SELECT id, image FROM template_remove($2, $1)"},
    {"template_take_up", "SELECT template_take_up($1, $2)"},
    {"template_made", "SELECT template_made($1, $2, $3, $4)"},
    {"templates_interrupt", "SELECT templates_interrupt($1, $2)"},
    {"template_images", "SELECT id, is_gone FROM template_images($1, $2, $3)"},
    {"template_images_forget", "SELECT template_images_forget($1, $2, $3)"},
    {"template_weigh", "SELECT template_weigh($1, $2, $3)"},
    {"forks_drop", "SELECT * FROM forks_drop($1, $2, $3)"},
};

struct template_store {
    struct pg_pool *pool; /* owned */
    const char *instance; /* borrowed */
    const char *node;     /* borrowed */
    const char *limits;   /* borrowed */
    char most[INT_SIZE];
};

struct template_store *template_store_open(struct loop *loop,
                                           const struct template_store_options *options,
                                           struct err *err)
{
    struct template_store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        err_set(err, ERR_INTERNAL, "template store: out of memory");
        return NULL;
    }
    store->instance = options->instance;
    store->node = options->node;
    store->limits = options->limits;
    (void)snprintf(store->most, sizeof store->most, "%" PRId64, options->most);
    const struct pg_options pg = {
        .url = options->url,
        .connections = STORE_CONNECTIONS,
        .statements = statements,
        .statement_count = sizeof statements / sizeof statements[0],
        .statement_timeout_ms = STORE_TIMEOUT_MS,
    };
    store->pool = pg_pool_open(loop, &pg, err);
    if (store->pool == NULL) {
        template_store_close(store);
        return NULL;
    }
    return store;
}

bool template_store_fail_all(struct template_store *store)
{
    return pg_pool_fail_all(store->pool);
}

void template_store_close(struct template_store *store)
{
    if (store != NULL) {
        pg_pool_close(store->pool);
        free(store);
    }
}

bool template_store_begin(struct template_store *store, const struct template_create *create,
                          const char *image, pg_result_fn *done, void *arg, struct err *err)
{
    char name[TEMPLATE_NAME_MAX + 1];
    char source[SOURCE_SIZE];
    AUTO(str_free) struct str reference = STR_INIT(TEMPLATE_REFERENCE_MAX);
    AUTO(str_free) struct str settings = STR_INIT(TEMPLATE_SETTINGS_MAX);
    str_append_view(&reference, create->reference);
    str_append_view(&settings, create->settings);
    if (!view_copy(create->name, name, sizeof name) ||
        !view_copy(create->source, source, sizeof source) || reference.failed || settings.failed) {
        return err_set(err, ERR_INVALID, "the template does not fit");
    }
    const struct pg_parameters parameters = {
        {create->template_id, create->user_id, name, source,
         reference.data == NULL ? "" : reference.data, create->waits ? "t" : "f", image,
         settings.data == NULL ? "{}" : settings.data, store->instance, store->node, store->most},
        11};
    return pg_ask(store->pool, "template_begin", &parameters, done, arg, err);
}

/* Of a user's template: $1 and $2. */
static bool ask_named(struct template_store *store, const char *statement, const char *user_id,
                      struct view template_name, pg_result_fn *done, void *arg, struct err *err)
{
    char name[TEMPLATE_NAME_MAX + 1];
    if (!view_copy(template_name, name, sizeof name)) {
        return err_set_reason(err, ERR_NOT_FOUND, "template_not_found",
                              "there is no such template");
    }
    const struct pg_parameters parameters = {{user_id, name}, 2};
    return pg_ask(store->pool, statement, &parameters, done, arg, err);
}

bool template_store_get(struct template_store *store, const char user_id[ID_SIZE],
                        struct view template_name, pg_result_fn *done, void *arg, struct err *err)
{
    return ask_named(store, "template_get", user_id, template_name, done, arg, err);
}

bool template_store_list(struct template_store *store, const struct template_list *list,
                         pg_result_fn *done, void *arg, struct err *err)
{
    char source[SOURCE_SIZE];
    if (!view_copy(list->source, source, sizeof source)) {
        return err_set(err, ERR_INVALID, "there is no such source");
    }
    const struct pg_parameters parameters = {{list->user_id, source}, 2};
    return pg_ask(store->pool, "template_list", &parameters, done, arg, err);
}

bool template_store_remove(struct template_store *store, const char user_id[ID_SIZE],
                           struct view template_name, pg_result_fn *done, void *arg,
                           struct err *err)
{
    return ask_named(store, "template_remove", user_id, template_name, done, arg, err);
}

bool template_store_take_up(struct template_store *store, const char id[ID_SIZE],
                            const char user_id[ID_SIZE], pg_result_fn *done, void *arg,
                            struct err *err)
{
    const struct pg_parameters parameters = {{id, user_id}, 2};
    return pg_ask(store->pool, "template_take_up", &parameters, done, arg, err);
}

bool template_store_made(struct template_store *store, const struct template_end *end,
                         pg_result_fn *done, void *arg, struct err *err)
{
    char size[INT_SIZE];
    AUTO(str_free) struct str log = STR_INIT(end->log.len);
    (void)snprintf(size, sizeof size, "%" PRId64, end->size_bytes);
    str_append_view(&log, end->log);
    /* Better without its log than never at its end. */
    const struct pg_parameters parameters = {{end->id, end->failure,
                                              end->failure == NULL ? size : NULL,
                                              log.data == NULL || log.failed ? "" : log.data},
                                             4};
    return pg_ask(store->pool, "template_made", &parameters, done, arg, err);
}

struct pg_query *template_store_weigh(struct template_store *store, const char *id,
                                      int64_t own_bytes, pg_result_fn *done, void *arg,
                                      struct err *err)
{
    char bytes[INT_SIZE];
    (void)snprintf(bytes, sizeof bytes, "%" PRId64, own_bytes);
    const struct pg_parameters parameters = {{id, bytes, store->limits}, 3};
    return pg_query_begin(store->pool, "template_weigh", &parameters, STORE_TIMEOUT_MS, done, arg,
                          err);
}

bool template_store_drop_forks(struct template_store *store, int64_t grace_s, pg_result_fn *done,
                               void *arg, struct err *err)
{
    char grace[INT_SIZE];
    (void)snprintf(grace, sizeof grace, "%" PRId64, grace_s);
    const struct pg_parameters parameters = {{store->instance, store->node, grace}, 3};
    return pg_ask(store->pool, "forks_drop", &parameters, done, arg, err);
}

bool template_store_interrupt(struct template_store *store, pg_result_fn *done, void *arg,
                              struct err *err)
{
    const struct pg_parameters parameters = {{store->instance, store->node}, 2};
    return pg_ask(store->pool, "templates_interrupt", &parameters, done, arg, err);
}

bool template_store_images(struct template_store *store, const char *there, pg_result_fn *done,
                           void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->instance, store->node, there}, 3};
    return pg_ask(store->pool, "template_images", &parameters, done, arg, err);
}

bool template_store_forget_images(struct template_store *store, const char *there,
                                  pg_result_fn *done, void *arg, struct err *err)
{
    const struct pg_parameters parameters = {{store->instance, store->node, there}, 3};
    return pg_ask(store->pool, "template_images_forget", &parameters, done, arg, err);
}

static struct view text(const PGresult *result, int row, int column)
{
    return view_of(pg_text(result, row, column));
}

struct view template_store_shown(const PGresult *result, int row)
{
    return text(result, row, SHOWN);
}

struct view template_store_status(const PGresult *result)
{
    return text(result, 0, STATUS);
}

struct view template_store_reference(const PGresult *result)
{
    return text(result, 0, BEGUN_REFERENCE);
}

bool template_store_is_here(const PGresult *result)
{
    return pg_bool(result, 0, BEGUN_IS_HERE);
}

struct view template_store_failure(const PGresult *result)
{
    return text(result, 0, FAILURE);
}

struct view template_store_log(const PGresult *result)
{
    return text(result, 0, LOG);
}

bool template_store_moved(const PGresult *result)
{
    return pg_bool(result, 0, MOVED);
}

/* The column is a uuid. */
static void copy_id(const PGresult *result, int column, char out[ID_SIZE])
{
    if (!id_parse(text(result, 0, column), out)) {
        out[0] = '\0';
    }
}

void template_store_id(const PGresult *result, char out[ID_SIZE])
{
    copy_id(result, SHOWN_ID, out);
}

void template_store_removed_id(const PGresult *result, char out[ID_SIZE])
{
    copy_id(result, REMOVED_ID, out);
}

struct view template_store_removed_image(const PGresult *result)
{
    return text(result, 0, REMOVED_IMAGE);
}

const char *template_store_image_id(const PGresult *result, int row)
{
    return pg_text(result, row, IMAGE_ID);
}

bool template_store_image_is_gone(const PGresult *result, int row)
{
    return pg_bool(result, row, IMAGE_IS_GONE);
}
