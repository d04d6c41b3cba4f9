/* Idempotency-Key over REST. The route is one that makes a URL: that takes nobody but the gateway.
 */
#include "common/contracts/idempotency.h"
#include "gateway/native/request.h"
#include "tests/support/turn.h"
#include "tests/unit/gateway/native/rest_stage.h"

#include <stdlib.h>
#include <sys/socket.h>

#define JSON "Content-Type: application/json\r\n"
#define KEYED JSON "Idempotency-Key: k-1\r\n"
#define MAKE "POST " REST_SANDBOX "/files/url"
#define BODY VIEW("{\"path\":\"/x\",\"op\":\"download\"}")
#define RESOURCE "44444444-4444-4444-8444-444444444444"

/* Routes whose answer is a secret. */
#define MAKE_KEY "POST /api/keys"
#define ROTATE_KEY "POST /api/keys/55555555-5555-4555-8555-555555555555/rotate"
#define NEW_KEY                                                                                    \
    "{\"id\":\"" RESOURCE "\",\"key\":\"isk_secret\",\"prefix\":\"isk_\",\"createdAt\":\"now\","   \
    "\"scopes\":4}"

/* A route that takes long and makes nothing that stays. */
#define RUN "POST /sandbox/execute"
#define PROGRAM VIEW("{\"language\":\"bash\",\"code\":\"1\"}")
#define WROTE "\"type\":\"writeResponse\",\"success\":true,\"path\":\"/app/main.sh\""
#define RAN_HEAD "\"type\":\"execResponse\",\"stderr\":\"\",\"exitCode\":0,\"signal\":null,"
#define RAN_TAIL "\"reason\":\"exited\",\"durationMs\":7,\"truncated\":false,\"stdout\":\""

enum { KEPT_MAX = 256 * 1024 };

/* What the auth-service was asked, and how it answers; one test runs at a time. */
static struct {
    int claims;
    int renewals;
    int finishes;
    int releases;
    char request[IDEMPOTENCY_REQUEST_LEN + 1]; /* of the last claim */
    char claim[ID_SIZE];
    struct str asked;             /* every message, a line each */
    const char *refusal;          /* of claims; NULL: none */
    const char *answer;           /* that is kept already; NULL: none */
    bool holds;                   /* claims are not answered */
    bool loses;                   /* finishes fail */
    struct ipc_exchange *waiting; /* the claim that was not answered */
    enum err_code key_error;      /* of new keys; ERR_NONE: they are made */
    struct str key_asked;         /* the last message about a new one */
} service;

static void answer_claim(struct ipc_exchange *exchange, const struct ipc_request *request)
{
    struct idempotency_claim claim;
    struct err err = {0};
    struct json_doc *doc = json_read(request->body, &idempotency_claim_schema, &claim, NULL, &err);
    assert_non_null(doc);
    service.claims++;
    assert_true(view_equal(claim.key, VIEW("k-1")));
    assert_string_equal(claim.user_id, "11111111-1111-4111-8111-111111111111");
    assert_int_equal(claim.request.len, IDEMPOTENCY_REQUEST_LEN);
    assert_true(view_copy(claim.request, service.request, sizeof service.request));
    memcpy(service.claim, claim.claim, ID_SIZE);
    json_doc_free(doc);
    if (service.holds) {
        service.waiting = exchange;
    } else if (service.refusal != NULL) {
        err_set_reason(&err, ERR_CONFLICT, service.refusal, "refused");
        ipc_reply_error(exchange, &err);
    } else if (service.answer != NULL) {
        ipc_reply_ok(exchange, view_of(service.answer));
    } else {
        ipc_reply_ok(exchange, VIEW("{\"resourceId\":\"" RESOURCE "\"}"));
    }
}

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)arg;
    struct err err = {0};
    str_append_view(&service.asked, request->body);
    str_append_char(&service.asked, '\n');
    if (strcmp(request->method, IDEMPOTENCY_CLAIM) == 0) {
        answer_claim(exchange, request);
    } else if (strcmp(request->method, IDEMPOTENCY_FINISH) == 0 && service.loses) {
        service.finishes++;
        err_set(&err, ERR_UNAVAILABLE, "no database");
        ipc_reply_error(exchange, &err);
    } else {
        service.renewals += strcmp(request->method, IDEMPOTENCY_RENEW) == 0 ? 1 : 0;
        service.finishes += strcmp(request->method, IDEMPOTENCY_FINISH) == 0 ? 1 : 0;
        service.releases += strcmp(request->method, IDEMPOTENCY_RELEASE) == 0 ? 1 : 0;
        ipc_reply_ok(exchange, VIEW("{}"));
    }
}

