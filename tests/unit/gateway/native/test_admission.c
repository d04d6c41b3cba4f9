/* What requests cost, from the client's socket on. */
#include "gateway/native/admission.h"

#include "common/redis/redis.h"
#include "gateway/limits/limits.h"
#include "tests/unit/gateway/native/route_stage.h"

#include <stdio.h>

/* Redis is away: this gateway counts by itself. */
static void set_limits(struct stage *stage, const char *rates)
{
    struct gateway *gateway = &stage->gateway;
    struct err err = {0};
    assert_true(limit_policy_parse(&stage->config.limit_policy, rates, &err));
    gateway->config = &stage->config;
    stage->redis = redis_open(gateway->loop, "unix:///nowhere/redis.sock", &err);
    assert_non_null(stage->redis);
    gateway->limits = limits_new(stage->redis, "test", "a", &err);
    assert_non_null(gateway->limits);
}

/* One request with those header lines, on a connection of its own. */
static void expect(struct stage *stage, const char *request, const char *lines, int status,
                   const char *remaining)
{
    struct client client;
    char text[512];
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n%s\r\n", request, lines);
    connect_client(&client, stage);
    client_send(&client, view_of(text));
    struct reply reply = client_next(&client, false);
    struct view found = reply_header(&reply, "RateLimit-Remaining");
    if (reply.status != status || !view_equal(found, view_of(remaining))) {
        fail_msg("%s: %d, %.*s left", request, reply.status, (int)found.len, found.ptr);
    }
    assert_int_equal(reply_header(&reply, "RateLimit-Limit").len > 0, remaining[0] != '\0');
    if (status == 429) {
        assert_true(view_has(reply.body, "\"code\":\"rate_limited\""));
        assert_true(reply_header(&reply, "Retry-After").len > 0);
    }
    client_close(&client);
}

#define WITH_KEY "X-API-Key: " KEY "\r\n"

static void callers_pay_for_what_they_ask(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "free=1/3,address=1/1");
    expect(stage, "GET /sandbox", WITH_KEY, 200, "2");
    expect(stage, "GET /sandbox?limit=0", WITH_KEY, 400, "1");
    expect(stage, "GET /sandbox/" SANDBOX_ID "/status", WITH_KEY, 200, "0");
    expect(stage, "GET /sandbox", WITH_KEY, 429, "0");
    expect(stage, "GET /client/" SANDBOX_ID, WITH_KEY, 429, "0");
    expect(stage, "GET /openapi.json", "", 200, "0"); /* the address has its own */
}

static void one_request_is_paid_once(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "free=1/3");
    stage->revoke_while_fetching = true; /* looks at the key twice */
    expect(stage, "GET /sandbox/" SANDBOX_ID "/status", WITH_KEY, 401, "2");
}

static void who_has_no_good_key_pays_by_address(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "address=1/4");
    stage->refuse_key = true;
    expect(stage, "GET /sandbox", "", 401, "3");
    expect(stage, "GET /sandbox", "X-API-Key: isk_1\r\n", 401, "2");
    expect(stage, "GET /sandbox", WITH_KEY, 401, "1");
    expect(stage, "GET /api/keys", "", 401, "0");
    expect(stage, "GET /sandbox", WITH_KEY, 429, "0");
    expect(stage, "GET /sandbox", "", 429, "0");
    expect(stage, "GET /openapi.json", "", 429, "0");
}

static void a_known_key_works_from_a_spent_address(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "free=1/9,address=1/1");
    expect(stage, "GET /sandbox", WITH_KEY, 200, "8");
    expect(stage, "GET /sandbox", "", 401, "0");
    expect(stage, "GET /sandbox", "", 429, "0");
    expect(stage, "GET /sandbox", WITH_KEY, 200, "7");
}

static void what_is_signed_has_a_limit_of_its_own(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "address=1/1,preview=1/2");
    expect(stage, "POST /webhooks/clerk", "Content-Length: 0\r\n", 200, "1");
    expect(stage, "POST /webhooks/clerk", "Content-Length: 0\r\n", 200, "0");
    expect(stage, "POST /webhooks/clerk", "Content-Length: 0\r\n", 429, "0");
    expect(stage, "GET /openapi.json", "", 200, "0");
}

static void what_leads_nowhere_counts_by_address(void **state)
{
    struct stage *stage = *state;
    static const char preflight[] = "Origin: https://a.example\r\n"
                                    "Access-Control-Request-Method: POST\r\n";
    http_server_allow_origins(stage->gateway.http, "");
    set_limits(stage, "address=1/5");
    expect(stage, "GET /nowhere", WITH_KEY, 404, "4");
    expect(stage, "DELETE /sandbox", WITH_KEY, 405, "3");
    expect(stage, "GET /sandbox/%2f/status", WITH_KEY, 400, "2");
    expect(stage, "OPTIONS /sandbox/create", preflight, 204, "1");
    expect(stage, "OPTIONS /nowhere", preflight, 204, "0");
    expect(stage, "OPTIONS /sandbox/create", preflight, 429, "0");
    expect(stage, "GET /nowhere", WITH_KEY, 429, "0");
    expect(stage, "DELETE /sandbox", WITH_KEY, 429, "0");
}

static void keys_are_not_made_uncounted(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "address=1/4");
    expect(stage, "POST /api/keys", "Authorization: Bearer " TOKEN "\r\nContent-Length: 0\r\n", 503,
           "");
    expect(stage, "POST /api/keys", WITH_KEY "Content-Length: 0\r\n", 503, "");
    expect(stage, "POST /api/keys", "Content-Length: 0\r\n", 401, "3"); /* nothing is done */
}

static void an_exempt_address_pays_nothing(void **state)
{
    struct stage *stage = *state;
    http_server_free(stage->gateway.http);
    open_server(stage, "127.0.0.0/8", "");
    set_limits(stage, "free=1/1,address=1/1");
    for (int i = 0; i < 3; i++) {
        expect(stage, "GET /sandbox", WITH_KEY, 200, "");
        expect(stage, "GET /sandbox", "", 401, "");
    }
}

static void only_trusted_proxies_name_the_client(void **state)
{
    struct stage *stage = *state;
    set_limits(stage, "address=1/2");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.1\r\n", 200, "1");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.2\r\n", 200, "0");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.3\r\n", 429, "0");
    http_server_free(stage->gateway.http);
    open_server(stage, "192.0.2.9", "127.0.0.1");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.1\r\n", 200, "1");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 9.9.9.9, 192.0.2.1\r\n", 200, "0");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.1\r\n", 429, "0");
    expect(stage, "GET /openapi.json", "X-Forwarded-For: 192.0.2.9\r\n", 200, "");
    expect(stage, "GET /openapi.json", "", 429, "0"); /* the proxy itself */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_stage, clear_stage)
    const struct CMUnitTest tests[] = {
        TEST(callers_pay_for_what_they_ask),         TEST(one_request_is_paid_once),
        TEST(who_has_no_good_key_pays_by_address),   TEST(a_known_key_works_from_a_spent_address),
        TEST(what_is_signed_has_a_limit_of_its_own), TEST(keys_are_not_made_uncounted),
        TEST(what_leads_nowhere_counts_by_address),  TEST(an_exempt_address_pays_nothing),
        TEST(only_trusted_proxies_name_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
