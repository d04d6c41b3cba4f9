/* sandbox-service/agent/exit_text.h: how the end of a process, and signals, are written. */
#ifndef SANDBOX_AGENT_EXIT_TEXT_H
#define SANDBOX_AGENT_EXIT_TEXT_H

#include "common/json/write.h"
#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/stream.h"

/* The members exitCode, signal, reason and durationMs. exit is NULL for a process that has not
 * ended: all are null. */
void exit_write(struct json_writer *writer, const struct process_exit *exit);

/* Begins a text about the stream; it has no id, as it answers no request. Ends with reply_end and
 * stream_reply. */
struct json_writer stream_text_begin(const struct stream *stream, struct str *out,
                                     const char *type);
/* The text "exit". The stream is the caller's to close. */
void exit_send(const struct stream *stream, pid_t pid, const struct process_exit *exit);

/* "SIGINT", "INT" in any case; 0 when there is no such signal. */
int signal_from_name(struct view name);

#endif
