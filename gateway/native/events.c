/* GET /sandbox/{id}/events and /api/events: what happens to a sandbox, or to all of the caller's,
 * as a stream of events, or a page of them where plain JSON is asked for. The number of an event is
 * what a client resumes behind (Last-Event-ID, or ?after=); nothing is missed and nothing comes
 * twice, whichever gateway is asked. Without one a sandbox's stream begins with its creation, and
 * that of all sandboxes now. The stream of a sandbox ends behind its end; a client that resumes it
 * then gets 204, at which an EventSource gives up. */
#include "common/contracts/events.h"
#include "common/base/log.h"
#include "gateway/http/syntax.h"
#include "gateway/native/event_readers.h"
#include "gateway/native/event_stream.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CALL_TIMEOUT_MS = 15 * 1000,
    LOOK_EVERY_MS = 5000,       /* while nobody tells of news */
    LOOK_TOLD_EVERY_MS = 10000, /* while somebody does, whose word may be lost */
    LOOK_AGAIN_MS = 1000,       /* behind a call that failed */
    STREAM_PAGE = 50,           /* events of one call */
    PAGE_DEFAULT = 50,
    EVENT_OUT_MAX = EVENT_TEXT_MAX + 256,
    PAGE_ANSWER_MAX = 1024 * 1024,
    NUMBER_SIZE = 24,
};

static const int64_t number_max = INT64_C(1) << 53;

struct event_tail {
    struct request *request; /* which this is the work of */
    struct event_reader reader;
    enum event_format format;
    struct event_list question;
    struct timer ping;
    struct timer look;
    bool is_resumed; /* the client said where */
    bool is_begun;
    bool is_held;  /* the client has enough for now */
    bool has_news; /* while it was held, or a call under way */
};

static void end_tail(void *work)
{
    struct event_tail *tail = work;
    list_remove(&tail->reader.node);
    timer_close(&tail->ping);
    timer_close(&tail->look);
}

static void on_page(const struct view *body, const struct err *err, void *arg);

static struct service_question question_of(const struct request *request,
                                           const struct event_list *message)
{
    return (struct service_question){.service = request->gateway->sandbox_service,
                                     .method = EVENT_LIST,
                                     .timeout_ms = CALL_TIMEOUT_MS,
                                     .repeatable = true,
                                     .schema = &event_list_schema,
                                     .message = message};
}

/* Asks for what is behind the last event, now or when there is room for it. */
static void go_on(struct event_tail *tail)
{
    struct err err = {0};
    struct request *request = tail->request;
    tail->has_news = tail->is_held || request->ipc_call != NULL;
    if (tail->has_news) {
        return;
    }
    const struct service_question question = question_of(request, &tail->question);
    if (!service_begin(request, &question, on_page, &err)) {
        log_debug("events.not_asked", LOG_TRACE(&request->trace), LOG_ERR(&err));
        timer_arm(&tail->look, LOOK_AGAIN_MS);
        return;
    }
    timer_disarm(&tail->look);
}

static void on_news(void *arg)
{
    struct event_tail *tail = arg;
    if (tail->is_begun) {
        go_on(tail);
    } else {
        tail->has_news = true; /* the first page may be without them */
    }
}

static void on_look(void *arg)
{
    go_on(arg);
}

static void on_ping(void *arg)
{
    struct event_tail *tail = arg;
    timer_arm_common(&tail->ping, EVENTS_PING_MS);
    events_send_ping(tail->request, tail->format);
}

static void on_drained(void *arg)
{
    struct request *request = arg;
    struct event_tail *tail = request->work;
    tail->is_held = false;
    if (tail->has_news) {
        go_on(tail);
    }
}

/* False: the request is over. */
static bool send_event(struct event_tail *tail, struct view text)
{
    struct err err = {0};
    struct event_text event;
    char id[NUMBER_SIZE];
    AUTO(str_free) struct str out = STR_INIT(EVENT_OUT_MAX);
    if (!event_text_read(text, &event, &err)) {
        log_error("events.unreadable", LOG_TRACE(&tail->request->trace), LOG_ERR(&err));
        request_abort_answer(tail->request);
        return false;
    }
    (void)snprintf(id, sizeof id, "%" PRId64, event.number);
    event_write(tail->format, &out, event.type, id, event.object);
    if (!str_check(&out, "event", &err)) {
        request_abort_answer(tail->request);
        return false;
    }
    tail->is_held = !request_send(tail->request, str_view(&out));
    return !request_is_over(tail->request);
}

static void answer_nothing(struct request *request)
{
    const struct http_response response = {.status = 204, .no_store = true};
    request_respond(request, &response);
}

/* False: the request is over. */
static bool begin_stream(struct event_tail *tail, const struct event_page *page)
{
    struct request *request = tail->request;
    struct err err = {0};
    if (page->is_over && page->events.count == 0 && tail->is_resumed) {
        answer_nothing(request);
        return false;
    }
    if (!timer_open(&tail->ping, request->gateway->loop, on_ping, tail, &err) ||
        !timer_open(&tail->look, request->gateway->loop, on_look, tail, &err)) {
        request_fail(request, &err);
        return false;
    }
    tail->is_begun = true;
    timer_arm_common(&tail->ping, EVENTS_PING_MS);
    return events_begin_answer(request, tail->format, on_drained);
}