static void serve_key(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    (void)arg;
    str_clear(&service.key_asked);
    str_append_view(&service.key_asked, request->body);
    if (service.key_error == ERR_NONE) {
        ipc_reply_ok(exchange, VIEW(NEW_KEY));
    } else {
        struct err err = {0};
        err_set(&err, service.key_error, "no key");
        ipc_reply_error(exchange, &err);
    }
}

static int set_up(void **state)
{
    int result = rest_stage_open(state);
    struct rest_stage *stage = *state;
    memset(&service, 0, sizeof service);
    service.asked = STR_INIT(KEPT_MAX);
    service.key_asked = STR_INIT(KEPT_MAX);
    stage->on_idempotency = serve;
    stage->on_keys = serve_key;
    return result;
}

static int tear_down(void **state)
{
    str_free(&service.asked);
    str_free(&service.key_asked);
    return rest_stage_close(state);
}

static bool was_released(void *arg)
{
    (void)arg;
    return service.releases > 0;
}

static bool is_waiting(void *arg)
{
    (void)arg;
    return service.waiting != NULL;
}

static void an_answer_is_kept_before_it_is_given(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = rest_ask(stage, MAKE, KEYED, BODY);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Cache-Control"), "no-store");
    assert_int_equal(service.claims, 1);
    assert_int_equal(service.finishes, 1);
    assert_int_equal(service.releases, 0);
    assert_true(view_has(str_view(&service.asked), "\"status\":200"));
    assert_true(view_has(str_view(&service.asked), "expiresAt"));
    assert_true(view_has(reply.body, "\"url\":\"http://h/files/"));
}

static void a_repeat_gets_what_is_kept(void **state)
{
    struct rest_stage *stage = *state;
    service.answer = "{\"resourceId\":\"" RESOURCE
                     "\",\"status\":201,\"answer\":\"{\\\"url\\\":\\\"first\\\"}\"}";
    struct reply reply = rest_ask(stage, MAKE, KEYED, BODY);
    assert_int_equal(reply.status, 201);
    assert_view(reply.body, "{\"url\":\"first\"}");
    assert_view(reply_header(&reply, "Cache-Control"), "no-store");
    assert_view(reply_header(&reply, "Content-Type"), "application/json");
    assert_int_equal(service.finishes + service.releases, 0);
}

static void refusals_reach_the_client(void **state)
{
    struct rest_stage *stage = *state;
    service.refusal = "idempotency_in_progress";
    struct reply reply = rest_ask(stage, MAKE, KEYED, BODY);
    assert_int_equal(reply.status, 409);
    assert_true(view_has(reply.body, "\"code\":\"idempotency_in_progress\""));
    assert_view(reply_header(&reply, "Retry-After"), "1");
    service.refusal = "idempotency_key_reused";
    reply = rest_ask(stage, MAKE, KEYED, BODY);
    assert_int_equal(reply.status, 409);
    assert_true(view_has(reply.body, "\"code\":\"idempotency_key_reused\""));
    assert_null(reply_header(&reply, "Retry-After").ptr);
    assert_int_equal(service.finishes + service.releases, 0);
}

static void what_made_nothing_gives_the_key_back(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = rest_ask(stage, MAKE, KEYED, VIEW("{\"path\":7}"));
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"validation_failed\""));
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_int_equal(service.finishes, 0);
}

static void another_body_or_path_is_another_request(void **state)
{
    struct rest_stage *stage = *state;
    char first[sizeof service.request];
    (void)rest_ask(stage, MAKE, KEYED, BODY);
    memcpy(first, service.request, sizeof first);
    (void)rest_ask(stage, MAKE, KEYED, BODY);
    assert_string_equal(service.request, first);
    (void)rest_ask(stage, MAKE, KEYED, VIEW("{\"path\":\"/x\",\"op\":\"upload\"}"));
    assert_string_not_equal(service.request, first);
    (void)rest_ask(stage, MAKE "?a", KEYED, BODY);
    assert_string_not_equal(service.request, first);
}

