#include "sandbox-service/agent/reply.h"

#include "common/base/log.h"
#include "common/contracts/agent.h"

struct json_writer reply_begin(const struct reply *reply, struct str *out, const char *type)
{
    *out = STR_INIT(AGENT_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string_or_null(&writer, "id", reply->id);
    json_string(&writer, "type", view_of(type));
    return writer;
}

bool reply_end_if_fits(const struct reply *reply, struct json_writer *writer)
{
    struct err ignored;
    json_end_object(writer);
    bool fits = str_check(writer->out, "answer", &ignored);
    if (fits) {
        reply->send(reply->arg, reply->epoch, str_view(writer->out));
    }
    str_free(writer->out);
    return fits;
}

void reply_end(const struct reply *reply, struct json_writer *writer)
{
    if (!reply_end_if_fits(reply, writer)) {
        log_error("reply.lost");
    }
}

void reply_refuse(const struct reply *reply, const char *code, struct view sentence)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "error");
    json_string(&writer, "error", sentence);
    json_string(&writer, "code", view_of(code));
    reply_end(reply, &writer);
}

void reply_error(const struct reply *reply, const struct err *err)
{
    if (err_message_is_public(err->code)) {
        reply_refuse(reply, err->reason, view_of(err->message));
        return;
    }
    log_error("request.failed", LOG_ERR(err));
    reply_refuse(reply, err->reason, VIEW("the sandbox could not do this"));
}
