#include "gateway/preview/preview.h"

#include "common/base/list.h"
#include "common/base/map.h"
#include "gateway/http/server.h"
#include "gateway/hub/hub.h"
#include "gateway/hub/waker.h"
#include "gateway/limits/answer.h"
#include "gateway/ports/exposed.h"
#include "gateway/preview/access.h"
#include "gateway/preview/page.h"
#include "gateway/preview/proxy.h"
#include "gateway/preview/splice.h"
#include "gateway/preview/upstream.h"

#include <stdlib.h>

enum { LOCATION_MAX = HTTP_TARGET_MAX + PREVIEW_PREFIX_SIZE + 16, COOKIE_MAX = 512 };

struct preview {
    struct preview_options options;
    struct upstreams *upstreams; /* owned */
    struct map busy;             /* of struct busy */
    struct list waiting;         /* of struct visit */
    struct list checks;          /* of struct check */
    struct list proxies;
    struct list splices;
    bool is_closing;
};

/* A sandbox with requests under way. */
struct busy {
    struct map_node node;
    size_t count;
    char sandbox_id[ID_SIZE];
};

/* A request that waits for its limit, for the sandbox-service's word about the port, or for a
 * sandbox that rests. */
struct visit {
    struct list node;
    struct preview *preview;        /* borrowed */
    struct http_exchange *exchange; /* ours until it is answered or handed on */
    struct limit_wait *limit_wait;
    struct exposed_fetch *fetch;
    struct waker_wait wait;
    struct preview_destination destination;
};

/* A look at whether what is under way to a sandbox may go on. */
struct check {
    struct list node;
    struct preview *preview; /* borrowed */
    struct exposed_fetch *fetch;
    char sandbox_id[ID_SIZE];
};

struct preview *preview_new(const struct preview_options *options, struct err *err)
{
    struct preview *preview = calloc(1, sizeof *preview);
    if (preview == NULL) {
        err_set(err, ERR_INTERNAL, "preview: out of memory");
        return NULL;
    }
    preview->options = *options;
    list_init(&preview->waiting);
    list_init(&preview->checks);
    list_init(&preview->proxies);
    list_init(&preview->splices);
    if (!map_init(&preview->busy, err) ||
        (preview->upstreams = upstreams_new(options->loop, options->hub, err)) == NULL) {
        preview_free(preview);
        return NULL;
    }
    return preview;
}

static void forget_visit(struct visit *visit)
{
    list_remove(&visit->node);
    if (visit->fetch != NULL) {
        exposed_fetch_cancel(visit->fetch);
    }
    if (visit->limit_wait != NULL) {
        limit_wait_cancel(visit->limit_wait);
    }
    list_remove(&visit->wait.node);
    free(visit);
}

static void forget_check(struct check *check)
{
    list_remove(&check->node);
    if (check->fetch != NULL) {
        exposed_fetch_cancel(check->fetch);
    }
    free(check);
}

static void free_busy(struct map_node *node, void *arg)
{
    map_remove(arg, node);
    free(MAP_ENTRY(node, struct busy, node));
}

void preview_free(struct preview *preview)
{
    if (preview == NULL) {
        return;
    }
    preview->is_closing = true; /* an answer lets the next request of its connection in */
    for (LIST_EACH(waiting, &preview->waiting)) {
        struct visit *visit = LIST_ENTRY(waiting, struct visit, node);
        http_on_gone(visit->exchange, NULL, NULL);
        page_respond(visit->exchange, PAGE_UNAVAILABLE);
        forget_visit(visit);
    }
    for (LIST_EACH(check, &preview->checks)) {
        forget_check(LIST_ENTRY(check, struct check, node));
    }
    for (LIST_EACH(proxy, &preview->proxies)) {
        proxy_cancel(proxy_of_node(proxy));
    }
    for (LIST_EACH(splice, &preview->splices)) {
        splice_close(splice_of_node(splice));
    }
    upstreams_free(preview->upstreams);
    map_each(&preview->busy, free_busy, &preview->busy);
    map_free(&preview->busy);
    free(preview);
}

/* Counts one more request; NULL when there are too many, or out of memory (*kind tells). */
static struct busy *enter(struct preview *preview, const char *sandbox_id, enum page_kind *kind)
{
    struct map_node *node = map_find(&preview->busy, view_of(sandbox_id));
    struct busy *busy = node == NULL ? calloc(1, sizeof *busy) : MAP_ENTRY(node, struct busy, node);
    *kind = busy == NULL ? PAGE_INTERNAL : PAGE_BUSY;
    if (busy == NULL || busy->count == PREVIEW_REQUESTS_MAX) {
        return NULL;
    }
    if (node == NULL) {
        memcpy(busy->sandbox_id, sandbox_id, sizeof busy->sandbox_id);
        map_insert(&preview->busy, &busy->node, view_of(busy->sandbox_id));
    }
    busy->count++;
    return busy;
}

