#include "gateway/native/execute_order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void defaults_are_filled_in(void **state)
{
    (void)state;
    struct execute_order order;
    struct json_violations violations = {.count = 0};
    struct err err = {0};
    assert_true(execute_order_read(VIEW("{\"code\":\"print(1)\",\"language\":\"py\"}"), &order,
                                   &violations, &err));
    assert_string_equal(order.language->name, "python");
    assert_int_equal(order.timeout_ms, EXECUTE_TIMEOUT_MS_DEFAULT);
    assert_int_equal(order.test_count, 0);
    assert_int_equal(execute_order_life_ms(&order), 60000 + 60000 + 30000 + 30000);
    execute_order_free(&order);
}

static void all_members_are_read(void **state)
{
    (void)state;
    struct execute_order order;
    struct json_violations violations = {.count = 0};
    struct err err = {0};
    assert_true(execute_order_read(
        VIEW("{\"code\":\"x\",\"language\":\"c\",\"timeout\":2000,\"input\":\"in\","
             "\"files\":{\"a/b.txt\":\"data\"},\"env\":{\"A\":\"1\"},\"tests\":["
             "{\"input\":\"1\",\"expected\":\"2\"},"
             "{\"expected\":\"3\",\"comparator\":\"numbers\"}]}"),
        &order, &violations, &err));
    assert_true(view_equal(order.input, VIEW("in")));
    assert_int_equal(order.files.count, 1);
    assert_true(view_equal(order.files.items[0].name, VIEW("a/b.txt")));
    assert_int_equal(order.env.count, 1);
    assert_int_equal(order.test_count, 2);
    assert_true(view_equal(order.tests[0].input, VIEW("1")));
    assert_int_equal(order.tests[0].comparator, COMPARE_LINES);
    assert_true(view_equal(order.tests[1].expected, VIEW("3")));
    assert_int_equal(order.tests[1].comparator, COMPARE_NUMBERS);
    execute_order_free(&order);
}

static void expect_refused(const char *text, const char *reason, const char *path)
{
    struct execute_order order;
    struct json_violations violations = {.count = 0};
    struct err err = {0};
    if (execute_order_read(view_of(text), &order, &violations, &err)) {
        fail_msg("%s: taken", text);
    }
    assert_string_equal(err.reason, reason);
    if (path != NULL) {
        assert_int_equal(violations.count, 1);
        assert_string_equal(violations.items[0].path, path);
    }
    execute_order_free(&order);
}

#define PYTHON "{\"code\":\"x\",\"language\":\"python\","

static void mistakes_are_told(void **state)
{
    (void)state;
    expect_refused("[]", "validation_failed", NULL);
    expect_refused("{\"language\":\"python\"}", "validation_failed", "code");
    expect_refused("{\"code\":\"x\",\"language\":\"cobol\"}", "unsupported_language", NULL);
    expect_refused("{\"code\":\"x\",\"language\":\"java\"}", "invalid_code", NULL);
    expect_refused(PYTHON "\"timeout\":300001}", "validation_failed", "timeout");
    expect_refused(PYTHON "\"tests\":[]}", "validation_failed", NULL);
    expect_refused(PYTHON "\"tests\":[{\"expected\":\"1\"},{\"input\":\"1\"}]}",
                   "validation_failed", "tests[1].expected");
    expect_refused(PYTHON "\"tests\":[{\"expected\":\"1\",\"comparator\":\"like\"}]}",
                   "validation_failed", "tests[0].comparator");
    expect_refused(PYTHON "\"timeout\":300000,\"tests\":[{\"expected\":\"1\"},{\"expected\":\"1\"},"
                          "{\"expected\":\"1\"},{\"expected\":\"1\"},{\"expected\":\"1\"},"
                          "{\"expected\":\"1\"},{\"expected\":\"1\"}]}",
                   "validation_failed", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(all_members_are_read),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
