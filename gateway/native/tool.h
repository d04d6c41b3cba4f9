/* gateway/native/tool.h: the program for archives and search that lies in every sandbox, and runs
 * there as the acting user. */
#ifndef GATEWAY_NATIVE_TOOL_H
#define GATEWAY_NATIVE_TOOL_H

#include "common/base/str.h"
#include "gateway/native/file_transfer.h"

enum { TOOL_TIMEOUT_MS = 3600 * 1000, TOOL_SEARCH_TIMEOUT_MS = 60 * 1000 };

struct tool_run {
    const char *verb;             /* pack, unpack, search */
    const struct file_name *name; /* of the folder */
    struct view argument;         /* behind the folder */
    bool is_streamed;             /* as an exec with stream */
    bool takes_stdin;             /* which stays open then */
    int64_t timeout_ms;
};

/* The exec message that runs it. */
void tool_write(const struct tool_run *run, struct str *out);

/* What it says on stderr when it fails: {"error","code"}. */
void tool_error_read(struct view text, struct err *err);

#endif
