/* common/contracts/agent_process.h: the agent protocol, version 1: what is asked of processes that
 * were started by exec (contracts/agent.h). Each is named by its pid or its tag. */
#ifndef COMMON_CONTRACTS_AGENT_PROCESS_H
#define COMMON_CONTRACTS_AGENT_PROCESS_H

#include "common/contracts/agent.h"

enum {
    INPUT_WAITING_MAX = 1024 * 1024, /* bytes of input that a process has not taken yet */
    SIGNAL_NAME_MAX = 16,
};

/* Exactly one of the two is given; see agent_named_check. Begins each of the structs below. */
struct agent_named {
    int64_t pid;
    bool has_pid;
    struct view tag; /* may be empty */
};
/* ERR_INVALID "invalid_request" when it is both or none. */
bool agent_named_check(const struct agent_named *named, struct err *err) MUST_CHECK;

/* -1 as an offset: from now on. */
struct agent_attach {
    struct view id;
    struct view type;
    struct agent_named process;
    int64_t stream_id;
    int64_t offset;
    bool has_offset;
    int64_t stdout_offset;
    bool has_stdout_offset;
    int64_t stderr_offset;
    bool has_stderr_offset;
};
extern const struct json_schema agent_attach_schema;

struct agent_input {
    struct view id;
    struct view type;
    struct agent_named process;
    struct view data;
    struct view encoding; /* "utf8" (default), "base64" */
    bool eof;             /* stdin is closed behind it */
};
extern const struct json_schema agent_input_schema;

struct agent_close_stdin {
    struct view id;
    struct view type;
    struct agent_named process;
};
extern const struct json_schema agent_close_stdin_schema;

struct agent_resize {
    struct view id;
    struct view type;
    struct agent_named process;
    int64_t cols;
    int64_t rows;
};
extern const struct json_schema agent_resize_schema;

struct agent_signal {
    struct view id;
    struct view type;
    struct agent_named process;
    struct view name; /* "SIGINT", "INT"; empty: number */
    int64_t number;
    bool group; /* its whole process group; default */
};
/* The member "signal" as a string, or as a number. */
extern const struct json_schema agent_signal_schema, agent_signal_number_schema;

struct agent_ps {
    struct view id;
    struct view type;
};
extern const struct json_schema agent_ps_schema;

struct agent_lookup {
    struct view id;
    struct view type;
    struct view once;
};
extern const struct json_schema agent_lookup_schema;

struct agent_close_session {
    struct view id;
    struct view type;
    struct view session;
};
extern const struct json_schema agent_close_session_schema;

#endif
