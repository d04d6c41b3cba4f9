/* gateway/http/cors.h, on the wire and off it. */
#include "gateway/http/cors.h"
#include "tests/unit/gateway/http/fixture.h"

#include <string.h>

#define PAGE "https://b.example"

static void a_page_must_be_on_the_list_if_there_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *list;
        const char *origin;
        bool allowed;
    } cases[] = {
        {"no list", "", PAGE, true},
        {"alone", PAGE, PAGE, true},
        {"first", PAGE ",https://a.example", PAGE, true},
        {"behind a comma", "https://a.example," PAGE, PAGE, true},
        {"behind a comma and a blank", "https://a.example, " PAGE, PAGE, true},
        {"with blanks around", " " PAGE " ,https://a.example", PAGE, true},
        {"another", "https://a.example", PAGE, false},
        {"a longer one", PAGE ".org", PAGE, false},
        {"a shorter one", "https://b.exampl", PAGE, false},
        {"below it", "https://example", "https://b.example", false},
        {"another scheme", "http://b.example", PAGE, false},
        {"another port", PAGE ":8443", PAGE, false},
        {"another letter case", PAGE, "https://B.example", false},
        {"null", PAGE, "null", false},
        {"null that is listed by mistake", "null", "null, ", false},
        {"nothing", PAGE ",", "", false},
        {"only a comma", ",", PAGE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cors_allows(view_of(cases[i].list), view_of(cases[i].origin)) != cases[i].allowed) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static void a_list_holds_origins_as_browsers_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool good;
    } cases[] = {
        {"", true},
        {PAGE, true},
        {" " PAGE " , http://localhost:3000,", true},
        {"http://[::1]:8080", true},
        {"http://127.0.0.1:443", true},
        {"chrome-extension://abcdefgh", true},
        {"*", false},
        {"null", false},
        {"b.example", false},
        {"https://", false},
        {"://b.example", false},
        {"https://b.example/", false},
        {"https://b.example/app", false},
        {"https://b.example?", false},
        {"https://*.example", false},
        {"https://B.example", false},
        {"HTTPS://b.example", false},
        {"https://user@b.example", false},
        {"https://b.example:443", false},
        {"http://b.example:80", false},
        {"https://b.example:65536", false},
        {PAGE " http://c.example", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err = {0};
        if (cors_list_check(view_of(cases[i].list), &err) != cases[i].good) {
            fail_msg("%s", cases[i].list);
        }
        assert_int_equal(err.code, cases[i].good ? ERR_NONE : ERR_INVALID);
    }
}

static void scene_open_to(struct scene *scene, const char *origins)
{
    scene_open(scene, &http_default_limits);
    http_server_allow_origins(scene->fixture.server, origins);
}

static struct reply ask(struct scene *scene, const char *line, const char *headers)
{
    AUTO(str_free) struct str request = STR_INIT(SCRATCH_MAX);
    str_appendf(&request, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, headers);
    client_send(&scene->client, str_view(&request));
    return client_next(&scene->client, false);
}

static void assert_none(const struct reply *reply, const char *name)
{
    if (reply_header(reply, name).ptr != NULL) {
        fail_msg("%s is there", name);
    }
}

static const char exposed[] = "RateLimit, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, "
                              "RateLimit-Reset, Retry-After, X-Request-Id";

static void without_a_list_every_page_may_read_but_without_cookies(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /none", "GET /error", "GET /empty", "GET /%zz"};
    static const char *const origins[] = {"Origin: " PAGE "\r\n", "Origin: null\r\n", ""};
    struct scene scene;
    scene_open_to(&scene, "");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (size_t o = 0; o < sizeof origins / sizeof origins[0]; o++) {
            struct reply reply = ask(&scene, lines[i], origins[o]);
            assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), "*");
            assert_view(reply_header(&reply, "Access-Control-Expose-Headers"), exposed);
            assert_none(&reply, "Access-Control-Allow-Credentials");
            assert_none(&reply, "Vary");
        }
    }
    scene_close(&scene);
}

