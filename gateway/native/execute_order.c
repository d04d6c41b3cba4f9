#include "gateway/native/execute_order.h"

#include "common/contracts/agent.h"
#include "common/contracts/sandbox.h"
#include "common/json/scan.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LANGUAGE_NAME_MAX = 32,
    CREATE_MS = 60 * 1000, /* until there is a sandbox */
    SLACK_MS = 30 * 1000,  /* for what lies between the runs */
    SUPPORTED_TEXT_SIZE = 160,
};

struct body {
    struct view code;
    struct view language;
    struct view input;
    int64_t timeout_ms;
    struct json_pairs files;
    struct json_pairs env;
    struct view tests;
};

static bool check_path(struct view path, const char **problem)
{
    *problem = "must be a path of 1 to 4096 bytes";
    return path.len > 0 && path.len <= PATH_BYTES_MAX && memchr(path.ptr, '\0', path.len) == NULL;
}

static const struct json_field body_fields[] = {
    JSON_STRING(struct body, code, "code", .required = true, .not_empty = true, .allow_nul = true,
                .max_len = EXECUTE_TEXT_MAX),
    JSON_STRING(struct body, language, "language", .required = true, .not_empty = true,
                .max_len = LANGUAGE_NAME_MAX),
    JSON_STRING(struct body, input, "input", .allow_nul = true, .max_len = EXECUTE_TEXT_MAX,
                .nullable = true),
    JSON_INT(struct body, timeout_ms, "timeout", .min = 1, .max = EXECUTE_TIMEOUT_MS_MAX,
             .fallback = EXECUTE_TIMEOUT_MS_DEFAULT, .nullable = true),
    JSON_PAIRS(struct body, files, "files", .max_len = EXECUTE_FILES_MAX,
               .item_max = EXECUTE_TEXT_MAX, .check = check_path, .nullable = true),
    JSON_PAIRS(struct body, env, "env", .max_len = ENV_PAIRS_MAX, .item_max = ENV_BYTES_MAX,
               .check = sandbox_env_name_check, .nullable = true),
    JSON_ARRAY(struct body, tests, "tests", .nullable = true),
};

struct test_body {
    struct view input;
    struct view expected;
    struct view comparator;
};

static const struct json_field test_fields[] = {
    JSON_STRING(struct test_body, input, "input", .allow_nul = true, .max_len = EXECUTE_TEXT_MAX),
    JSON_STRING(struct test_body, expected, "expected", .required = true, .allow_nul = true,
                .max_len = EXECUTE_TEXT_MAX),
    JSON_STRING(struct test_body, comparator, "comparator", .one_of = comparator_names),
};

static enum comparator comparator_of(struct view name)
{
    for (int i = 0; comparator_names[i] != NULL; i++) {
        if (view_equal(name, view_of(comparator_names[i]))) {
            return (enum comparator)i;
        }
    }
    return COMPARE_LINES;
}

/* Of the tests as they are read one by one. */
struct reading {
    struct execute_order *order;
    struct json_violations *violations;
    struct err err; /* of the first that is wrong */
};

/* "path" of a test becomes "tests[i].path". */
static void take_violations(struct reading *reading, const struct json_violations *found)
{
    for (size_t i = 0; i < found->count && reading->violations->count < JSON_VIOLATIONS_MAX; i++) {
        struct json_violation *out = &reading->violations->items[reading->violations->count++];
        *out = found->items[i];
        (void)snprintf(out->path, sizeof out->path, "tests[%zu]%s%.64s", reading->order->test_count,
                       found->items[i].path[0] == '\0' ? "" : ".", found->items[i].path);
    }
}

static void on_test(struct view text, void *arg)
{
    struct reading *reading = arg;
    struct execute_order *order = reading->order;
    struct json_violations found = {.count = 0};
    struct test_body body;
    struct err err = {0};
    if (reading->err.code != ERR_NONE) {
        return;
    }
    if (order->test_count == EXECUTE_TESTS_MAX) {
        err_set_reason(&reading->err, ERR_INVALID, "validation_failed", "tests must be at most %d",
                       EXECUTE_TESTS_MAX);
        return;
    }
    const struct json_schema schema = JSON_SCHEMA(test_fields);
    struct json_doc *doc = json_read(text, &schema, &body, &found, &err);
    if (doc == NULL) {
        take_violations(reading, &found);
        reading->err = err;
        return;
    }
    order->tests[order->test_count++] = (struct execute_test){
        .doc = doc,
        .input = body.input,
        .expected = body.expected,
        .comparator = comparator_of(body.comparator),
    };
}

static bool read_tests(struct view text, struct execute_order *order,
                       struct json_violations *violations, struct err *err)
{
    struct reading reading = {.order = order, .violations = violations};
    if (text.len == 0) {
        return true;
    }
    order->tests = calloc(EXECUTE_TESTS_MAX, sizeof *order->tests);
    if (order->tests == NULL) {
        return err_set(err, ERR_INTERNAL, "execute: out of memory");
    }
    if (!json_scan_items(text, on_test, &reading, err)) {
        return false;
    }
    if (reading.err.code != ERR_NONE) {
        *err = reading.err;
        return false;
    }
    return order->test_count > 0 ||
           err_set_reason(err, ERR_INVALID, "validation_failed", "tests must not be empty");
}

static bool find_language(struct view name, struct execute_order *order, struct err *err)
{
    char supported[SUPPORTED_TEXT_SIZE] = "";
    size_t len = 0;
    order->language = language_find(name);
    if (order->language != NULL) {
        return true;
    }
    for (const char *const *known = language_names(); *known != NULL; known++) {
        int added =
            snprintf(supported + len, sizeof supported - len, "%s%s", len == 0 ? "" : ", ", *known);
        len += added > 0 ? (size_t)added : 0;
    }
    return err_set_reason(err, ERR_INVALID, "unsupported_language", "language must be one of: %s.",
                          supported);
}

int64_t execute_order_runs_ms(const struct execute_order *order)
{
    int64_t runs = order->test_count > 0 ? (int64_t)order->test_count : 1;
    return runs * order->timeout_ms;
}

static bool check_total(const struct execute_order *order, struct err *err)
{
    return execute_order_runs_ms(order) <= EXECUTE_TOTAL_MS_MAX ||
           err_set_reason(err, ERR_INVALID, "validation_failed",
                          "timeout must be less: all tests together may take %d ms at most",
                          EXECUTE_TOTAL_MS_MAX);
}

bool execute_order_read(struct view text, struct execute_order *out,
                        struct json_violations *violations, struct err *err)
{
    struct body body;
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    *out = (struct execute_order){.doc = json_read(text, &schema, &body, violations, err)};
    if (out->doc == NULL) {
        return false;
    }
    out->code = body.code;
    out->input = body.input;
    out->files = body.files;
    out->env = body.env;
    out->timeout_ms = body.timeout_ms;
    return env_size_check(&out->env, err) && find_language(body.language, out, err) &&
           program_name(out->language, out->code, &out->program, err) &&
           read_tests(body.tests, out, violations, err) && check_total(out, err);
}

void execute_order_free(struct execute_order *order)
{
    for (size_t i = 0; i < order->test_count; i++) {
        json_doc_free(order->tests[i].doc);
    }
    free(order->tests);
    json_doc_release(&order->doc);
    *order = (struct execute_order){0};
}

int64_t execute_order_life_ms(const struct execute_order *order)
{
    return CREATE_MS + EXECUTE_COMPILE_MS + execute_order_runs_ms(order) + SLACK_MS;
}
