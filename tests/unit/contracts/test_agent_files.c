#include "common/contracts/agent_files.h"
#include "tests/unit/contracts/round_trip.h"

static void a_request_of_all_members_survives(void **state)
{
    (void)state;
    struct agent_list list;
    struct agent_stat stat;
    struct agent_mkdir mkdir;
    struct agent_rename rename;
    struct agent_remove remove;
    struct agent_unwatch unwatch;
    expect_round_trip(&agent_list_schema, &list,
                      "{\"id\":\"1\",\"type\":\"list\",\"path\":\"/a\",\"user\":\"u\",\"depth\":32,"
                      "\"limit\":10000}");
    expect_round_trip(&agent_stat_schema, &stat,
                      "{\"type\":\"stat\",\"path\":\"a\",\"follow\":false}");
    expect_round_trip(&agent_mkdir_schema, &mkdir,
                      "{\"type\":\"mkdir\",\"path\":\"a\",\"parents\":false,\"mode\":\"0755\"}");
    expect_round_trip(&agent_rename_schema, &rename,
                      "{\"type\":\"rename\",\"path\":\"a\",\"to\":\"b\",\"overwrite\":true}");
    expect_round_trip(&agent_copy_schema, &rename,
                      "{\"type\":\"copy\",\"path\":\"a\",\"to\":\"b\",\"overwrite\":false,"
                      "\"recursive\":true}");
    expect_round_trip(&agent_remove_schema, &remove,
                      "{\"type\":\"remove\",\"path\":\"a\",\"recursive\":true}");
    expect_round_trip(&agent_unwatch_schema, &unwatch, "{\"type\":\"unwatch\",\"streamId\":1}");
}

static void a_request_that_opens_a_stream_survives(void **state)
{
    (void)state;
    struct agent_upload upload;
    struct agent_download download;
    struct agent_watch watch;
    struct agent_dial dial;
    expect_round_trip(&agent_upload_schema, &upload,
                      "{\"type\":\"upload\",\"path\":\"a\",\"streamId\":7,\"mode\":\"644\","
                      "\"size\":12345678901,\"sync\":true,\"parents\":false}");
    assert_true(upload.has_size);
    expect_round_trip(&agent_download_schema, &download,
                      "{\"type\":\"download\",\"path\":\"a\",\"streamId\":2147483647,"
                      "\"offset\":12345678901,\"length\":0}");
    assert_true(download.has_length);
    expect_round_trip(&agent_watch_schema, &watch,
                      "{\"type\":\"watch\",\"path\":\"a\",\"streamId\":1,\"recursive\":false}");
    expect_round_trip(&agent_dial_schema, &dial,
                      "{\"type\":\"dial\",\"port\":65535,\"streamId\":1}");
}

static void what_is_not_said_has_a_default(void **state)
{
    (void)state;
    struct agent_list list;
    struct agent_stat stat;
    struct agent_mkdir mkdir;
    struct agent_upload upload;
    struct agent_download download;
    struct agent_watch watch;
    struct err err;
    assert_string_equal(refusal(&agent_list_schema, &list, "{\"path\":\"a\"}", &err), "");
    assert_int_equal(list.depth, 1);
    assert_int_equal(list.limit, LIST_ENTRIES_MAX);
    assert_string_equal(refusal(&agent_stat_schema, &stat, "{\"path\":\"a\"}", &err), "");
    assert_true(stat.follow);
    assert_string_equal(refusal(&agent_mkdir_schema, &mkdir, "{\"path\":\"a\"}", &err), "");
    assert_true(mkdir.parents);
    static const char stream[] = "{\"path\":\"a\",\"streamId\":1}";
    assert_string_equal(refusal(&agent_upload_schema, &upload, stream, &err), "");
    assert_true(upload.parents && !upload.sync && !upload.has_size);
    assert_string_equal(refusal(&agent_download_schema, &download, stream, &err), "");
    assert_true(download.offset == 0 && !download.has_length);
    assert_string_equal(refusal(&agent_watch_schema, &watch, stream, &err), "");
    assert_true(watch.recursive);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const struct json_schema *schema;
        const char *text;
    } cases[] = {
        {&agent_list_schema, "{\"path\":\"\"}"},
        {&agent_list_schema, "{\"path\":\"a\\u0000\"}"},
        {&agent_list_schema, "{\"path\":\"a\",\"depth\":33}"},
        {&agent_list_schema, "{\"path\":\"a\",\"limit\":10001}"},
        {&agent_list_schema, "{\"path\":\"a\",\"limit\":0}"},
        {&agent_mkdir_schema, "{\"path\":\"a\",\"mode\":\"75\"}"},
        {&agent_mkdir_schema, "{\"path\":\"a\",\"mode\":\"00755\"}"},
        {&agent_mkdir_schema, "{\"path\":\"a\",\"mode\":\"0789\"}"},
        {&agent_rename_schema, "{\"path\":\"a\"}"},
        {&agent_upload_schema, "{\"path\":\"a\"}"},
        {&agent_upload_schema, "{\"path\":\"a\",\"streamId\":0}"},
        {&agent_upload_schema, "{\"path\":\"a\",\"streamId\":1,\"size\":-1}"},
        {&agent_download_schema, "{\"path\":\"a\",\"streamId\":2147483648}"},
        {&agent_download_schema, "{\"path\":\"a\",\"streamId\":1,\"offset\":-1}"},
        {&agent_dial_schema, "{\"port\":0,\"streamId\":1}"},
        {&agent_dial_schema, "{\"port\":65536,\"streamId\":1}"},
    };
    union {
        struct agent_list list;
        struct agent_mkdir mkdir;
        struct agent_rename rename;
        struct agent_upload upload;
        struct agent_download download;
        struct agent_dial dial;
    } request;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;
        if (*refusal(cases[i].schema, &request, cases[i].text, &err) == '\0') {
            fail_msg("%s is taken", cases[i].text);
        }
    }
}

static void modes_are_octal(void **state)
{
    (void)state;
    assert_int_equal(agent_file_mode(VIEW("0644"), 0), 0644);
    assert_int_equal(agent_file_mode(VIEW("755"), 0), 0755);
    assert_int_equal(agent_file_mode(VIEW("1777"), 0), 01777);
    assert_int_equal(agent_file_mode(VIEW(""), 0600), 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_of_all_members_survives),
        cmocka_unit_test(a_request_that_opens_a_stream_survives),
        cmocka_unit_test(what_is_not_said_has_a_default),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(modes_are_octal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
