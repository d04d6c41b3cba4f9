/* gateway/preview/destination.h: hosts and paths that are previews, and those that are not. */
#include "gateway/preview/destination.h"

#include "tests/unit/gateway/preview/head.h"

static struct preview_destination find(const char *host, const char *path, const char *domain)
{
    const struct http_head head = {.host = view_of(host), .path = view_of(path)};
    struct preview_destination destination;
    preview_find_destination(&head, domain, &destination);
    return destination;
}

static void hosts_below_the_domain_are_told_apart(void **state)
{
    static const struct {
        const char *name;
        const char *host;
        enum preview_form form;
        bool is_named;
        uint16_t port;
    } cases[] = {
        {"plain", "3000-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, true, 3000},
        {"port", "3000-" SANDBOX_ID32 ".localhost:8443", PREVIEW_HOST, true, 3000},
        {"letter case", "80-" SANDBOX_ID32 ".LocalHost:1", PREVIEW_HOST, true, 80},
        {"root's dot", "80-" SANDBOX_ID32 ".localhost.:1", PREVIEW_HOST, true, 80},
        {"last port", "65535-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, true, 65535},
        {"no such port", "65536-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"port 0", "0-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"zeros in front", "080-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"no port", "-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"word for a port", "http-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"deeper", "a.80-" SANDBOX_ID32 ".localhost", PREVIEW_HOST, false, 0},
        {"short id", "80-3333.localhost", PREVIEW_NONE, false, 0},
        {"id with dashes", "80-" SANDBOX_ID ".localhost", PREVIEW_NONE, false, 0},
        {"the domain", "localhost:3000", PREVIEW_NONE, false, 0},
        {"another domain", "80-" SANDBOX_ID32 ".example.com", PREVIEW_NONE, false, 0},
        {"domain as an ending", "80-" SANDBOX_ID32 ".xlocalhost", PREVIEW_NONE, false, 0},
        {"none", "", PREVIEW_NONE, false, 0},
        {"address", "[::1]:3000", PREVIEW_NONE, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct preview_destination found = find(cases[i].host, "/health", "localhost");
        if (found.form != cases[i].form || found.is_named != cases[i].is_named) {
            fail_msg("%s: form %d, named %d", cases[i].name, found.form, found.is_named);
        }
        if (cases[i].is_named) {
            assert_int_equal(found.port, cases[i].port);
            assert_string_equal(found.sandbox_id, SANDBOX_ID);
            assert_string_equal(found.prefix, "");
            assert_text(found.path, "/health");
        }
    }
}

static void without_a_domain_no_host_is_a_preview(void **state)
{
    (void)state;
    assert_int_equal(find("3000-" SANDBOX_ID32 ".localhost", "/", "").form, PREVIEW_NONE);
}

static void the_path_form_has_its_prefix_taken_off(void **state)
{
    static const struct {
        const char *path;
        bool is_named;
        const char *rest;
    } cases[] = {
        {"/preview/" SANDBOX_ID "/3000/", true, "/"},
        {"/preview/" SANDBOX_ID "/3000/a/%2e./b", true, "/a/%2e./b"},
        {"/preview/" SANDBOX_ID "/3000//a", true, "//a"},
        {"/preview/" SANDBOX_ID "/3000", true, ""},
        {"/preview/" SANDBOX_ID "/", false, NULL},
        {"/preview/" SANDBOX_ID, false, NULL},
        {"/preview/" SANDBOX_ID "/x/", false, NULL},
        {"/preview/" SANDBOX_ID "/3000x/", false, NULL},
        {"/preview/" SANDBOX_ID32 "/3000/", false, NULL},
        {"/preview/", false, NULL},
        {"/preview//3000/", false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct preview_destination found = find("h", cases[i].path, "localhost");
        assert_int_equal(found.form, PREVIEW_PATH);
        if (found.is_named != cases[i].is_named) {
            fail_msg("%s: named %d", cases[i].path, found.is_named);
        }
        if (found.is_named) {
            assert_string_equal(found.prefix, "/preview/" SANDBOX_ID "/3000");
            assert_int_equal(found.port, 3000);
            assert_text(found.path, cases[i].rest);
        }
    }
}

static void other_paths_are_the_apis(void **state)
{
    (void)state;
    assert_int_equal(find("h", "/preview", "localhost").form, PREVIEW_NONE);
    assert_int_equal(find("h", "/previews/a", "localhost").form, PREVIEW_NONE);
    assert_int_equal(find("h", "/", "localhost").form, PREVIEW_NONE);
}

static void the_host_decides_before_the_path(void **state)
{
    (void)state;
    struct preview_destination found =
        find("80-" SANDBOX_ID32 ".localhost", "/preview/" SANDBOX_ID "/3000/", "localhost");
    assert_int_equal(found.form, PREVIEW_HOST);
    assert_int_equal(found.port, 80);
    assert_text(found.path, "/preview/" SANDBOX_ID "/3000/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_below_the_domain_are_told_apart),
        cmocka_unit_test(without_a_domain_no_host_is_a_preview),
        cmocka_unit_test(the_path_form_has_its_prefix_taken_off),
        cmocka_unit_test(other_paths_are_the_apis),
        cmocka_unit_test(the_host_decides_before_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
