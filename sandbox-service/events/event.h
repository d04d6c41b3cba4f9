/* sandbox-service/events/event.h: an event as clients and webhooks get it. */
#ifndef SANDBOX_EVENTS_EVENT_H
#define SANDBOX_EVENTS_EVENT_H

#include "common/contracts/events.h"
#include "common/json/write.h"

#include <libpq-fe.h>

/* Of a row e of sandbox_events; in the order of enum event_column. */
#define EVENT_COLUMNS                                                                              \
    "e.seq, to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), e.sandbox_id, " \
    "e.user_id, e.type, e.status, e.previous, e.cause, e.actor, e.actor_user, e.actor_key, "       \
    "e.detail"
enum event_column {
    EVENT_SEQ,
    EVENT_AT,
    EVENT_SANDBOX_ID,
    EVENT_USER_ID,
    EVENT_TYPE,
    EVENT_STATUS,
    EVENT_PREVIOUS,
    EVENT_CAUSE,
    EVENT_ACTOR,
    EVENT_ACTOR_USER,
    EVENT_ACTOR_KEY,
    EVENT_DETAIL,
    EVENT_COLUMN_COUNT,
};

/* A row of a result whose columns from first on are EVENT_COLUMNS. */
struct event_row {
    const PGresult *result; /* borrowed */
    int row;
    int first;
};

/* Its members but the type. Who administers is not told to those who don't. */
void event_write_members(const struct event_row *event, struct json_writer *writer);
/* Appends it in the form of event_text_read. */
void event_text_write(const struct event_row *event, struct str *out);
/* Appends the body that a webhook gets: {"type", "timestamp", "data"}. */
void event_payload_write(const struct event_row *event, struct str *out);

#endif
