#include "auth-service/idempotency/calls.h"

#include "auth-service/call.h"
#include "auth-service/idempotency/keeper.h"
#include "common/contracts/auth.h"

struct claim_call {
    struct call call;
    struct idempotency_claim body;
};
struct finish_call {
    struct call call;
    struct idempotency_finish body;
};
struct release_call {
    struct call call;
    struct idempotency_release body;
};

static void on_claimed(const struct idempotency_claimed *claimed, const struct err *err, void *arg)
{
    struct claim_call *claim = arg;
    if (err != NULL) {
        call_fail(&claim->call, err);
    } else {
        call_succeed(&claim->call, &idempotency_claimed_schema, claimed);
    }
}

static void on_ended(const struct err *err, void *arg)
{
    struct call *call = arg;
    if (err != NULL) {
        call_fail(call, err);
    } else {
        call_succeed(call, &empty_schema, NULL);
    }
}

void idempotency_call_claim(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct claim_call, &idempotency_claim_schema);
    struct err err = {0};
    struct claim_call *claim = call_begin(arg, exchange, request, &shape);
    if (claim != NULL &&
        !idempotency_claim(claim->call.service->parts.idempotency, &claim->body,
                           call_timeout_ms(&claim->call), on_claimed, claim, &err)) {
        call_fail(&claim->call, &err);
    }
}

void idempotency_call_renew(struct ipc_exchange *exchange, const struct ipc_request *request,
                            void *arg)
{
    static const struct call_shape shape = CALL_SHAPE(struct claim_call, &idempotency_claim_schema);
    struct err err = {0};
    struct claim_call *claim = call_begin(arg, exchange, request, &shape);
    if (claim != NULL &&
        !idempotency_renew(claim->call.service->parts.idempotency, &claim->body,
                           call_timeout_ms(&claim->call), on_ended, &claim->call, &err)) {
        call_fail(&claim->call, &err);
    }
}

void idempotency_call_finish(struct ipc_exchange *exchange, const struct ipc_request *request,
                             void *arg)
{
    static const struct call_shape shape =
        CALL_SHAPE(struct finish_call, &idempotency_finish_schema);
    struct err err = {0};
    struct finish_call *finish = call_begin(arg, exchange, request, &shape);
    if (finish != NULL &&
        !idempotency_finish(finish->call.service->parts.idempotency, &finish->body,
                            call_timeout_ms(&finish->call), on_ended, &finish->call, &err)) {
        call_fail(&finish->call, &err);
    }
}

void idempotency_call_release(struct ipc_exchange *exchange, const struct ipc_request *request,
                              void *arg)
{
    static const struct call_shape shape =
        CALL_SHAPE(struct release_call, &idempotency_release_schema);
    struct err err = {0};
    struct release_call *release = call_begin(arg, exchange, request, &shape);
    if (release != NULL &&
        !idempotency_release(release->call.service->parts.idempotency, &release->body,
                             call_timeout_ms(&release->call), on_ended, &release->call, &err)) {
        call_fail(&release->call, &err);
    }
}
