/* gateway/preview/answer_headers.h: what a client gets to see of an answer's head. */
#include "gateway/preview/answer_headers.h"

#include "gateway/preview/destination.h"
#include "tests/unit/gateway/preview/head.h"

static const struct preview_destination by_host = {.form = PREVIEW_HOST, .port = 3000};
static const struct preview_destination by_path = {
    .form = PREVIEW_PATH, .port = 3000, .prefix = "/preview/i/3000"};

static void assert_header(const struct preview_destination *destination, const char *name,
                          const char *value, const char *expected)
{
    const struct http_header header = {view_of(name), view_of(value)};
    const struct answer_head head = {.status = 200, .headers = &header, .header_count = 1};
    struct answer_headers headers = {0};
    struct err err = {0};
    assert_true(answer_headers_fill(&headers, &head, destination, &err));
    assert_int_equal(headers.count, expected == NULL ? 0 : 1);
    if (expected != NULL) {
        assert_text(headers.items[0].value, expected);
    }
    answer_headers_free(&headers);
}

static void what_ends_at_a_proxy_is_left_out(void **state)
{
    (void)state;
    const struct http_header all[] = {
        {VIEW("Connection"), VIEW("close, X-Named")}, {VIEW("X-Named"), VIEW("1")},
        {VIEW("Keep-Alive"), VIEW("timeout=5")},      {VIEW("Transfer-Encoding"), VIEW("chunked")},
        {VIEW("Content-Length"), VIEW("1")},          {VIEW("Proxy-Authenticate"), VIEW("Basic")},
        {VIEW("Content-Type"), VIEW("text/css")},
    };
    const struct answer_head head = {
        .status = 200, .headers = all, .header_count = sizeof all / sizeof all[0]};
    struct answer_headers headers = {0};
    struct err err = {0};
    assert_true(answer_headers_fill(&headers, &head, &by_host, &err));
    assert_int_equal(headers.count, 1);
    assert_text(headers.items[0].name, "Content-Type");
    answer_headers_free(&headers);
}

static void a_cookie_stays_with_its_preview(void **state)
{
    (void)state;
    assert_header(&by_host, "Set-Cookie", "a=b; Domain=example.com;Path=/x; HttpOnly",
                  "a=b; Path=/x; HttpOnly");
    assert_header(&by_host, "set-cookie", "a=b", "a=b");
    assert_header(&by_path, "Set-Cookie", "a=b; path=/x; Secure",
                  "a=b; Secure; Path=/preview/i/3000/x");
    assert_header(&by_path, "Set-Cookie", "a=b", "a=b; Path=/preview/i/3000/");
    assert_header(&by_path, "Set-Cookie", "a=b; Path=/x; Path=", "a=b; Path=/preview/i/3000/");
}

static void a_redirect_of_the_path_form_stays_below_the_prefix(void **state)
{
    (void)state;
    assert_header(&by_path, "Location", "/login?x", "/preview/i/3000/login?x");
    assert_header(&by_path, "Location", "/preview/i/3000/login", "/preview/i/3000/login");
    assert_header(&by_path, "Location", "/preview/i/30001", "/preview/i/3000/preview/i/30001");
    assert_header(&by_path, "Location", "http://localhost:3000/a", "/preview/i/3000/a");
    assert_header(&by_path, "Location", "http://localhost:3000", "/preview/i/3000/");
    assert_header(&by_path, "Location", "http://localhost:30001/a", "http://localhost:30001/a");
    assert_header(&by_path, "Location", "https://example.com/", "https://example.com/");
    assert_header(&by_path, "Location", "next", "next");
    assert_header(&by_host, "Location", "/login", "/login");
}

static void what_holds_for_a_whole_host_is_left_out_of_the_path_form(void **state)
{
    (void)state;
    assert_header(&by_path, "Strict-Transport-Security", "max-age=1", NULL);
    assert_header(&by_path, "Service-Worker-Allowed", "/", NULL);
    assert_header(&by_path, "Clear-Site-Data", "\"*\"", NULL);
    assert_header(&by_path, "NEL", "{}", NULL);
    assert_header(&by_path, "report-to", "{}", NULL);
    assert_header(&by_path, "Alt-Svc", "h2=\":8443\"", NULL);
    assert_header(&by_path, "Accept-CH", "DPR", NULL);
    assert_header(&by_path, "Use-As-Dictionary", "match=\"/*\"", NULL);
    assert_header(&by_host, "NEL", "{}", "{}");
    assert_header(&by_host, "Service-Worker-Allowed", "/", "/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ends_at_a_proxy_is_left_out),
        cmocka_unit_test(a_cookie_stays_with_its_preview),
        cmocka_unit_test(a_redirect_of_the_path_form_stays_below_the_prefix),
        cmocka_unit_test(what_holds_for_a_whole_host_is_left_out_of_the_path_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