static void a_wrong_key_is_refused_and_none_is_none(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = rest_ask(stage, MAKE, JSON "Idempotency-Key: a b\r\n", BODY);
    assert_int_equal(reply.status, 400);
    assert_true(view_has(reply.body, "\"code\":\"invalid_idempotency_key\""));
    assert_int_equal(rest_ask(stage, MAKE, JSON, BODY).status, 200);
    reply = rest_ask(stage, "GET " REST_SANDBOX "/status", "Idempotency-Key: k-1\r\n", VIEW(""));
    assert_int_equal(reply.status, 200);
    assert_int_equal(service.claims, 0);
}

static void what_is_made_is_told_even_if_it_can_not_be_kept(void **state)
{
    struct rest_stage *stage = *state;
    service.loses = true;
    struct reply reply = rest_ask(stage, MAKE, KEYED, BODY);
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"url\""));
    assert_int_equal(service.finishes, 1);
}

static void who_leaves_before_anything_was_made_gives_the_key_back(void **state)
{
    struct rest_stage *stage = *state;
    const struct linger reset = {.l_onoff = 1}; /* a mere close may be half of one */
    service.holds = true;
    rest_send(stage, MAKE, KEYED, BODY);
    turn_until_true(stage->http.loop, is_waiting, NULL);
    assert_int_equal(setsockopt(stage->client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    client_close(&stage->client);
    stage->client.fd = -1;
    ipc_reply_ok(service.waiting, VIEW("{\"resourceId\":\"" RESOURCE "\"}"));
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_int_equal(service.finishes, 0);
}

static void what_is_kept_is_not_for_a_key_that_was_revoked(void **state)
{
    struct rest_stage *stage = *state;
    service.holds = true;
    rest_send(stage, MAKE_KEY, KEYED, VIEW("{}"));
    turn_until_true(stage->http.loop, is_waiting, NULL);
    requests_revoke(stage->agent.gateway.requests, "22222222-2222-4222-8222-222222222222");
    ipc_reply_ok(service.waiting,
                 VIEW("{\"resourceId\":\"" RESOURCE
                      "\",\"status\":201,\"answer\":\"{\\\"key\\\":\\\"isk_secret\\\"}\"}"));
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 401);
    assert_true(view_has(reply.body, "\"code\":\"invalid_api_key\""));
    assert_false(view_has(reply.body, "isk_secret"));
    assert_int_equal(service.finishes + service.releases, 0);
}

static void a_new_key_has_the_id_of_its_claim(void **state)
{
    struct rest_stage *stage = *state;
    struct reply reply = rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}"));
    assert_int_equal(reply.status, 201);
    assert_true(view_has(reply.body, "isk_secret"));
    assert_true(view_has(str_view(&service.key_asked), "\"id\":\"" RESOURCE "\""));
    assert_int_equal(service.finishes, 1);
    assert_int_equal(rest_ask(stage, ROTATE_KEY, KEYED, VIEW("{}")).status, 201);
    assert_true(view_has(str_view(&service.key_asked), "\"newId\":\"" RESOURCE "\""));
    assert_int_equal(rest_ask(stage, MAKE_KEY, JSON, VIEW("{}")).status, 201);
    assert_false(view_has(str_view(&service.key_asked), "\"id\""));
}

static void a_secret_that_can_not_be_kept_is_not_told(void **state)
{
    struct rest_stage *stage = *state;
    service.loses = true;
    struct reply reply = rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}"));
    assert_int_equal(reply.status, 503);
    assert_true(view_has(reply.body, "\"code\":\"service_unavailable\""));
    assert_false(view_has(reply.body, "isk_secret"));
    assert_int_equal(service.finishes, 1);
    assert_int_equal(service.releases, 0); /* a repeat has to find the key that is there */
}

static void a_key_that_may_have_been_made_keeps_its_claim(void **state)
{
    struct rest_stage *stage = *state;
    service.key_error = ERR_TIMEOUT;
    assert_int_equal(rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}")).status, 504);
    service.key_error = ERR_UNAVAILABLE;
    assert_int_equal(rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}")).status, 503);
    assert_int_equal(service.releases, 0);
    service.key_error = ERR_LIMIT;
    assert_int_equal(rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}")).status, 429);
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_int_equal(service.releases, 1);
}

