#include "auth-service/api_keys/last_used.h"

#include "auth-service/api_keys/store.h"
#include "common/base/log.h"

#include <stdlib.h>

enum {
    BATCH_MAX = 256, /* ids in one statement */
    BATCH_DELAY_MS = 1000,
    WRITE_TIMEOUT_MS = 5000,
};

struct last_used {
    struct pg_pool *pg; /* borrowed */
    struct timer timer;
    bool writing;
    size_t count;
    char ids[BATCH_MAX][ID_SIZE];
};

static void on_written(const PGresult *result, const struct err *err, void *arg)
{
    struct last_used *last_used = arg;
    (void)result;
    last_used->writing = false;
    if (err != NULL) {
        log_warn("api_key.last_used_not_written", LOG_ERR(err));
    }
    if (last_used->count > 0) {
        timer_arm(&last_used->timer, BATCH_DELAY_MS);
    }
}

static void on_timer(void *arg)
{
    struct last_used *last_used = arg;
    struct str ids = STR_INIT(sizeof last_used->ids);
    struct err err;
    for (size_t i = 0; i < last_used->count; i++) {
        str_append_char(&ids, i == 0 ? '{' : ',');
        str_append_string(&ids, last_used->ids[i]);
    }
    str_append_char(&ids, '}');
    last_used->count = 0;
    last_used->writing =
        str_check(&ids, "ids of used keys", &err) &&
        api_key_mark_used(last_used->pg, ids.data, WRITE_TIMEOUT_MS, on_written, last_used, &err);
    if (!last_used->writing) {
        log_warn("api_key.last_used_not_written", LOG_ERR(&err));
    }
    str_free(&ids);
}

struct last_used *last_used_open(struct loop *loop, struct pg_pool *pg, struct err *err)
{
    struct last_used *last_used = calloc(1, sizeof *last_used);
    if (last_used == NULL) {
        err_set(err, ERR_INTERNAL, "last use of keys: out of memory");
        return NULL;
    }
    last_used->pg = pg;
    if (!timer_open(&last_used->timer, loop, on_timer, last_used, err)) {
        free(last_used);
        return NULL;
    }
    return last_used;
}

void last_used_close(struct last_used *last_used)
{
    if (last_used == NULL) {
        return;
    }
    timer_close(&last_used->timer);
    free(last_used);
}

static bool is_noted(const struct last_used *last_used, const char key_id[ID_SIZE])
{
    for (size_t i = 0; i < last_used->count; i++) {
        if (memcmp(last_used->ids[i], key_id, ID_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

void last_used_note(struct last_used *last_used, const char key_id[ID_SIZE])
{
    if (last_used->count == BATCH_MAX || is_noted(last_used, key_id)) {
        return;
    }
    memcpy(last_used->ids[last_used->count++], key_id, ID_SIZE);
    if (!last_used->writing && !timer_is_armed(&last_used->timer)) {
        timer_arm(&last_used->timer, BATCH_DELAY_MS);
    }
}
