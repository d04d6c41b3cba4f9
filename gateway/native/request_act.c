/* Who is behind a request, and what it does, for the audit trail. */
#include "gateway/audit/recorder.h"
#include "gateway/http/address.h"
#include "gateway/native/request.h"
#include "gateway/native/routes.h"

/* From the client's own words and connection: both are gone when it leaves. */
void request_note_origin(struct request *request)
{
    struct actor *actor = &request->actor;
    const struct http_exchange *exchange = request->exchange;
    const struct address *client = http_exchange_client(exchange);
    if (client != NULL) {
        address_format(client, actor->address);
    }
    actor_text_set(actor->user_agent, sizeof actor->user_agent,
                   http_exchange_header(exchange, "User-Agent"));
}

const struct actor *request_actor(struct request *request)
{
    struct actor *actor = &request->actor;
    const struct caller *caller = &request->caller;
    memcpy(actor->user_id, caller->user_id, sizeof actor->user_id);
    memcpy(actor->api_key_id, caller->api_key_id, sizeof actor->api_key_id);
    actor_text_set(actor->impersonator, sizeof actor->impersonator, view_of(caller->impersonator));
    return actor;
}

bool request_record(struct request *request, enum audit_action action, struct err *err)
{
    request->act = recorder_begin(request->gateway->recorder, action, request_actor(request),
                                  &request->trace, request->id, err);
    return request->act != NULL;
}

bool request_record_data(struct request *request, struct err *err)
{
    unsigned needs = request->route->needs;
    enum audit_action action = (needs & ROUTE_COMMAND) != 0 ? AUDIT_EXEC : AUDIT_FILE_WRITTEN;
    return (needs & (ROUTE_COMMAND | ROUTE_WRITE)) == 0 ||
           !recorder_wants(request->gateway->recorder, action) ||
           request_record(request, action, err);
}

void request_add_detail(struct request *request, const char *name, struct view value)
{
    if (request->act != NULL) {
        audit_record_add_detail(audit_act_record(request->act), name, value);
    }
}

void request_end_act(struct request *request, const struct err *err)
{
    recorder_end(TAKE(request->act), err);
}

void request_end_act_unknown(struct request *request, const char *reason)
{
    recorder_end_unknown(TAKE(request->act), reason);
}
