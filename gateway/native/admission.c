#include "gateway/native/admission.h"

#include "gateway/config.h"
#include "gateway/limits/answer.h"
#include "gateway/native/routes.h"

static bool is_free(const struct request *request)
{
    return request->gateway->limits == NULL || http_exchange_is_exempt(request->exchange);
}

static void tell(struct request *request, const struct limit_verdict *verdict)
{
    struct limit_headers headers;
    limit_headers_write(verdict, &headers);
    http_exchange_add_headers(request->exchange, headers.headers, LIMIT_HEADERS);
}

static void refuse(struct request *request, enum limit_answer answer,
                   const struct limit_verdict *verdict)
{
    struct err err = {0};
    (void)limit_error(answer, verdict, &err);
    if (answer == LIMIT_REFUSED) {
        tell(request, verdict);
        request_fail_later(request, &err, limit_retry_after_s(verdict));
    } else {
        request_fail(request, &err);
    }
}

static void go_on(struct request *request)
{
    struct err err = {0};
    if (request->next == NULL) {
        request_fail(request, &request->refusal);
    } else if (request->is_revoked) { /* while it waited */
        request_error_revoked(request, &err);
        request_fail(request, &err);
    } else {
        request->next(request);
    }
}

static void decide(struct request *request, enum limit_answer answer,
                   const struct limit_verdict *verdict)
{
    if (answer != LIMIT_ADMITTED) {
        refuse(request, answer, verdict);
        return;
    }
    tell(request, verdict);
    go_on(request);
}

static void on_decided(enum limit_answer answer, const struct limit_verdict *verdict, void *arg)
{
    struct request *request = arg;
    request->limit_wait = NULL;
    decide(request, answer, verdict);
}

static void take(struct request *request, const struct limit_request *costs)
{
    struct limit_verdict verdict = {0};
    enum limit_answer answer = limits_take(request->gateway->limits, costs, &verdict,
                                           &request->limit_wait, on_decided, request);
    if (answer != LIMIT_WAITS) {
        decide(request, answer, &verdict);
    }
}

static void address_costs(const struct request *request, enum limit_kind kind,
                          struct limit_request *costs)
{
    limit_request_of_address(&request->gateway->config->limit_policy, kind,
                             http_exchange_client(request->exchange), costs);
}

static void caller_costs(const struct request *request, struct limit_request *costs)
{
    const struct limit_caller caller = {.tier = view_of(request->caller.tier),
                                        .user_id = request->caller.user_id,
                                        .key_limits = &request->caller.key_limits};
    limit_request_of_caller(&request->gateway->config->limit_policy, &caller, costs);
}

struct limits *admission_of_messages(const struct request *request, struct limit_request *costs)
{
    if (is_free(request)) {
        return NULL;
    }
    caller_costs(request, costs);
    return request->gateway->limits;
}

void admission_of_caller(struct request *request, request_handler_fn *next)
{
    struct limit_request costs;
    if (request->is_counted || is_free(request)) {
        next(request);
        return;
    }
    caller_costs(request, &costs);
    costs.fails_closed = (request->route->needs & ROUTE_COUNTED) != 0;
    request->is_counted = true;
    request->next = next;
    take(request, &costs);
}

void admission_of_address(struct request *request, enum limit_kind kind, request_handler_fn *next)
{
    struct limit_request costs;
    if (is_free(request)) {
        next(request);
        return;
    }
    address_costs(request, kind, &costs);
    request->next = next;
    take(request, &costs);
}

void admission_fail(struct request *request, const struct err *err)
{
    struct limit_request costs;
    if (request->is_counted || is_free(request)) {
        request_fail(request, err);
        return;
    }
    address_costs(request, LIMIT_ADDRESS, &costs);
    request->next = NULL;
    request->refusal = *err;
    take(request, &costs);
}

bool admission_refuses_address(struct request *request)
{
    struct limit_request costs;
    struct limit_verdict verdict;
    if (is_free(request)) {
        return false;
    }
    address_costs(request, LIMIT_ADDRESS, &costs);
    if (!limits_are_used_up(request->gateway->limits, &costs, &verdict)) {
        return false;
    }
    refuse(request, LIMIT_REFUSED, &verdict);
    return true;
}
