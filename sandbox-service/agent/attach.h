/* sandbox-service/agent/attach.h: a stream joined to a process: its output as it comes, then its
 * end; what arrives on the stream is input of the process.
 *
 * First attach_open, then attach_join, then the answer to the request, and attach_go at last. */
#ifndef SANDBOX_AGENT_ATTACH_H
#define SANDBOX_AGENT_ATTACH_H

#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/stream.h"

struct attachment; /* frees itself once its stream or its process has ended */

/* Where the output of one kind begins. */
struct attach_from {
    bool asked;     /* else: from the oldest byte kept */
    int64_t offset; /* -1: from now on */
};

/* From the first byte on. */
extern const struct attach_from attach_beginning[PROCESS_OUTPUTS];

/* Opens the stream. Errors of stream_open. */
struct attachment *attach_open(struct streams *streams, const struct reply *reply, uint32_t id,
                               struct err *err) MUST_CHECK;
/* Ends it again without a word, before attach_go. NULL is fine. */
void attach_cancel(struct attachment *attachment);

/* An offset that no byte has had yet means from now on. */
void attach_join(struct attachment *attachment, struct process *process,
                 const struct attach_from from[PROCESS_OUTPUTS]);
/* The answer comes later: from here to attach_go, *holder is the attachment, and NULL once its
 * stream is gone. */
void attach_hold(struct attachment *attachment, struct attachment **holder);
/* The members streamId, pid, tag and offsets of the answer. */
void attach_write(const struct attachment *attachment, struct json_writer *writer);
/* Tells what is not kept any more, replays, and goes on. */
void attach_go(struct attachment *attachment);

#endif
