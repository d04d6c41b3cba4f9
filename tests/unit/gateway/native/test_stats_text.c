#include "gateway/native/stats_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct sandbox_meta sandbox = {
    .id = "33333333-3333-4333-8333-333333333333",
    .tier = "free",
    .limits =
        {.memory_mb = 512, .cpu_milli = 1000, .pids = 256, .disk_mb = 1024, .lifetime_hours = 2},
};

/* The answer to what the agent said; valid until the next. */
static const char *text_of(const char *usage_text)
{
    static char kept[STATS_TEXT_MAX];
    struct agent_usage usage;
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(STATS_TEXT_MAX);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(view_of(usage_text), &agent_usage_schema, &usage, NULL, &err);
    assert_non_null(doc);
    stats_text_write(&sandbox, &usage, &out);
    assert_true(view_copy(str_view(&out), kept, sizeof kept));
    return kept;
}

static void all_that_is_known_is_told(void **state)
{
    (void)state;
    assert_string_equal(
        text_of("{\"atMs\":0,\"memory\":{\"bytes\":268435456,\"limitBytes\":536870912,"
                "\"peakBytes\":300000000,\"oomKills\":0},\"cpu\":{\"us\":1234567,\"nowMilli\":255,"
                "\"limitMilli\":1000,\"throttledUs\":2000},\"pids\":{\"count\":3,\"limit\":256,"
                "\"refused\":0},\"network\":{\"receivedBytes\":1,\"sentBytes\":2},"
                "\"disk\":{\"bytes\":10,\"limitBytes\":100}}"),
        "{\"sandboxId\":\"33333333-3333-4333-8333-333333333333\",\"stats\":{"
        "\"memory\":{\"usage\":268435456,\"limit\":536870912,\"percent\":50.0,\"peak\":300000000},"
        "\"cpu\":{\"percent\":25.5,\"limitPercent\":100.0,\"usageMs\":1234,\"throttledMs\":2},"
        "\"network\":{\"rx_bytes\":1,\"tx_bytes\":2},\"disk\":{\"usage\":10,\"limit\":100},"
        "\"pids\":{\"current\":3,\"limit\":256},\"timestamp\":\"1970-01-01T00:00:00.000Z\"},"
        "\"resourceLimits\":{\"memoryMB\":512,\"cpu\":1,\"cpuShares\":1024,\"pids\":256,"
        "\"diskMB\":1024,\"lifetimeHours\":2},"
        "\"violations\":[],\"recommendations\":[],\"tier\":\"free\"}");
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    const char *text = text_of("{}");
    assert_non_null(
        strstr(text, "\"memory\":{\"usage\":null,\"limit\":null,\"percent\":null,\"peak\":null}"));
    assert_non_null(strstr(text, "\"violations\":[]"));
    assert_non_null(strstr(text, "\"timestamp\":null"));
}

static void kills_for_want_of_memory_are_a_violation(void **state)
{
    (void)state;
    const char *text = text_of("{\"memory\":{\"oomKills\":3}}");
    assert_non_null(strstr(text, "\"violations\":[{\"type\":\"oom\",\"level\":\"critical\","
                                 "\"message\":\"The kernel killed 3 processes for want of memory."
                                 "\",\"count\":3}],\"recommendations\":[\""));
}

static void limits_that_are_near_are_told(void **state)
{
    (void)state;
    const char *text = text_of("{\"memory\":{\"bytes\":90,\"limitBytes\":100},"
                               "\"cpu\":{\"nowMilli\":899,\"limitMilli\":1000},"
                               "\"disk\":{\"bytes\":95,\"limitBytes\":100},"
                               "\"pids\":{\"refused\":1}}");
    assert_non_null(strstr(text, "{\"type\":\"memory\",\"level\":\"warning\","));
    assert_non_null(strstr(text, "{\"type\":\"disk\",\"level\":\"critical\","));
    assert_non_null(strstr(text, "{\"type\":\"pids\",\"level\":\"critical\","));
    assert_null(strstr(text, "\"type\":\"cpu\""));
    assert_null(strstr(text, "\"type\":\"oom\""));
    text = text_of("{\"cpu\":{\"nowMilli\":900,\"limitMilli\":1000}}");
    assert_non_null(strstr(text, "{\"type\":\"cpu\",\"level\":\"warning\","));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_known_is_told),
        cmocka_unit_test(what_is_not_known_is_null),
        cmocka_unit_test(kills_for_want_of_memory_are_a_violation),
        cmocka_unit_test(limits_that_are_near_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
