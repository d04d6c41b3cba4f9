#include "sandbox-service/events/event.h"

#include "common/db/pg.h"

static const char *text(const struct event_row *event, enum event_column column)
{
    return pg_text(event->result, event->row, event->first + (int)column);
}

static void write_actor(const struct event_row *event, struct json_writer *writer)
{
    const char *kind = text(event, EVENT_ACTOR);
    bool is_user = strcmp(kind, "user") == 0;
    json_begin_object(writer, "actor");
    json_string(writer, "kind", view_of(kind));
    json_string_or_null(writer, "userId", is_user ? text(event, EVENT_ACTOR_USER) : "");
    json_string_or_null(writer, "apiKeyId", is_user ? text(event, EVENT_ACTOR_KEY) : "");
    json_end_object(writer);
}

void event_write_members(const struct event_row *event, struct json_writer *writer)
{
    json_string(writer, "id", view_of(text(event, EVENT_SEQ)));
    json_string(writer, "at", view_of(text(event, EVENT_AT)));
    json_string(writer, "sandboxId", view_of(text(event, EVENT_SANDBOX_ID)));
    json_string(writer, "status", view_of(text(event, EVENT_STATUS)));
    json_string_or_null(writer, "previousStatus", text(event, EVENT_PREVIOUS));
    json_string_or_null(writer, "cause", text(event, EVENT_CAUSE));
    write_actor(event, writer);
    if (text(event, EVENT_DETAIL)[0] != '\0') {
        json_raw(writer, "detail", view_of(text(event, EVENT_DETAIL)));
    }
}

void event_text_write(const struct event_row *event, struct str *out)
{
    str_appendf(out, "%s %s ", text(event, EVENT_SEQ), text(event, EVENT_TYPE));
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", view_of(text(event, EVENT_TYPE)));
    event_write_members(event, &writer);
    json_end_object(&writer);
}

void event_payload_write(const struct event_row *event, struct str *out)
{
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", view_of(text(event, EVENT_TYPE)));
    json_string(&writer, "timestamp", view_of(text(event, EVENT_AT)));
    json_begin_object(&writer, "data");
    event_write_members(event, &writer);
    json_end_object(&writer);
    json_end_object(&writer);
}
