/* The network of a sandbox: GET and PUT network. The sandbox-service changes it. */
#include "common/contracts/network.h"

#include "common/json/write.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    GET_TIMEOUT_MS = 30 * 1000,
    SET_TIMEOUT_MS = 90 * 1000, /* two statements, the engine twice or three times, the kernel */
    ANSWER_MAX = 128 * 1024,
};

struct network_body {
    struct view network;
    struct json_strings allow;
};
static const struct json_field body_fields[] = {
    JSON_STRING(struct network_body, network, "network", .required = true, .one_of = network_modes),
    JSON_STRINGS(struct network_body, allow, "allow", .max_len = NETWORK_ALLOW_MAX,
                 .item_max = NETWORK_ALLOW_ITEM_MAX, .nullable = true),
};

static bool write_denial(struct json_writer *json, struct view text, struct err *err)
{
    struct network_denial denial;
    if (!network_denial_read(text, &denial, err)) {
        return err_set(err, ERR_INTERNAL, "the sandbox-service's denials can't be read");
    }
    json_begin_object(json, NULL);
    json_string(json, "kind", denial.kind);
    json_view_or_null(json, "target", denial.target);
    json_int(json, "attempts", denial.attempts);
    json_string(json, "lastAt", denial.last_at);
    json_end_object(json);
    return true;
}

static bool write_network(const struct request *request, const struct network_answer *answer,
                          struct str *out, struct err *err)
{
    struct json_writer json = json_writer_on(out);
    bool ok = true;
    json_begin_object(&json, NULL);
    json_string(&json, "sandboxId", view_of(request->id));
    json_string(&json, "network", answer->network);
    json_begin_array(&json, "allow");
    for (size_t i = 0; i < answer->allow.count; i++) {
        json_string(&json, NULL, answer->allow.items[i]);
    }
    json_end_array(&json);
    json_begin_array(&json, "denied");
    for (size_t i = 0; ok && i < answer->denials.count; i++) {
        ok = write_denial(&json, answer->denials.items[i], err);
    }
    json_end_array(&json);
    json_end_object(&json);
    return ok;
}

static void on_network(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct network_answer answer;
    struct err failure = {0};
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &network_answer_schema, &answer);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    if (write_network(request, &answer, &out, &failure) && str_check(&out, "answer", &failure)) {
        const struct http_response response = {
            .status = 200, .body = str_view(&out), .no_store = true};
        request_respond(request, &response);
    } else {
        request_fail(request, &failure);
    }
}

void sandbox_network_get_handle(struct request *request)
{
    struct network_get message = {0};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = NETWORK_GET,
        .timeout_ms = GET_TIMEOUT_MS,
        .repeatable = true,
        .schema = &network_get_schema,
        .message = &message,
    };
    service_ask(request, &question, on_network);
}

void sandbox_network_set_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct network_body wanted = {0};
    const struct json_schema schema = JSON_SCHEMA(body_fields, .refuse_unknown = true);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &wanted, &violations, &err);
    if (doc == NULL) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    struct network_set message = {.network = wanted.network, .allow = wanted.allow};
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    const struct service_question question = {
        .service = request->gateway->sandbox_service,
        .method = NETWORK_SET,
        .timeout_ms = SET_TIMEOUT_MS,
        .schema = &network_set_schema,
        .message = &message,
    };
    service_ask(request, &question, on_network);
}
