#include "auth-service/audit/append.h"

#include "auth-service/call.h"
#include "common/audit/store.h"
#include "common/contracts/audit.h"

#include <stdlib.h>

struct append_call {
    struct call call;
    struct audit_append body;
};

/* A batch while its statement is made. */
struct batch {
    struct audit_item_read records[AUDIT_APPEND_RECORDS_MAX];
    struct audit_item items[AUDIT_APPEND_RECORDS_MAX];
};

static void on_stored(const PGresult *result, const struct err *err, void *arg)
{
    struct append_call *append = arg;
    (void)result;
    if (err != NULL) {
        call_fail(&append->call, err);
    } else {
        call_succeed(&append->call, &empty_schema, NULL);
    }
}

static bool read_batch(const struct json_strings *records, struct batch *out, struct err *err)
{
    for (size_t i = 0; i < records->count; i++) {
        struct audit_item_read *read = &out->records[i];
        if (!audit_item_read(records->items[i], read, err)) {
            return false;
        }
        out->items[i] = (struct audit_item){&read->record, read->salt, read->age_ms};
    }
    return true;
}

static bool store(struct append_call *append, struct batch *batch, struct err *err)
{
    const struct audit_append *body = &append->body;
    char service[AUDIT_SERVICE_NAME_MAX + 1];
    if (!view_copy(body->service, service, sizeof service)) {
        return err_set(err, ERR_INVALID, "the name of a service has a NUL");
    }
    return read_batch(&body->records, batch, err) &&
           audit_store_insert(append->call.service->parts.pg, service, batch->items,
                              body->records.count, call_timeout_ms(&append->call), on_stored,
                              append, err);
}

void audit_call_append(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct append_call, &audit_append_schema);
    struct err err = {0};
    struct append_call *append = call_begin(arg, exchange, request, &shape);
    if (append == NULL) {
        return;
    }
    struct batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        err_set(&err, ERR_UNAVAILABLE, "audit: out of memory");
        call_fail(&append->call, &err);
        return;
    }
    if (!store(append, batch, &err)) {
        call_fail(&append->call, &err);
    }
    free(batch);
}
