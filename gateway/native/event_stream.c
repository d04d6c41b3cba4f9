#include "gateway/native/event_stream.h"

#include "gateway/http/syntax.h"

static const struct {
    const char *type;
    const char *ping;
} formats[] = {
    [EVENTS_SSE] = {"text/event-stream", ": ping\n\n"},
    [EVENTS_NDJSON] = {"application/x-ndjson", "{\"type\":\"ping\"}\n"},
};

bool events_accepted(struct view accept, enum event_format *out)
{
    struct view item;
    while (syntax_next_item(&accept, &item)) {
        struct view type = syntax_trim(view_cut(&item, ';'));
        if (view_equal_nocase(type, VIEW("application/json"))) {
            return false;
        }
        for (enum event_format format = EVENTS_SSE; format <= EVENTS_NDJSON; format++) {
            if (view_equal_nocase(type, view_of(formats[format].type))) {
                *out = format;
                return true;
            }
        }
    }
    return false;
}

struct json_writer event_begin(enum event_format format, struct str *out, const char *type,
                               const char *id)
{
    if (format == EVENTS_SSE) {
        str_append_view(out, VIEW("event: "));
        str_append_string(out, type);
        if (id != NULL) {
            str_append_view(out, VIEW("\nid: "));
            str_append_string(out, id);
        }
        str_append_view(out, VIEW("\ndata: "));
    }
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", view_of(type));
    return writer;
}

void event_end(enum event_format format, struct str *out, struct json_writer *writer)
{
    json_end_object(writer);
    str_append_view(out, format == EVENTS_SSE ? VIEW("\n\n") : VIEW("\n"));
}

void event_write(enum event_format format, struct str *out, struct view type, const char *id,
                 struct view object)
{
    if (format == EVENTS_SSE) {
        str_append_view(out, VIEW("event: "));
        str_append_view(out, type);
        str_append_view(out, VIEW("\nid: "));
        str_append_string(out, id);
        str_append_view(out, VIEW("\ndata: "));
    }
    str_append_view(out, object);
    str_append_view(out, format == EVENTS_SSE ? VIEW("\n\n") : VIEW("\n"));
}

bool events_begin_answer(struct request *request, enum event_format format,
                         void (*on_drained)(void *arg))
{
    /* For proxies that would collect the answer first. */
    static const struct http_header headers[] = {{VIEW("X-Accel-Buffering"), VIEW("no")}};
    const struct http_response response = {
        .status = 200,
        .content_type = formats[format].type,
        .no_store = true,
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
    };
    request_begin_answer(request, &response, HTTP_LENGTH_UNKNOWN, on_drained);
    if (http_exchange_head(request->exchange)->method == HTTP_HEAD) {
        request_end_answer(request);
        return false;
    }
    return true;
}

void events_send_ping(struct request *request, enum event_format format)
{
    (void)request_send(request, view_of(formats[format].ping));
}
