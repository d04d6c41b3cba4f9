#include "sandbox-service/network/flush.h"

#include "common/base/clock.h"
#include "common/base/log.h"

#include <stdlib.h>

struct flush {
    struct network_store *store; /* borrowed */
    struct egress_call call;
    struct denials denials;
    char sandbox_id[ID_SIZE];
    flush_done_fn *done;
    void *arg;
};

static void finish(struct flush *flush, const struct err *err)
{
    if (err != NULL) {
        log_warn("network.denials_lost", LOG_STR("sandbox_id", flush->sandbox_id), LOG_ERR(err));
    }
    if (flush->done != NULL) {
        flush->done(flush->arg);
    }
    free(flush);
}

static void on_written(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    finish(arg, err);
}

static void on_listed(const struct err *err, void *arg)
{
    struct flush *flush = arg;
    struct err failure = {0};
    AUTO(str_free) struct str text = STR_INIT(DENIALS_TEXT_MAX);
    /* A table that somebody took away has no attempts to tell; names there may be. */
    struct view listing = err == NULL ? str_view(&flush->call.output) : VIEW("");
    bool is_told = denials_write(&flush->denials, listing, &text, &failure);
    if (is_told && strcmp(text.data, "[]") == 0) {
        finish(flush, NULL);
    } else if (!is_told || !network_store_denied(flush->store, flush->sandbox_id, text.data,
                                                 on_written, flush, &failure)) {
        finish(flush, &failure);
    }
}

bool flush_begin(struct egress *egress, struct network_store *store, struct egress_box *box,
                 flush_done_fn *done, void *arg, struct err *err)
{
    struct flush *flush = calloc(1, sizeof *flush);
    if (flush == NULL) {
        return err_set(err, ERR_INTERNAL, "denied attempts: out of memory");
    }
    *flush = (struct flush){.store = store, .denials = box->denials, .done = done, .arg = arg};
    memcpy(flush->sandbox_id, box->sandbox_id, ID_SIZE);
    if (!egress_take_attempts(egress, &flush->call, box, on_listed, flush, err)) {
        free(flush);
        return false;
    }
    denials_clear(&box->denials);
    box->flushed_ms = clock_monotonic_ms();
    return true;
}
