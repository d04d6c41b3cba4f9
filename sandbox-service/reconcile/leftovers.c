#include "sandbox-service/reconcile/leftovers.h"

#include "common/base/log.h"
#include "common/redis/redis.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/reconcile/store.h"
#include "sandbox-service/sandbox/sandboxes.h"

#include <stdlib.h>

enum {
    KEYS_EACH = 2, /* of a sandbox */
    BATCH = 7,     /* sandboxes of one command, which has 16 words at most */
    REDIS_TIMEOUT_MS = 5000,
    MOMENT_SIZE = 64,
};

struct leftovers {
    struct sandboxes *sandboxes; /* borrowed */
    struct bulk_store *store;    /* borrowed */
    char since[MOMENT_SIZE];     /* until when all is well; "": nothing is known */
    char next[MOMENT_SIZE];      /* it becomes that when every command succeeds */
    size_t commands;             /* under way */
    int64_t removed;
    bool is_under_way;
    bool has_failed;
};

struct leftovers *leftovers_new(struct sandboxes *sandboxes, struct bulk_store *store,
                                struct err *err)
{
    struct leftovers *leftovers = calloc(1, sizeof *leftovers);
    if (leftovers == NULL) {
        err_set(err, ERR_INTERNAL, "leftovers: out of memory");
        return NULL;
    }
    leftovers->sandboxes = sandboxes;
    leftovers->store = store;
    return leftovers;
}

void leftovers_free(struct leftovers *leftovers)
{
    if (leftovers != NULL) {
        redis_cancel(leftovers->sandboxes->redis, leftovers);
        free(leftovers);
    }
}

static void note_failure(struct leftovers *leftovers, const struct err *err)
{
    leftovers->has_failed = true; /* the next look has the same before it */
    log_info("reconcile.leftovers_stay", LOG_ERR(err));
}

static void finish(struct leftovers *leftovers)
{
    if (!leftovers->has_failed) {
        memcpy(leftovers->since, leftovers->next, sizeof leftovers->since);
    }
    if (leftovers->removed > 0) {
        log_info("reconcile.keys_removed", LOG_INT("count", leftovers->removed));
    }
    leftovers->is_under_way = false;
}

static void on_deleted(const redisReply *reply, const struct err *err, void *arg)
{
    struct leftovers *leftovers = arg;
    if (err != NULL) {
        note_failure(leftovers, err);
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        leftovers->removed += reply->integer;
    }
    leftovers->commands--;
    if (leftovers->commands == 0) {
        finish(leftovers);
    }
}

/* Rows from first on, BATCH of them at most. */
static void delete_keys(struct leftovers *leftovers, const PGresult *result, int first)
{
    struct err err = {0};
    char keys[BATCH * KEYS_EACH][SANDBOX_KEY_SIZE];
    struct view words[1 + BATCH * KEYS_EACH] = {VIEW("DEL")};
    size_t count = 1;
    for (int row = first; row < pg_rows(result) && row < first + BATCH; row++) {
        char id[ID_SIZE];
        if (id_parse(view_of(bulk_store_read_id(result, row)), id)) {
            sandboxes_location_key(leftovers->sandboxes, id, keys[count - 1]);
            sandboxes_ports_key(leftovers->sandboxes, id, keys[count]);
            words[count] = view_of(keys[count - 1]);
            words[count + 1] = view_of(keys[count]);
            count += KEYS_EACH;
        }
    }
    if (count == 1) {
        return;
    }
    if (redis_send(leftovers->sandboxes->redis, words, count, REDIS_TIMEOUT_MS, on_deleted,
                   leftovers, &err)) {
        leftovers->commands++;
    } else {
        note_failure(leftovers, &err);
    }
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    struct leftovers *leftovers = arg;
    if (err != NULL) {
        note_failure(leftovers, err);
        finish(leftovers);
        return;
    }
    if (!view_copy(view_of(bulk_store_read_moment(result)), leftovers->next, MOMENT_SIZE)) {
        leftovers->has_failed = true; /* no moment is so long */
        finish(leftovers);
        return;
    }
    for (int row = 0; row < pg_rows(result); row += BATCH) {
        delete_keys(leftovers, result, row);
    }
    if (leftovers->commands == 0) {
        finish(leftovers);
    }
}

static void on_freed(const PGresult *result, const struct err *err, void *arg)
{
    struct leftovers *leftovers = arg;
    struct err failure = {0};
    for (int row = 0; err == NULL && row < pg_rows(result); row++) {
        char id[ID_SIZE];
        if (id_parse(view_of(bulk_store_read_id(result, row)), id)) {
            log_warn("reconcile.ports_freed", LOG_STR("sandbox_id", id));
            ports_forget(leftovers->sandboxes->ports, id);
            sandboxes_publish(leftovers->sandboxes, id);
        }
    }
    const char *since = leftovers->since[0] == '\0' ? NULL : leftovers->since;
    if (err != NULL || !bulk_store_ended(leftovers->store, since, on_ended, leftovers, &failure)) {
        note_failure(leftovers, err != NULL ? err : &failure);
        finish(leftovers);
    }
}

void leftovers_look(struct leftovers *leftovers)
{
    struct err err = {0};
    if (leftovers->is_under_way) {
        return;
    }
    leftovers->removed = 0;
    leftovers->has_failed = false;
    leftovers->is_under_way = bulk_store_free_ports(leftovers->store, on_freed, leftovers, &err);
}
