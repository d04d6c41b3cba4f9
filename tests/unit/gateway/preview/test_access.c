/* gateway/preview/access.h: the token in every place it may come in, and out of all of them. */
#include "gateway/preview/access.h"

#include "gateway/preview/destination.h"
#include "tests/unit/gateway/preview/head.h"

static bool is_secret(struct view token, void *arg)
{
    (void)arg;
    return view_equal(token, VIEW("secret"));
}

static enum access_verdict check(const char *name, const char *value, const char *query)
{
    const struct http_header header = {view_of(name), view_of(value)};
    const struct http_head head = {.headers = &header, .header_count = 1, .query = view_of(query)};
    return access_check(&head, is_secret, NULL);
}

static void the_token_is_found_where_it_may_be(void **state)
{
    static const struct {
        const char *header;
        const char *value;
        const char *query;
        enum access_verdict verdict;
    } cases[] = {
        {"X-Preview-Token", "secret", "", ACCESS_ADMITTED},
        {"x-preview-token", "secret", "", ACCESS_ADMITTED},
        {"insien-preview-token", "secret", "", ACCESS_ADMITTED},
        {"Cookie", "a=b; insien_preview=secret", "", ACCESS_ADMITTED},
        {"Cookie", "insien_preview=old;insien_preview=secret;", "", ACCESS_ADMITTED},
        {"Sec-WebSocket-Protocol", "vite-hmr, insien.token.secret", "", ACCESS_ADMITTED},
        {"A", "b", "x=1&preview_token=secret", ACCESS_ADMITTED_BY_QUERY},
        {"Cookie", "insien_preview=secret", "preview_token=secret", ACCESS_ADMITTED_BY_QUERY},
        {"Cookie", "insien_preview=secret", "preview_token=wrong", ACCESS_ADMITTED},
        {"X-Preview-Token", "secret ", "", ACCESS_REFUSED},
        {"X-Preview-Token", "", "", ACCESS_REFUSED},
        {"Cookie", "xinsien_preview=secret", "", ACCESS_REFUSED},
        {"Cookie", "insien_preview", "", ACCESS_REFUSED},
        {"Sec-WebSocket-Protocol", "secret", "", ACCESS_REFUSED},
        {"Sec-WebSocket-Protocol", "insien.token.", "", ACCESS_REFUSED},
        {"Authorization", "Bearer secret", "", ACCESS_REFUSED},
        {"A", "b", "preview_token=", ACCESS_REFUSED},
        {"A", "b", "", ACCESS_REFUSED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum access_verdict verdict = check(cases[i].header, cases[i].value, cases[i].query);
        if (verdict != cases[i].verdict) {
            fail_msg("%s: %s ?%s: %d", cases[i].header, cases[i].value, cases[i].query, verdict);
        }
    }
}

static void assert_copy(void (*copy)(struct view, struct str *), const char *from,
                        const char *expected)
{
    AUTO(str_free) struct str out = STR_INIT(1024);
    copy(view_of(from), &out);
    assert_text(str_view(&out), expected);
}

static void what_is_ours_is_taken_out_and_nothing_else(void **state)
{
    (void)state;
    assert_copy(access_copy_query, "a=1&preview_token=x&b", "a=1&b");
    assert_copy(access_copy_query, "preview%5ftoken=x", "");
    assert_copy(access_copy_query, "a=1&&b=%zz&", "a=1&&b=%zz&");
    assert_copy(access_copy_cookies, "a=1; insien_preview=x;b=2", "a=1; b=2");
    assert_copy(access_copy_cookies, "insien_preview=x", "");
    assert_copy(access_copy_protocols, "insien.token.x, vite-hmr", "vite-hmr");
    assert_copy(access_copy_protocols, "insien.token.x", "");
}

static void the_way_back_is_the_same_address_without_the_token(void **state)
{
    static const struct {
        const char *prefix;
        const char *path;
        const char *query;
        const char *location;
    } cases[] = {
        {"", "/a/b", "preview_token=x", "/a/b"},
        {"", "/a", "q=1&preview_token=x&r", "/a?q=1&r"},
        {"", "//evil.example/", "preview_token=x", "/.//evil.example/"},
        {"/preview/i/1", "//a", "preview_token=x", "/preview/i/1//a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct preview_destination destination = {.path = view_of(cases[i].path)};
        const struct http_head head = {.query = view_of(cases[i].query)};
        AUTO(str_free) struct str out = STR_INIT(1024);
        (void)view_copy(view_of(cases[i].prefix), destination.prefix, sizeof destination.prefix);
        access_write_location(&head, &destination, &out);
        assert_text(str_view(&out), cases[i].location);
    }
}

static void the_cookie_is_for_the_preview_alone(void **state)
{
    (void)state;
    struct preview_destination destination = {.form = PREVIEW_PATH, .prefix = "/preview/i/1"};
    const struct http_head head = {.query = VIEW("preview_token=secret")};
    AUTO(str_free) struct str out = STR_INIT(1024);
    access_write_cookie(&head, &destination, false, &out);
    assert_text(str_view(&out),
                "insien_preview=secret; Path=/preview/i/1/; HttpOnly; SameSite=Lax");
    str_clear(&out);
    destination.prefix[0] = '\0';
    access_write_cookie(&head, &destination, true, &out);
    assert_text(str_view(&out), "insien_preview=secret; Path=/; HttpOnly; SameSite=Lax; Secure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_is_found_where_it_may_be),
        cmocka_unit_test(what_is_ours_is_taken_out_and_nothing_else),
        cmocka_unit_test(the_way_back_is_the_same_address_without_the_token),
        cmocka_unit_test(the_cookie_is_for_the_preview_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
