/* gateway/native/execution.h: one order carried out in a sandbox of its own, which is gone
 * afterwards: made, filled with files, the program compiled once and run for each test, and
 * destroyed, whatever happened. A gateway that dies in between leaves a sandbox that ends by itself
 * (execute_order_life_ms). */
#ifndef GATEWAY_NATIVE_EXECUTION_H
#define GATEWAY_NATIVE_EXECUTION_H

#include "gateway/native/execute_order.h"
#include "gateway/native/request.h"

struct execution;

enum {
    EXECUTION_OUTPUT_MAX = 1024 * 1024, /* bytes of each output that are kept */
    EXECUTION_TEST_OUTPUT_MAX = 4096,   /* and told, of a test */
    EXECUTION_ANSWER_MAX = 16 * 1024 * 1024,
    EXECUTION_ANSWER_LEAST = 512 * 1024, /* less is no room for what is told of 100 tests */
};

/* answer is a JSON object, as the API shows it; NULL when err is not: then nothing was run, or it
 * is not known what came of it. Both are valid during the call. */
typedef void execution_done_fn(const struct view *answer, const struct err *err, void *arg);

/* Borrows request and order until done, which comes once, later, on the loop. Outputs for which the
 * answer has no room in answer_max bytes (EXECUTION_ANSWER_LEAST to EXECUTION_ANSWER_MAX) are cut
 * and said to be. NULL when it can't begin. */
struct execution *execution_begin(struct request *request, const struct execute_order *order,
                                  size_t answer_max, execution_done_fn *done, void *arg,
                                  struct err *err) MUST_CHECK;
/* done is not called any more; the sandbox is destroyed. */
void execution_cancel(struct execution *execution);

#endif
