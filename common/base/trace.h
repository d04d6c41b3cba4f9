/* common/base/trace.h: what tells of log lines, in whichever process, that they are about one
 * outside request: its id, and the trace that it is part of (W3C Trace Context). */
#ifndef COMMON_BASE_TRACE_H
#define COMMON_BASE_TRACE_H

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/view.h"

enum {
    TRACE_REQUEST_ID_SIZE = 65,
    TRACE_PARENT_SIZE = 56, /* "00-<32 hex digits>-<16>-<2>" and the NUL */
};

struct trace {
    char request_id[TRACE_REQUEST_ID_SIZE]; /* [A-Za-z0-9._-]{1,64}; "": of nobody's request */
    char parent[TRACE_PARENT_SIZE];         /* a traceparent of version 00; "": not known */
};
extern const struct trace trace_none;

/* The two fields that every log line of a request has. */
#define LOG_TRACE(trace_)                                                                          \
    LOG_STR("request_id", (trace_)->request_id), LOG_VIEW("trace_id", trace_id(trace_))

/* The 32 hex digits of parent; empty when that is. */
struct view trace_id(const struct trace *trace);

bool trace_is_request_id(struct view text) MUST_CHECK;

/* The value of a traceparent header, of any version, written as version 00. False, with out
 * untouched, when it is none. */
bool trace_read_parent(struct view text, char out[TRACE_PARENT_SIZE]) MUST_CHECK;
/* The beginning of a trace of our own, which nobody records. */
bool trace_make_parent(char out[TRACE_PARENT_SIZE], struct err *err) MUST_CHECK;

#endif