static void on_request_end(void *owner, void *arg)
{
    struct preview *preview = arg;
    struct busy *busy = owner;
    if (--busy->count == 0) {
        map_remove(&preview->busy, &busy->node);
        free(busy);
    }
}

struct token_check {
    const struct exposed_cache *exposed;
    const char *sandbox_id;
    const struct exposed_port *port;
};

static bool token_is_right(struct view token, void *arg)
{
    const struct token_check *check = arg;
    return exposed_token_is_right(check->exposed, check->sandbox_id, check->port, token);
}

static void visit_sandbox(struct preview *preview, struct http_exchange *exchange,
                          const struct preview_destination *destination);

static void redirect(struct http_exchange *exchange, int status, const struct str *location,
                     const struct str *cookie)
{
    if (location->failed || (cookie != NULL && cookie->failed)) {
        page_respond(exchange, PAGE_INTERNAL);
        return;
    }
    struct http_header headers[2] = {{VIEW("Location"), str_view(location)}};
    if (cookie != NULL) {
        headers[1] = (struct http_header){VIEW("Set-Cookie"), str_view(cookie)};
    }
    const struct http_response response = {.status = status,
                                           .content_type = "text/plain",
                                           .no_store = true,
                                           .headers = headers,
                                           .header_count = cookie == NULL ? 1 : 2};
    http_respond(exchange, &response);
}

/* The token leaves the address bar, and with it the history and the Referer. */
static void trade_token_for_cookie(const struct preview *preview, struct http_exchange *exchange,
                                   const struct preview_destination *destination)
{
    const struct http_head *head = http_exchange_head(exchange);
    AUTO(str_free) struct str location = STR_INIT(LOCATION_MAX);
    AUTO(str_free) struct str cookie = STR_INIT(COOKIE_MAX);
    access_write_location(head, destination, &location);
    access_write_cookie(head, destination, preview->options.is_tls, &cookie);
    redirect(exchange, 302, &location, &cookie);
}

static void proxy_to(struct preview *preview, struct http_exchange *exchange,
                     const struct preview_destination *destination, const struct exposed_port *port)
{
    enum page_kind kind;
    struct busy *busy = enter(preview, destination->sandbox_id, &kind);
    if (busy == NULL) {
        page_respond(exchange, kind);
        return;
    }
    const struct proxy_options options = {.loop = preview->options.loop,
                                          .upstreams = preview->upstreams,
                                          .exchange = exchange,
                                          .destination = destination,
                                          .is_tls = preview->options.is_tls,
                                          .hides_token = !port->is_public,
                                          .grant = exposed_grant_of(port),
                                          .proxies = &preview->proxies,
                                          .splices = &preview->splices,
                                          .on_end = on_request_end,
                                          .owner = busy,
                                          .arg = preview};
    proxy_begin(&options);
}

static void on_gone(void *arg)
{
    forget_visit(arg);
}

/* NULL when it is answered. */
static struct visit *new_visit(struct preview *preview, struct http_exchange *exchange,
                               const struct preview_destination *destination)
{
    struct visit *visit = calloc(1, sizeof *visit);
    if (visit == NULL) {
        page_respond(exchange, PAGE_INTERNAL);
        return NULL;
    }
    visit->preview = preview;
    list_init(&visit->wait.node);
    visit->exchange = exchange;
    visit->destination = *destination;
    list_append(&preview->waiting, &visit->node);
    return visit;
}

static void on_awake(const struct err *err, void *arg)
{
    struct visit *visit = arg;
    struct preview *preview = visit->preview;
    struct http_exchange *exchange = visit->exchange;
    const struct preview_destination destination = visit->destination;
    forget_visit(visit);
    http_on_gone(exchange, NULL, NULL);
    if (err != NULL) {
        page_respond(exchange, page_of_error(err));
    } else {
        visit_sandbox(preview, exchange, &destination);
    }
}

static void wake_first(struct preview *preview, struct http_exchange *exchange,
                       const struct preview_destination *destination)
{
    struct err err = {0};
    struct visit *visit = new_visit(preview, exchange, destination);
    if (visit == NULL) {
        return;
    }
    visit->wait.done = on_awake;
    visit->wait.arg = visit;
    if (!hub_wake(preview->options.hub, destination->sandbox_id, &visit->wait, &err)) {
        forget_visit(visit);
        page_respond(exchange, page_of_error(&err));
        return;
    }
    http_on_gone(exchange, on_gone, visit);
}

