#include "common/contracts/quota.h"
#include "tests/unit/contracts/round_trip.h"

#include <stdio.h>

static void messages_survive(void **state)
{
    (void)state;
    union {
        struct quota_question question;
        struct quota_usage usage;
    } any;
    expect_round_trip(&quota_question_schema, &any,
                      "{\"userId\":\"11111111-1111-4111-8111-111111111111\","
                      "\"apiKeyId\":\"22222222-2222-4222-8222-222222222222\"}");
    expect_round_trip(&quota_usage_schema, &any,
                      "{\"tier\":\"pro\",\"sandboxes\":1,\"memoryMB\":2,\"cpuMilli\":3,"
                      "\"diskMB\":4,\"keySandboxes\":5,\"keyMost\":6,\"most\":7,"
                      "\"eachMemoryMB\":8,\"eachCpuMilli\":9,\"eachPids\":10,\"eachDiskMB\":11,"
                      "\"eachLifetimeHours\":12}");
}

static void processors_are_written_without_what_says_nothing(void **state)
{
    (void)state;
    static const struct {
        int64_t cpu_milli;
        const char *text;
    } cases[] = {{1000, "1"}, {1500, "1.5"}, {10, "0.01"}, {125, "0.125"}, {64000, "64"}, {0, "0"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str out = STR_INIT(64);
        struct json_writer writer = json_writer_on(&out);
        json_begin_array(&writer, NULL);
        cpu_write(&writer, NULL, cases[i].cpu_milli);
        json_end_array(&writer);
        char expected[32];
        (void)snprintf(expected, sizeof expected, "[%s]", cases[i].text);
        assert_string_equal(out.data, expected);
    }
}

static void processors_are_read_within_bounds(void **state)
{
    (void)state;
    int64_t milli = 0;
    assert_true(cpu_read(1.5, &milli));
    assert_int_equal(milli, 1500);
    assert_true(cpu_read(0.01, &milli));
    assert_int_equal(milli, 10);
    assert_true(cpu_read(0.3, &milli)); /* no number of the machine's */
    assert_int_equal(milli, 300);
    assert_false(cpu_read(0.009, &milli));
    assert_false(cpu_read(0, &milli));
    assert_false(cpu_read(-1, &milli));
    assert_false(cpu_read(1025, &milli));
}

static void limits_are_shown(void **state)
{
    (void)state;
    AUTO(str_free) struct str out = STR_INIT(256);
    struct json_writer writer = json_writer_on(&out);
    const struct resource_limits limits = {512, 500, 256, 0, 2};
    json_begin_object(&writer, NULL);
    resource_limits_write(&writer, "resourceLimits", &limits);
    json_end_object(&writer);
    assert_string_equal(out.data, "{\"resourceLimits\":{\"memoryMB\":512,\"cpu\":0.5,"
                                  "\"cpuShares\":512,\"pids\":256,\"diskMB\":null,"
                                  "\"lifetimeHours\":2}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(processors_are_written_without_what_says_nothing),
        cmocka_unit_test(processors_are_read_within_bounds),
        cmocka_unit_test(limits_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
