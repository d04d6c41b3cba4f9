/* sandbox-service/templates/store.h: templates in PostgreSQL. */
#ifndef SANDBOX_TEMPLATES_STORE_H
#define SANDBOX_TEMPLATES_STORE_H

#include "common/contracts/templates.h"
#include "common/db/pg.h"

struct template_store;

struct template_store_options {
    const char *url;
    const char *instance; /* borrowed for the store's life, as node */
    const char *node;
    const char *limits; /* borrowed; tiers_write */
    int64_t most;       /* templates of one user */
};

struct template_store *template_store_open(struct loop *loop,
                                           const struct template_store_options *options,
                                           struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool template_store_fail_all(struct template_store *store);
/* After template_store_fail_all; NULL is fine. */
void template_store_close(struct template_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

/* One row: template_store_shown, template_store_status, template_store_reference,
 * template_store_is_here. Errors as those of TEMPLATE_CREATE. */
bool template_store_begin(struct template_store *store, const struct template_create *create,
                          const char *image, pg_result_fn *done, void *arg,
                          struct err *err) MUST_CHECK;

/* One row: as before, and template_store_id, _failure and _log; none: there is no such template. */
bool template_store_get(struct template_store *store, const char user_id[ID_SIZE],
                        struct view template_name, pg_result_fn *done, void *arg,
                        struct err *err) MUST_CHECK;

/* A row for each: template_store_shown. */
bool template_store_list(struct template_store *store, const struct template_list *list,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* One row: template_store_removed_id, _removed_image. Errors as those of TEMPLATE_DELETE. */
bool template_store_remove(struct template_store *store, const char user_id[ID_SIZE],
                           struct view template_name, pg_result_fn *done, void *arg,
                           struct err *err) MUST_CHECK;

/* One row: template_store_moved; false: it was not waiting. */
bool template_store_take_up(struct template_store *store, const char id[ID_SIZE],
                            const char user_id[ID_SIZE], pg_result_fn *done, void *arg,
                            struct err *err) MUST_CHECK;

/* One row: template_store_moved; false: its row is gone, or is not being made any more. failure
 * NULL: the image is there. */
struct template_end {
    const char *id;
    const char *failure;
    int64_t size_bytes;
    struct view log; /* UTF-8 without NUL */
};
bool template_store_made(struct template_store *store, const struct template_end *end,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* A snapshot or fork would add so much to the disk: no error when its user has room for that, and
 * then it counts. ERR_NOT_FOUND "template_not_found"; ERR_LIMIT "snapshot_quota_exceeded", of a
 * fork "quota_exceeded". For pg_query_cancel; NULL: done does not come. */
struct pg_query *template_store_weigh(struct template_store *store, const char *id,
                                      int64_t own_bytes, pg_result_fn *done, void *arg,
                                      struct err *err) MUST_CHECK;
/* Forks of this node without copies, made so many seconds ago, are gone: a row for each, for
 * template_store_image_id. */
bool template_store_drop_forks(struct template_store *store, int64_t grace_s, pg_result_fn *done,
                               void *arg, struct err *err) MUST_CHECK;

/* What an earlier process of this node left half done has failed. */
bool template_store_interrupt(struct template_store *store, pg_result_fn *done, void *arg,
                              struct err *err) MUST_CHECK;

/* Of the templates whose images are there ("{<id>,...}"), by id, a row for each that this node has
 * or had: template_store_image_id, template_store_image_is_gone. */
bool template_store_images(struct template_store *store, const char *there, pg_result_fn *done,
                           void *arg, struct err *err) MUST_CHECK;
/* Of those that it had no others are needed. */
bool template_store_forget_images(struct template_store *store, const char *there,
                                  pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

struct view template_store_shown(const PGresult *result, int row);
struct view template_store_status(const PGresult *result);
struct view template_store_reference(const PGresult *result);
bool template_store_is_here(const PGresult *result); /* else another node makes it */
struct view template_store_failure(const PGresult *result);
struct view template_store_log(const PGresult *result);
bool template_store_moved(const PGresult *result);
void template_store_id(const PGresult *result, char out[ID_SIZE]);
void template_store_removed_id(const PGresult *result, char out[ID_SIZE]);
struct view template_store_removed_image(const PGresult *result);
const char *template_store_image_id(const PGresult *result, int row);
bool template_store_image_is_gone(const PGresult *result, int row);

#endif
