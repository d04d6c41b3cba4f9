/* gateway/native/execution_run.h: what one command of an execution is asked, and what came of it.
 */
#ifndef GATEWAY_NATIVE_EXECUTION_RUN_H
#define GATEWAY_NATIVE_EXECUTION_RUN_H

#include "common/json/write.h"
#include "gateway/native/execute_order.h"

/* As the agent answers exec; views into what was read. */
struct run_result {
    struct view standard_output;
    struct view standard_error;
    int64_t exit_code;
    bool has_exit_code;
    struct view signal; /* empty: none */
    struct view reason;
    int64_t duration_ms;
    bool truncated;
    int64_t cpu_ms;
    bool has_cpu;
    int64_t peak_memory_bytes;
    bool has_peak;
};
extern const struct json_schema run_result_schema;

struct run_command {
    const char *const *words; /* LANGUAGE_WORDS_MAX of a language */
    struct view input;
    int64_t timeout_ms;
};
/* The message to the agent, without an id. */
void run_command_write(const struct execute_order *order, const struct run_command *command,
                       struct str *out);

struct run_end run_end_of(const struct run_result *result);

/* The most that run_result_write writes besides the text of both outputs. */
enum { RUN_RESULT_FRAME_MAX = 512 };

/* How much of its outputs is told; both are cut at a character. */
struct run_result_room {
    size_t output_max;  /* bytes of each */
    size_t written_max; /* of both together, as JSON has them */
};
/* The members of a result. */
void run_result_write(const struct run_result *result, const struct run_result_room *room,
                      struct json_writer *writer);

#endif
