/* gateway/native/event_stream.h: answers that are a sequence of events, as server-sent events
 * (HTML, 9.2) or as one JSON object a line. The object is the same in both: {"type":"...",...}. */
#ifndef GATEWAY_NATIVE_EVENT_STREAM_H
#define GATEWAY_NATIVE_EVENT_STREAM_H

#include "common/json/write.h"
#include "gateway/native/request.h"

enum event_format { EVENTS_SSE, EVENTS_NDJSON };

enum { EVENTS_PING_MS = 15 * 1000 };

/* Which of the two an Accept header names first; false: neither, or plain JSON in front of them. */
bool events_accepted(struct view accept, enum event_format *out) MUST_CHECK;

/* One event into out: begin, members, end. id (may be NULL) is what the client reconnects with. */
struct json_writer event_begin(enum event_format format, struct str *out, const char *type,
                               const char *id);
void event_end(enum event_format format, struct str *out, struct json_writer *writer);

/* One whose object is there already, with its type as first member. */
void event_write(enum event_format format, struct str *out, struct view type, const char *id,
                 struct view object);

/* The head of the answer. False: that was all that was asked for (HEAD), and the request is over.
 */
bool events_begin_answer(struct request *request, enum event_format format,
                         void (*on_drained)(void *arg)) MUST_CHECK;
/* Sent each EVENTS_PING_MS: nobody between takes a quiet answer for dead, and a client that has
 * left is found out. A comment, or {"type":"ping"}. */
void events_send_ping(struct request *request, enum event_format format);

#endif