static void let_in(struct preview *preview, struct http_exchange *exchange,
                   const struct preview_destination *destination, const struct exposed_port *port)
{
    if (hub_is_awake(preview->options.hub, destination->sandbox_id)) {
        proxy_to(preview, exchange, destination, port);
    } else {
        wake_first(preview, exchange, destination);
    }
}

static void admit(struct preview *preview, struct http_exchange *exchange,
                  const struct preview_destination *destination, const struct exposed_ports *ports)
{
    const struct http_head *head = http_exchange_head(exchange);
    const struct exposed_port *port = exposed_port_of(ports, destination->port);
    if (port == NULL) {
        bool has_ended = ports->user_id[0] != '\0' && !ports->is_live;
        page_respond(exchange, has_ended ? PAGE_SANDBOX_GONE : PAGE_NOT_FOUND);
        return;
    }
    if (port->is_public) {
        let_in(preview, exchange, destination, port);
        return;
    }
    struct token_check check = {preview->options.exposed, destination->sandbox_id, port};
    enum access_verdict verdict = access_check(head, token_is_right, &check);
    bool is_page = (head->method == HTTP_GET || head->method == HTTP_HEAD) && !head->wants_upgrade;
    if (verdict == ACCESS_REFUSED) {
        page_respond(exchange, PAGE_UNAUTHORIZED);
    } else if (verdict == ACCESS_ADMITTED_BY_QUERY && is_page) {
        trade_token_for_cookie(preview, exchange, destination);
    } else {
        let_in(preview, exchange, destination, port);
    }
}

static void on_ports(const struct exposed_ports *ports, const struct err *err, void *arg)
{
    struct visit *visit = arg;
    struct preview *preview = visit->preview;
    struct http_exchange *exchange = visit->exchange;
    const struct preview_destination destination = visit->destination;
    visit->fetch = NULL;
    forget_visit(visit);
    http_on_gone(exchange, NULL, NULL);
    if (err != NULL) {
        page_respond(exchange, page_of_error(err));
    } else {
        admit(preview, exchange, &destination, ports);
    }
}

static void ask_for_ports(struct preview *preview, struct http_exchange *exchange,
                          const struct preview_destination *destination)
{
    struct err err = {0};
    struct visit *visit = new_visit(preview, exchange, destination);
    if (visit == NULL) {
        return;
    }
    visit->fetch = exposed_fetch_begin(preview->options.exposed, destination->sandbox_id,
                                       http_exchange_trace(exchange), on_ports, visit, &err);
    if (visit->fetch == NULL) {
        forget_visit(visit);
        page_respond(exchange, page_of_error(&err));
        return;
    }
    http_on_gone(exchange, on_gone, visit);
}

/* "/preview/{id}/{port}" itself: the program's relative links need the '/' behind it. */
static void add_slash(struct http_exchange *exchange, const struct preview_destination *destination)
{
    const struct http_head *head = http_exchange_head(exchange);
    AUTO(str_free) struct str location = STR_INIT(LOCATION_MAX);
    str_append_string(&location, destination->prefix);
    str_append_char(&location, '/');
    if (head->query.len > 0) {
        str_append_char(&location, '?');
        str_append_view(&location, head->query);
    }
    redirect(exchange, 308, &location, NULL);
}

static void visit_sandbox(struct preview *preview, struct http_exchange *exchange,
                          const struct preview_destination *destination)
{
    if (destination->path.len == 0) {
        add_slash(exchange, destination);
        return;
    }
    const struct exposed_ports *ports =
        exposed_find(preview->options.exposed, destination->sandbox_id);
    if (ports != NULL) {
        admit(preview, exchange, destination, ports);
    } else {
        ask_for_ports(preview, exchange, destination);
    }
}

/* Answers of programs have no headers of ours: they tell of their own limits. */
static void decide(struct preview *preview, struct http_exchange *exchange,
                   const struct preview_destination *destination, enum limit_answer answer,
                   const struct limit_verdict *verdict)
{
    struct limit_headers headers;
    if (answer == LIMIT_UNAVAILABLE) {
        page_respond(exchange, PAGE_UNAVAILABLE);
        return;
    }
    limit_headers_write(verdict, &headers);
    http_exchange_add_headers(exchange, headers.headers, LIMIT_HEADERS);
    if (answer == LIMIT_REFUSED) {
        page_respond_limited(exchange, limit_retry_after_s(verdict));
    } else {
        visit_sandbox(preview, exchange, destination);
    }
}

