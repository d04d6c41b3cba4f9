/* gateway/native/process_stream.h: the output of a process as the answer to a request.
 *
 * Events: start {pid, tag?, offsets, ...}; stdout, stderr, and of a terminal data, {data, offset};
 * gap {kind, from, to}; exit {pid, exitCode, signal, reason, durationMs}. Offsets count bytes. Text
 * is cut between characters only; what is no UTF-8 has U+FFFD put in, unless base64 is asked for.
 * Between them pings (event_stream.h). The id of an event is "<pid>:<stdout or data offset>:<stderr
 * offset>" behind it.
 *
 * A client that leaves lets the process go on. */
#ifndef GATEWAY_NATIVE_PROCESS_STREAM_H
#define GATEWAY_NATIVE_PROCESS_STREAM_H

#include "gateway/native/event_stream.h"

struct process_stream_options {
    enum event_format format;
    bool base64;
    /* It ends, with an event "end" {pid, offsets}, once these offsets are reached: stdout or data,
     * then stderr. */
    bool has_end;
    int64_t end[2];
};

/* Sends the message (exec with stream, or attach; without id and streamId) and answers the request
 * with what follows. */
void process_stream_begin(struct request *request, struct str *message,
                          const struct process_stream_options *options);

/* What an exec with stream, or an attach, is answered with. */
struct process_answer {
    int64_t pid;
    bool running;
    bool pty;
    int64_t offsets[2]; /* stdout or data, stderr: where what comes begins */
};
bool process_answer_read(struct view text, struct process_answer *out, struct err *err) MUST_CHECK;

#endif
