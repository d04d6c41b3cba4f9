/* gateway/native/execute_order.h: what POST /sandbox/execute is asked to run. */
#ifndef GATEWAY_NATIVE_EXECUTE_ORDER_H
#define GATEWAY_NATIVE_EXECUTE_ORDER_H

#include "common/json/read.h"
#include "gateway/native/languages.h"
#include "gateway/native/verdicts.h"

enum {
    EXECUTE_TIMEOUT_MS_DEFAULT = 30 * 1000,
    EXECUTE_TIMEOUT_MS_MAX = 300 * 1000,
    EXECUTE_COMPILE_MS = 60 * 1000,
    EXECUTE_TOTAL_MS_MAX = 1800 * 1000, /* of all runs, each for as long as it may */
    EXECUTE_FILES_MAX = 64,
    EXECUTE_TESTS_MAX = 100,
    EXECUTE_TEXT_MAX = 1024 * 1024, /* bytes of one file, input or expected output */
};

struct execute_test {
    struct json_doc *doc; /* owned; what the views point to */
    struct view input;
    struct view expected;
    enum comparator comparator;
};

struct execute_order {
    struct json_doc *doc; /* owned; the same */
    const struct language *language;
    struct program program;
    struct view code;
    struct view input;
    struct json_pairs files; /* path and text of each */
    struct json_pairs env;
    int64_t timeout_ms;         /* of each run */
    struct execute_test *tests; /* owned; NULL: none */
    size_t test_count;
};

/* Reads a JSON object. ERR_INVALID "validation_failed" with violations, "unsupported_language",
 * "invalid_code". The caller frees out with execute_order_free, also after a failure. */
bool execute_order_read(struct view text, struct execute_order *out,
                        struct json_violations *violations, struct err *err) MUST_CHECK;
void execute_order_free(struct execute_order *order);

/* How long its runs may take, all of them. */
int64_t execute_order_runs_ms(const struct execute_order *order);
/* How long its sandbox may live at most: whatever happens to us, it is gone then. */
int64_t execute_order_life_ms(const struct execute_order *order);

#endif