static void pass_on(struct event_tail *tail, const struct event_page *page)
{
    for (size_t i = 0; i < page->events.count; i++) {
        if (!send_event(tail, page->events.items[i])) {
            return;
        }
    }
    tail->question.after = page->next;
    if (page->is_over) {
        request_end_answer(tail->request);
    } else if (page->events.count == STREAM_PAGE || tail->has_news) {
        go_on(tail);
    } else {
        bool is_told = event_readers_are_told(tail->request->gateway->event_readers);
        timer_arm(&tail->look, is_told ? LOOK_TOLD_EVERY_MS : LOOK_EVERY_MS);
    }
}

static void on_page(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct event_tail *tail = request->work;
    struct event_page page;
    AUTO(json_doc_release) struct json_doc *doc = NULL;
    if (!tail->is_begun) {
        doc = service_read_answer(request, body, err, &event_page_schema, &page);
        if (doc != NULL && begin_stream(tail, &page)) {
            pass_on(tail, &page);
        }
        return;
    }
    struct err failure = {0};
    request->ipc_call = NULL;
    doc = err != NULL ? NULL : json_read(*body, &event_page_schema, &page, NULL, &failure);
    if (doc == NULL) { /* what it asks for is still there */
        log_debug("events.not_read", LOG_TRACE(&request->trace),
                  LOG_ERR(err != NULL ? err : &failure));
        timer_arm(&tail->look, LOOK_AGAIN_MS);
        return;
    }
    pass_on(tail, &page);
}

static void on_single_page(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct event_page page;
    struct err failure = {0};
    struct event_text event;
    char next[NUMBER_SIZE];
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &event_page_schema, &page);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(PAGE_ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_begin_array(&writer, "events");
    for (size_t i = 0; i < page.events.count; i++) {
        if (!event_text_read(page.events.items[i], &event, &failure)) {
            failure.code = ERR_INTERNAL;
            request_fail(request, &failure);
            return;
        }
        json_raw(&writer, NULL, event.object);
    }
    json_end_array(&writer);
    (void)snprintf(next, sizeof next, "%" PRId64, page.next);
    json_string(&writer, "next", view_of(next));
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

/* -1: there is none. */
static int64_t last_event_id(struct request *request, struct parameters *parameters)
{
    enum { DIGITS_MAX = 15 };
    struct view text = syntax_trim(http_exchange_header(request->exchange, "Last-Event-ID"));
    int64_t number = 0;
    if (text.len == 0) {
        return -1;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (i == DIGITS_MAX || text.ptr[i] < '0' || text.ptr[i] > '9') {
            parameter_refuse(parameters, "Last-Event-ID", "must be the id of an event");
            return -1;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    return number;
}

static bool wants_json(struct view accept)
{
    struct view item;
    while (syntax_next_item(&accept, &item)) {
        if (view_equal_nocase(syntax_trim(view_cut(&item, ';')), VIEW("application/json"))) {
            return true;
        }
    }
    return false;
}

static void begin_tail(struct request *request, const struct event_list *message,
                       enum event_format format, bool is_resumed)
{
    struct err err = {0};
    struct event_tail *tail = calloc(1, sizeof *tail);
    if (tail == NULL) {
        err_set(&err, ERR_INTERNAL, "events: out of memory");
        request_fail(request, &err);
        return;
    }
    tail->request = request;
    tail->format = format;
    tail->question = *message;
    tail->question.limit = STREAM_PAGE;
    tail->is_resumed = is_resumed;
    tail->reader.on_news = on_news;
    tail->reader.arg = tail;
    memcpy(tail->reader.user_id, request->caller.user_id, ID_SIZE);
    if (!event_readers_add(request->gateway->event_readers, &tail->reader, &err)) {
        free(tail);
        request_fail(request, &err);
        return;
    }
    request_set_work(request, tail, end_tail);
    const struct service_question question = question_of(request, &tail->question);
    service_ask(request, &question, on_page);
}

/* message has whose events are meant; first: where to begin when the client does not say. */
static void handle(struct request *request, struct event_list *message, int64_t first)
{
    struct err err = {0};
    enum event_format format = EVENTS_SSE;
    struct view accept = http_exchange_header(request->exchange, "Accept");
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    message->limit = parameter_int(&parameters, "limit", 1, EVENT_LIST_MAX, PAGE_DEFAULT);
    int64_t last = last_event_id(request, &parameters);
    int64_t after = parameter_int(&parameters, "after", 0, number_max, last);
    if (!parameters_check(&parameters, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    bool is_stream = events_accepted(accept, &format) || !wants_json(accept);
    message->after = last >= 0 ? last : after;
    if (message->after < 0) {
        message->after = is_stream ? first : 0;
    }
    if (is_stream) {
        begin_tail(request, message, format, last >= 0 || after >= 0);
        return;
    }
    const struct service_question question = question_of(request, message);
    service_ask(request, &question, on_single_page);
}

void events_user_handle(struct request *request)
{
    struct event_list message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    handle(request, &message, EVENT_LIST_NEWEST);
}

void events_sandbox_handle(struct request *request)
{
    struct event_list message = {0};
    memcpy(message.user_id, request->caller.user_id, ID_SIZE);
    memcpy(message.sandbox_id, request->id, ID_SIZE);
    handle(request, &message, 0);
}