static void on_decided(enum limit_answer answer, const struct limit_verdict *verdict, void *arg)
{
    struct visit *visit = arg;
    struct preview *preview = visit->preview;
    struct http_exchange *exchange = visit->exchange;
    const struct preview_destination destination = visit->destination;
    visit->limit_wait = NULL;
    forget_visit(visit);
    http_on_gone(exchange, NULL, NULL);
    decide(preview, exchange, &destination, answer, verdict);
}

/* A visitor pays by address. */
static void count(struct preview *preview, struct http_exchange *exchange,
                  const struct preview_destination *destination)
{
    struct limit_request costs;
    struct limit_verdict verdict = {0};
    struct visit *visit = new_visit(preview, exchange, destination);
    if (visit == NULL) {
        return;
    }
    limit_request_of_address(preview->options.limit_policy, LIMIT_PREVIEW,
                             http_exchange_client(exchange), &costs);
    enum limit_answer answer = limits_take(preview->options.limits, &costs, &verdict,
                                           &visit->limit_wait, on_decided, visit);
    if (answer == LIMIT_WAITS) {
        http_on_gone(exchange, on_gone, visit);
        return;
    }
    forget_visit(visit);
    decide(preview, exchange, destination, answer, &verdict);
}

bool preview_is_for(const struct preview *preview, const struct http_head *head)
{
    struct preview_destination destination;
    if (preview == NULL) {
        return false;
    }
    preview_find_destination(head, preview->options.domain, &destination);
    return destination.form != PREVIEW_NONE;
}

bool preview_handle(struct preview *preview, struct http_exchange *exchange)
{
    struct preview_destination destination;
    if (preview == NULL) {
        return false;
    }
    preview_find_destination(http_exchange_head(exchange), preview->options.domain, &destination);
    if (destination.form == PREVIEW_NONE) {
        return false;
    }
    if (!destination.is_named || preview->is_closing) {
        page_respond(exchange, preview->is_closing ? PAGE_UNAVAILABLE : PAGE_NOT_FOUND);
        return true;
    }
    if (preview->options.limits == NULL || http_exchange_is_exempt(exchange)) {
        visit_sandbox(preview, exchange, &destination);
    } else {
        count(preview, exchange, &destination);
    }
    return true;
}

/* ports is NULL when the sandbox is gone. */
static bool may_go_on(const char *sandbox_id, const struct exposed_ports *ports,
                      const struct busy *busy, const struct exposed_grant *grant)
{
    return strcmp(busy->sandbox_id, sandbox_id) != 0 ||
           (ports != NULL && exposed_grant_holds(grant, ports));
}

static void cut(struct preview *preview, const char *sandbox_id, const struct exposed_ports *ports)
{
    for (LIST_EACH(proxy_node, &preview->proxies)) {
        struct proxy *proxy = proxy_of_node(proxy_node);
        struct busy *busy = proxy_owner(proxy);
        if (!may_go_on(sandbox_id, ports, busy, proxy_grant(proxy))) {
            proxy_cancel(proxy);
            on_request_end(busy, preview);
        }
    }
    for (LIST_EACH(splice_node, &preview->splices)) {
        struct splice *splice = splice_of_node(splice_node);
        struct busy *busy = splice_owner(splice);
        if (!may_go_on(sandbox_id, ports, busy, splice_grant(splice))) {
            splice_close(splice);
            on_request_end(busy, preview);
        }
    }
}

/* While nobody can say what is exposed, what was begun goes on. */
static void on_checked(const struct exposed_ports *ports, const struct err *err, void *arg)
{
    struct check *check = arg;
    check->fetch = NULL;
    if (err == NULL || err->code == ERR_NOT_FOUND) {
        cut(check->preview, check->sandbox_id, ports);
    }
    forget_check(check);
}

void preview_check(struct preview *preview, const char sandbox_id[ID_SIZE])
{
    struct err err = {0};
    if (preview == NULL || map_find(&preview->busy, view_of(sandbox_id)) == NULL) {
        return;
    }
    struct check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        return;
    }
    check->preview = preview;
    memcpy(check->sandbox_id, sandbox_id, sizeof check->sandbox_id);
    list_append(&preview->checks, &check->node);
    check->fetch = exposed_fetch_begin(preview->options.exposed, check->sandbox_id, NULL,
                                       on_checked, check, &err);
    if (check->fetch == NULL) {
        forget_check(check);
    }
}

static void check_busy(struct map_node *node, void *arg)
{
    preview_check(arg, MAP_ENTRY(node, struct busy, node)->sandbox_id);
}

void preview_check_all(struct preview *preview)
{
    if (preview != NULL) {
        map_each(&preview->busy, check_busy, preview);
    }
}
