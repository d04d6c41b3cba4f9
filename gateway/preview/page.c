#include "gateway/preview/page.h"

#include "common/base/str.h"
#include "common/json/write.h"
#include "gateway/http/server.h"
#include "gateway/http/syntax.h"

enum { PAGE_MAX = 4 * 1024 };

static const struct {
    int status;
    int retry_after_s;
    const char *code;
    const char *title;
    const char *sentence;
} pages[] = {
    [PAGE_NOT_FOUND] = {404, 0, "preview_not_found", "No such preview",
                        "There is no sandbox with an exposed port at this address. The port may "
                        "have been closed."},
    [PAGE_UNAUTHORIZED] = {401, 0, "preview_token_required", "This preview is private",
                           "Open it by the link with its token, or send the token as "
                           "X-Preview-Token."},
    [PAGE_PORT_CLOSED] = {502, 0, "port_closed", "Nothing answers on this port",
                          "The sandbox runs, but no program in it listens on this port yet. Start "
                          "it and load this page again."},
    [PAGE_SANDBOX_GONE] = {502, 0, "sandbox_gone", "The sandbox has ended",
                           "The sandbox that served this preview has ended; its address does not "
                           "come back."},
    [PAGE_BAD_ANSWER] = {502, 0, "bad_answer", "The program gave no answer",
                         "The program in the sandbox closed the connection or answered something "
                         "that is not HTTP."},
    [PAGE_AGENT_LOST] = {503, 2, "agent_lost", "The sandbox can't be reached",
                         "The sandbox is not connected at the moment; try again shortly."},
    [PAGE_SANDBOX_PAUSED] = {503, 0, "sandbox_paused", "The sandbox is paused",
                             "Visitors do not wake it: its owner has to resume it first."},
    [PAGE_BUSY] = {503, 1, "too_many_requests", "Too many requests",
                   "This sandbox has too many requests in progress; try again shortly."},
    [PAGE_LIMITED] = {429, 1, "rate_limited", "Too many requests",
                      "Too many requests came from your address; try again shortly."},
    [PAGE_UNAVAILABLE] = {503, 1, "service_unavailable", "Not available",
                          "A service is not available; try again shortly."},
    [PAGE_TIMEOUT] = {504, 0, "timeout", "No answer in time",
                      "The program in the sandbox did not answer in time."},
    [PAGE_INTERNAL] = {500, 0, "internal_error", "Something went wrong",
                       "Something went wrong on our side."},
};

static const struct {
    const char *reason;
    enum page_kind kind;
} reasons[] = {
    {"sandbox_not_found", PAGE_NOT_FOUND},   {"sandbox_gone", PAGE_SANDBOX_GONE},
    {"sandbox_ended", PAGE_SANDBOX_GONE},    {"connection_refused", PAGE_PORT_CLOSED},
    {"connect_timeout", PAGE_TIMEOUT},       {"connect_failed", PAGE_PORT_CLOSED},
    {"agent_error", PAGE_PORT_CLOSED}, /* of a dial, which asks for nothing else */
    {"agent_lost", PAGE_AGENT_LOST},         {"agent_timeout", PAGE_AGENT_LOST},
    {"sandbox_paused", PAGE_SANDBOX_PAUSED}, {"sandbox_busy", PAGE_AGENT_LOST},
    {"sandbox_starting", PAGE_AGENT_LOST},   {"volume_path_unsafe", PAGE_AGENT_LOST},
    {"not_configured", PAGE_AGENT_LOST},     {"busy", PAGE_BUSY},
};

enum page_kind page_of_error(const struct err *err)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(reasons[i].reason, err->reason) == 0) {
            return reasons[i].kind;
        }
    }
    switch (err->code) {
    case ERR_NOT_FOUND:
        return PAGE_NOT_FOUND;
    case ERR_LIMIT:
        return PAGE_BUSY;
    case ERR_UNAVAILABLE:
        return PAGE_UNAVAILABLE;
    case ERR_TIMEOUT:
        return PAGE_TIMEOUT;
    case ERR_INVALID:
        return PAGE_BAD_ANSWER;
    default:
        return PAGE_INTERNAL;
    }
}

/* "type/subtype;q=..." less its parameters. */
static bool accepts(struct view accept, struct view type)
{
    struct view item;
    while (syntax_next_item(&accept, &item)) {
        if (view_equal_nocase(syntax_trim(view_cut(&item, ';')), type)) {
            return true;
        }
    }
    return false;
}

static void write_json(enum page_kind kind, const char *request_id, struct str *out)
{
    struct json_writer json = json_writer_on(out);
    json_begin_object(&json, NULL);
    json_string(&json, "error", view_of(pages[kind].sentence));
    json_string(&json, "code", view_of(pages[kind].code));
    json_string(&json, "requestId", view_of(request_id));
    json_end_object(&json);
}

/* All the texts are ours, and a request's id has no character that HTML knows. */
static void write_html(enum page_kind kind, const char *request_id, struct str *out)
{
    str_appendf(out,
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>%s</title><style>"
                "body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;"
                "padding:0 1.5em;color:#222;background:#fff}h1{font-size:1.4em}"
                "small{color:#667}</style></head><body><h1>%s</h1><p>%s</p>"
                "<p><small>%d %s &middot; %s</small></p></body></html>\n",
                pages[kind].title, pages[kind].title, pages[kind].sentence, pages[kind].status,
                pages[kind].code, request_id);
}

static void respond(struct http_exchange *exchange, enum page_kind kind, int retry_after_s)
{
    /* Not a scheme that a browser asks its user a password for. */
    static const struct http_header challenge = {VIEW("WWW-Authenticate"), VIEW("Preview-Token")};
    const char *request_id = http_exchange_request_id(exchange);
    struct view accept = http_exchange_header(exchange, "Accept");
    bool json = accepts(accept, VIEW("application/json")) && !accepts(accept, VIEW("text/html"));
    AUTO(str_free) struct str body = STR_INIT(PAGE_MAX);
    if (json) {
        write_json(kind, request_id, &body);
    } else {
        write_html(kind, request_id, &body);
    }
    const struct http_response response = {
        .status = pages[kind].status,
        .content_type = json ? "application/json" : "text/html; charset=utf-8",
        .body = str_view(&body),
        .retry_after_s = retry_after_s,
        .no_store = true,
        .headers = &challenge,
        .header_count = pages[kind].status == 401 ? 1 : 0,
    };
    http_respond(exchange, &response);
}

void page_respond(struct http_exchange *exchange, enum page_kind kind)
{
    respond(exchange, kind, pages[kind].retry_after_s);
}

void page_respond_limited(struct http_exchange *exchange, int retry_after_s)
{
    respond(exchange, PAGE_LIMITED, retry_after_s);
}
