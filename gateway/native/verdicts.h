/* gateway/native/verdicts.h: whether what a program wrote is what was expected of it. */
#ifndef GATEWAY_NATIVE_VERDICTS_H
#define GATEWAY_NATIVE_VERDICTS_H

#include "common/base/view.h"

#include <stdint.h>

enum comparator {
    COMPARE_LINES,   /* blanks at ends of lines and empty lines at the end do not count */
    COMPARE_EXACT,   /* each byte */
    COMPARE_WORDS,   /* whatever blanks are between them */
    COMPARE_NUMBERS, /* words; those that are numbers differ by at most a millionth */
};
/* Their names in that order, NULL-terminated: "lines", "exact", "words", "numbers". */
extern const char *const comparator_names[];

bool output_is_expected(enum comparator comparator, struct view output, struct view expected);

/* How a run ended, as the agent tells it. */
struct run_end {
    struct view reason; /* "exited", "signaled", "timeout", "oom" */
    bool has_exit_code;
    int64_t exit_code;
    bool has_cpu;
    int64_t cpu_ms;
};

/* "time_limit", "memory_limit", "runtime_error"; NULL: it ran well, within timeout_ms of processor
 * time. */
const char *verdict_of_end(const struct run_end *end, int64_t timeout_ms);

#endif
