/* sandbox-service/agent/exec_answer.h: the one answer to a command that somebody waits for. */
#ifndef SANDBOX_AGENT_EXEC_ANSWER_H
#define SANDBOX_AGENT_EXEC_ANSWER_H

#include "sandbox-service/agent/once.h"

struct exec_answer {
    struct reply reply;
    bool base64;
    bool session_restarted;
    struct once *once; /* borrowed; NULL: repeats are not known */
};

/* The caller frees it, unless exec_answer_give does. */
struct exec_answer *exec_answer_new(const struct reply *reply, const struct agent_exec *request,
                                    struct once *once, struct err *err) MUST_CHECK;

/* A process_done_fn: answers, also those who repeated the request, and frees the answer (arg). */
void exec_answer_give(const struct process_result *result, void *arg);

/* The same answer again, from once_answer. */
void exec_answer_repeat(const struct reply *reply, struct view members);

/* A process_done_fn of what ends without an answer, and so wants no output_max: those who repeated
 * it (arg is the once) hear "answer_not_kept". */
void exec_answer_end_once(const struct process_result *result, void *arg);
void exec_answer_refuse_repeat(const struct reply *reply);

#endif
