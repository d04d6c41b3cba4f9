/* common/contracts/agent.h: the agent protocol, version 1: what gateway and agent agree on.
 *
 * A WebSocket at /agent/{sandboxId}. Text frames are JSON: requests {"id","type",...}, answers
 * {"id","type":"<x>Response",...} or {"id","type":"error","error","code"}. The agent speaks first:
 * {"type":"hello","protocol":1,"version":"...","smallWindows":true}; the gateway answers with
 * configure. */
#ifndef COMMON_CONTRACTS_AGENT_H
#define COMMON_CONTRACTS_AGENT_H

#include "common/contracts/sandbox.h"
#include "common/json/read.h"

enum {
    AGENT_PROTOCOL_VERSION = 1,
    AGENT_MESSAGE_MAX = 16 * 1024 * 1024,
    AGENT_FILE_MAX = 10 * 1024 * 1024, /* one write or read message */
    EXEC_TIMEOUT_MS_DEFAULT = 60000,
    EXEC_TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    EXEC_OUTPUT_DEFAULT = 1024 * 1024, /* a stream */
    EXEC_OUTPUT_MAX = 4 * 1024 * 1024,
    EXEC_ARGS_MAX = 1024,
    EXEC_ARG_MAX = 128 * 1024, /* bytes of one argument: the kernel's MAX_ARG_STRLEN */
    PATH_BYTES_MAX = 4096,
    USER_NAME_MAX = 32,
    NAME_TAG_MAX = 64, /* a tag, or the name of a shell session */
    ONCE_MAX = 192,    /* what makes repeats of an exec known: a user's id and the caller's word */
    TERMINAL_MAX = 1000, /* columns, rows */
    AGENT_START_COMMAND_MAX = 4096,
    AGENT_START_MS_MAX = 45 * 1000, /* whoever creates waits no longer than a minute in all */
    AGENT_START_MS_DEFAULT = 30 * 1000,
    SPOOL_MIN = 4 * 1024, /* bytes of a process's last output that are kept */
    SPOOL_DEFAULT = 1024 * 1024,
    SPOOL_MAX = 8 * 1024 * 1024,
};

/* Where things lie inside every container. */
#define AGENT_DIR "/.insien"
#define AGENT_PROGRAM AGENT_DIR "/agent"
#define AGENT_RUN_DIR AGENT_DIR "/run" /* the sandbox's own directory of the host, read-only */
#define AGENT_SOCKET_NAME "agent.sock"
#define AGENT_TOKEN_NAME "token"
/* Environment of the agent itself, set at create. */
#define AGENT_ENV_SANDBOX_ID "INSIEN_SANDBOX_ID"

struct agent_hello {
    int64_t protocol;
    struct view version;
    struct view type;
    bool small_windows; /* it knows what STREAM_ID_SMALL means */
};
extern const struct json_schema agent_hello_schema; /* unknown members are ignored: newer agents */

/* The agent's word, unasked, behind configureResponse and whenever it changes between none and
 * some: how many commands run that were started through it. An agent that never says it runs none.
 */
#define AGENT_RUNNING "running"
struct agent_running {
    struct view type;
    int64_t count;
};
extern const struct json_schema agent_running_schema; /* the same */

/* What a template has started in its sandboxes: a line for /bin/sh, once. It serves when its port
 * takes a connection, when the line probe ends with 0, or, without either, as soon as it runs. */
struct agent_start {
    struct view command;
    struct view probe; /* may be empty */
    int64_t port;      /* 0: none */
    int64_t timeout_ms;
};
extern const struct json_schema agent_start_schema;
/* What no single member shows. ERR_INVALID "validation_failed". */
bool agent_start_check(const struct agent_start *start, struct err *err) MUST_CHECK;

struct agent_configure {
    struct view id;
    struct view type;
    struct view token;
    struct json_pairs env;
    struct json_pairs files; /* below SECRET_FILES_DIR: name, content */
    struct view profile;
    struct view work_dir;
    struct view user;
    bool work_dir_chosen; /* it goes before /app; said only when it is so */
    bool user_chosen;     /* it goes before the account `user`; said only when it is so */
    struct view start;    /* an agent_start; may be empty */
};
extern const struct json_schema agent_configure_schema;

struct agent_terminal {
    int64_t cols;
    int64_t rows;
};

/* 1..NAME_TAG_MAX of [A-Za-z0-9._-]; for .check of tags and names of sessions. */
bool agent_tag_check(struct view tag, const char **problem);

/* exec, as clients send it too (REST bodies have no id and type). */
struct agent_exec {
    struct view id;
    struct view type;
    struct view cmd;
    struct json_strings args;
    bool background;
    struct view cwd;
    struct json_pairs env;
    struct view user;
    int64_t timeout_ms; /* 0: none */
    bool has_timeout;   /* absent: EXEC_TIMEOUT_MS_DEFAULT */
    struct view stdin_text;
    bool has_stdin;
    int64_t max_output_bytes;
    bool strict_eof;
    struct view output_encoding; /* "utf8" (default), "base64" */
    bool stream;                 /* its output goes to the stream stream_id */
    bool has_stream;
    int64_t stream_id;
    bool has_stream_id;
    struct agent_terminal pty;
    bool has_pty;
    struct view tag;     /* may be empty */
    struct view session; /* cmd is a line of this shell session; may be empty */
    int64_t spool_bytes;
    bool has_spool_bytes;
    bool stdin_open; /* stdin stays open behind stdin_text */
    bool has_stdin_open;
    bool measure; /* the answer tells what it used: cpuMs, peakMemoryBytes */
    bool has_measure;
    bool alone; /* with its end everything else in the sandbox ends */
    bool has_alone;
    struct view once; /* may be empty */
};
extern const struct json_schema agent_exec_schema;

struct agent_write {
    struct view id;
    struct view type;
    struct view path;
    struct view content;
    struct view encoding; /* "utf8" (default), "base64" */
    struct view user;
};
extern const struct json_schema agent_write_schema;

struct agent_read {
    struct view id;
    struct view type;
    struct view path;
    struct view encoding; /* of the answer: "utf8" (default), "base64" */
    struct view user;
};
extern const struct json_schema agent_read_schema;

#endif
