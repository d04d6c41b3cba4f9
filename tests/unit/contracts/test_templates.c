#include "common/contracts/templates.h"
#include "tests/unit/contracts/round_trip.h"

#define TEMPLATE "11111111-1111-4111-8111-111111111111"
#define USER "22222222-2222-4222-8222-222222222222"

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct template_create create;
    struct template_settings settings;
    struct template_named named;
    struct template_piece piece;
    struct template_log log;
    struct template_log_answer answer;
    expect_round_trip(&template_create_schema, &create,
                      "{\"templateId\":\"" TEMPLATE "\",\"userId\":\"" USER
                      "\",\"name\":\"mine\",\"source\":\"dockerfile\",\"reference\":\"FROM a\","
                      "\"waits\":true,\"settings\":{\"profile\":\"sudo\"}}");
    expect_round_trip(&template_settings_schema, &settings,
                      "{\"description\":\"d\",\"profile\":\"locked\",\"readOnlyRoot\":true,"
                      "\"runtime\":\"runsc\",\"workDir\":\"/w\",\"user\":\"u\","
                      "\"env\":{\"A\":\"b\"},"
                      "\"start\":{\"command\":\"serve\",\"port\":80},\"memoryMB\":256,"
                      "\"cpuMilli\":500,\"pids\":64,\"diskMB\":100,\"network\":\"open\"}");
    expect_round_trip(&template_named_schema, &named,
                      "{\"userId\":\"" USER "\",\"template\":\"mine\"}");
    expect_round_trip(&template_piece_schema, &piece,
                      "{\"templateId\":\"" TEMPLATE "\",\"userId\":\"" USER
                      "\",\"offset\":5,\"bytes\":\"AAAA\",\"last\":true}");
    expect_round_trip(&template_log_schema, &log,
                      "{\"templateId\":\"" TEMPLATE "\",\"userId\":\"" USER
                      "\",\"from\":5,\"waitMs\":1000}");
    expect_round_trip(&template_log_answer_schema, &answer,
                      "{\"text\":\"a\",\"from\":5,\"next\":6,\"status\":\"failed\","
                      "\"failure\":\"build_failed\",\"bytes\":1,\"bytesTotal\":2}");
}

static void names_paths_and_users_have_rules(void **state)
{
    (void)state;
    static const char *const names[] = {"", "-a", ".a", "A", "a b", "a/b", TEMPLATE};
    static const char *const paths[] = {"", "a", "/a/../b", "/.", "..", "/a/."};
    static const char *const users[] = {"", "-a", "a b", "a:b", "a/b"};
    const char *problem;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_false(template_name_check(view_of(names[i]), &problem));
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_false(template_path_check(view_of(paths[i]), &problem));
    }
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        assert_false(template_user_check(view_of(users[i]), &problem));
    }
    assert_true(template_name_check(VIEW("my-app_1.2"), &problem));
    assert_true(template_path_check(VIEW("/"), &problem));
    assert_true(template_path_check(VIEW("/a/b.c/..d"), &problem));
    assert_true(template_user_check(VIEW("www-data"), &problem));
    assert_true(template_user_check(VIEW("1000"), &problem));
}

static bool settings_are_taken(const char *text)
{
    struct template_settings settings;
    struct err err = {0};
    struct json_doc *doc =
        json_read(view_of(text), &template_settings_schema, &settings, NULL, &err);
    bool taken = doc != NULL && template_settings_check(&settings, &err);
    json_doc_free(doc);
    return taken;
}

static void settings_have_rules(void **state)
{
    (void)state;
    assert_true(settings_are_taken("{}"));
    assert_false(settings_are_taken("{\"env\":{\"PATH\":\"/\"}}"));
    assert_false(settings_are_taken("{\"profile\":\"root\"}"));
    assert_false(settings_are_taken("{\"network\":\"host\"}"));
    assert_false(settings_are_taken("{\"memoryMB\":1}"));
    assert_true(settings_are_taken("{\"start\":{\"command\":\"a\"}}"));
    assert_true(settings_are_taken("{\"start\":{\"command\":\"a\",\"probe\":\"b\"}}"));
    assert_false(settings_are_taken("{\"start\":{}}"));
    assert_false(settings_are_taken("{\"start\":{\"command\":\"a\",\"timeoutMs\":60000}}"));
    assert_false(settings_are_taken("{\"start\":{\"command\":\"a\",\"Port\":80}}"));
    assert_false(settings_are_taken("{\"start\":{\"command\":\"a\",\"port\":80,\"probe\":\"b\"}}"));
    assert_false(settings_are_taken("{\"workDir\":\"/a/../b\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(settings_have_rules),
        cmocka_unit_test(names_paths_and_users_have_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