/* Nobody serves volumes here. */
static void what_may_have_been_made_keeps_its_id(void **state)
{
    struct rest_stage *stage = *state;
    struct view volume = VIEW("{\"name\":\"v\",\"sizeMB\":16}");
    assert_true(rest_ask(stage, "POST /api/volumes", KEYED, volume).status >= 500);
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_true(view_has(str_view(&service.asked), "\"keepsId\":true"));
    service.releases = 0;
    str_clear(&service.asked);
    assert_int_equal(rest_ask(stage, MAKE, KEYED, VIEW("{\"path\":7}")).status, 400);
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_false(view_has(str_view(&service.asked), "\"keepsId\":true"));
}

static void a_secret_is_for_the_key_that_asked_first(void **state)
{
    struct rest_stage *stage = *state;
    char first[sizeof service.request];
    (void)rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}"));
    memcpy(first, service.request, sizeof first);
    stage->is_person = true;
    (void)rest_ask(stage, MAKE_KEY, KEYED, VIEW("{}"));
    assert_string_not_equal(service.request, first);
    (void)rest_ask(stage, MAKE, KEYED, BODY);
    memcpy(first, service.request, sizeof first);
    stage->is_person = false;
    (void)rest_ask(stage, MAKE, KEYED, BODY);
    assert_string_equal(service.request, first); /* a URL is for all of the user's */
}

static void run_long(struct rest_stage *stage, struct view text)
{
    if (view_has(text, "\"type\":\"write\"")) {
        rest_answer(stage, WROTE);
    }
}

static bool is_renewed(void *arg)
{
    (void)arg;
    return service.renewals >= 1;
}

static void answer_run(struct rest_stage *stage, const char *output)
{
    AUTO(str_free) struct str text = STR_INIT(KEPT_MAX);
    str_append_string(&text, RAN_HEAD RAN_TAIL);
    str_append_string(&text, output);
    str_append_char(&text, '"');
    rest_answer(stage, text.data);
}

static void a_run_holds_its_key_as_long_as_it_takes(void **state)
{
    struct rest_stage *stage = *state;
    stage->on_request = run_long;
    rest_send(stage, RUN, KEYED, PROGRAM);
    rest_wait_requests(stage, 2);
    turn_until_true(stage->http.loop, is_renewed, NULL);
    answer_run(stage, "done");
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 200);
    assert_true(view_has(reply.body, "\"stdout\":\"done\""));
    assert_int_equal(service.claims, 1);
    assert_int_equal(service.finishes, 1);
    assert_int_equal(service.releases, 0);
    turn_until_count(stage->http.loop, &stage->agent.destroys, 1);
}

static void a_run_with_too_long_an_answer_is_told_and_may_be_run_again(void **state)
{
    struct rest_stage *stage = *state;
    char output[IDEMPOTENCY_ANSWER_MAX + 1];
    memset(output, 'x', sizeof output - 1);
    output[sizeof output - 1] = '\0';
    stage->on_request = run_long;
    rest_send(stage, RUN, KEYED, PROGRAM);
    rest_wait_requests(stage, 2);
    answer_run(stage, output);
    struct reply reply = client_next(&stage->client, false);
    assert_int_equal(reply.status, 200);
    turn_until_true(stage->http.loop, was_released, NULL);
    assert_int_equal(service.finishes, 0);
    turn_until_count(stage->http.loop, &stage->agent.destroys, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_is_kept_before_it_is_given),
        TEST(a_repeat_gets_what_is_kept),
        TEST(refusals_reach_the_client),
        TEST(what_made_nothing_gives_the_key_back),
        TEST(another_body_or_path_is_another_request),
        TEST(a_wrong_key_is_refused_and_none_is_none),
        TEST(what_is_made_is_told_even_if_it_can_not_be_kept),
        TEST(what_is_kept_is_not_for_a_key_that_was_revoked),
        TEST(a_new_key_has_the_id_of_its_claim),
        TEST(a_secret_that_can_not_be_kept_is_not_told),
        TEST(a_key_that_may_have_been_made_keeps_its_claim),
        TEST(what_may_have_been_made_keeps_its_id),
        TEST(a_secret_is_for_the_key_that_asked_first),
        TEST(a_run_holds_its_key_as_long_as_it_takes),
        TEST(a_run_with_too_long_an_answer_is_told_and_may_be_run_again),
        TEST(who_leaves_before_anything_was_made_gives_the_key_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
