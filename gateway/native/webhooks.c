/* POST /webhooks/clerk: goes to the auth-service as it came, byte for byte: what was signed is the
 * bytes. */
#include "common/base/encode.h"
#include "common/contracts/auth.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <stdlib.h>

enum { TIMEOUT_MS = 10 * 1000 }; /* the sender gives up after 15 s */

static void free_text(char **text)
{
    free(*text);
}

void webhooks_clerk_handle(struct request *request)
{
    const struct http_exchange *exchange = request->exchange;
    AUTO(free_text) char *text = malloc(ENCODE_BASE64_SIZE(request->body.len));
    if (text == NULL) {
        struct err err = {0};
        err_set(&err, ERR_INTERNAL, "webhook: out of memory");
        request_fail(request, &err);
        return;
    }
    size_t len = encode_base64(ENCODE_BASE64, request->body.ptr, request->body.len, text);
    const struct auth_webhook message = {
        .id = http_exchange_header(exchange, "svix-id"),
        .timestamp = http_exchange_header(exchange, "svix-timestamp"),
        .signature = http_exchange_header(exchange, "svix-signature"),
        .body_base64 = {text, len},
    };
    const struct service_question question = {
        .service = request->gateway->auth_service,
        .method = AUTH_WEBHOOK,
        .timeout_ms = TIMEOUT_MS,
        .repeatable = true, /* each has its effect once */
        .schema = &auth_webhook_schema,
        .message = &message,
    };
    service_ask(request, &question, service_on_done);
}