static void a_page_on_the_list_may_read_and_be_recognized(void **state)
{
    (void)state;
    static const char *const lines[] = {"GET /none", "GET /error", "GET /empty", "GET /%zz"};
    struct scene scene;
    scene_open_to(&scene, "https://a.example, " PAGE);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct reply reply = ask(&scene, lines[i], "Origin: " PAGE "\r\n");
        assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), PAGE);
        assert_view(reply_header(&reply, "Access-Control-Allow-Credentials"), "true");
        assert_view(reply_header(&reply, "Access-Control-Expose-Headers"), exposed);
        assert_view(reply_header(&reply, "Vary"), "Origin");
    }
    scene_close(&scene);
}

static void other_pages_get_no_permission_and_caches_know(void **state)
{
    (void)state;
    static const char *const origins[] = {"Origin: null\r\n", "Origin: " PAGE ".org\r\n",
                                          "Origin: http://b.example\r\n",
                                          "Origin: " PAGE ":443\r\n", ""};
    struct scene scene;
    scene_open_to(&scene, PAGE);
    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        struct reply reply = ask(&scene, "GET /none", origins[i]);
        assert_int_equal(reply.status, 200);
        assert_view(reply_header(&reply, "Vary"), "Origin");
        assert_none(&reply, "Access-Control-Allow-Origin");
        assert_none(&reply, "Access-Control-Allow-Credentials");
        assert_none(&reply, "Access-Control-Expose-Headers");
    }
    scene_close(&scene);
}

static void answers_before_any_handler_carry_it_too(void **state)
{
    (void)state;
    struct scene scene;
    scene_open_to(&scene, "");
    struct reply reply = ask(&scene, "BAD", "");
    assert_int_equal(reply.status, 400);
    assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), "*");
    scene_close(&scene);
    scene_open_to(&scene, PAGE);
    reply = ask(&scene, "POST /echo", "Origin: " PAGE "\r\nContent-Length: 65\r\n");
    assert_int_equal(reply.status, 413);
    assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), PAGE);
    scene_close(&scene);
}

static void begin_answer(struct http_exchange *exchange, bool bare)
{
    const struct http_response response = {.status = 200, .content_type = "a/b", .bare = bare};
    http_respond_begin(exchange, &response, 0, NULL, NULL);
    http_respond_end(exchange);
}

static void a_streamed_answer_carries_it_but_not_somebody_elses(void **state)
{
    (void)state;
    struct scene scene;
    scene_open_to(&scene, PAGE);
    client_send(&scene.client, VIEW("GET /hold HTTP/1.1\r\nHost: a\r\nOrigin: " PAGE "\r\n\r\n"));
    begin_answer(TAKE(scene.fixture.held), false);
    struct reply reply = client_next(&scene.client, false);
    assert_view(reply_header(&reply, "Access-Control-Allow-Origin"), PAGE);
    client_send(&scene.client, VIEW("GET /hold HTTP/1.1\r\nHost: a\r\nOrigin: " PAGE "\r\n\r\n"));
    begin_answer(TAKE(scene.fixture.held), true);
    reply = client_next(&scene.client, false);
    assert_int_equal(reply.status, 200);
    assert_none(&reply, "Access-Control-Allow-Origin");
    assert_none(&reply, "Vary");
    scene_close(&scene);
}

static void a_server_without_pages_says_nothing(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, &http_default_limits);
    struct reply reply = ask(&scene, "GET /none", "Origin: " PAGE "\r\n");
    assert_none(&reply, "Access-Control-Allow-Origin");
    assert_none(&reply, "Vary");
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_must_be_on_the_list_if_there_is_one),
        cmocka_unit_test(a_list_holds_origins_as_browsers_write_them),
        cmocka_unit_test(without_a_list_every_page_may_read_but_without_cookies),
        cmocka_unit_test(a_page_on_the_list_may_read_and_be_recognized),
        cmocka_unit_test(other_pages_get_no_permission_and_caches_know),
        cmocka_unit_test(answers_before_any_handler_carry_it_too),
        cmocka_unit_test(a_streamed_answer_carries_it_but_not_somebody_elses),
        cmocka_unit_test(a_server_without_pages_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
