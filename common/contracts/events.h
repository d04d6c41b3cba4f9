/* common/contracts/events.h: what gateways ask the sandbox-service about events of sandboxes, and
 * about the webhooks that carry them. */
#ifndef COMMON_CONTRACTS_EVENTS_H
#define COMMON_CONTRACTS_EVENTS_H

#include "common/base/id.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    EVENT_TYPE_MAX = 64,
    EVENT_OBJECT_MAX = 6 * 1024,                 /* bytes of one as JSON */
    EVENT_TEXT_MAX = EVENT_OBJECT_MAX + 64 + 32, /* of event_text_write */
    EVENT_LIST_MAX = 100,
    WEBHOOK_URL_MAX = 2048,
    WEBHOOK_DESCRIPTION_MAX = 200, /* characters */
    WEBHOOK_DESCRIPTION_BYTES = 4 * WEBHOOK_DESCRIPTION_MAX,
    WEBHOOK_TYPES_MAX = 32,
    WEBHOOK_SECRET_SIZE = 64, /* "whsec_..." */
    WEBHOOKS_MAX = 20,        /* of a user */
    DEAD_LETTERS_MAX = 100,   /* of a page */
};

/* The word of an event: "sandbox.running"; for .check. */
bool event_type_check(struct view type, const char **problem);

/* An event in a page: "<number> <type> <object>". Views point into the text. */
struct event_text {
    int64_t number;
    struct view type;
    struct view object; /* JSON, as clients see it */
};
/* ERR_INVALID when it is none. */
bool event_text_read(struct view text, struct event_text *out, struct err *err) MUST_CHECK;

/* event.list -> event_page: the events of a user, or of one sandbox while it was that user's,
 * behind a number, oldest first. */
#define EVENT_LIST "event.list"
struct event_list {
    char user_id[ID_SIZE];
    char sandbox_id[ID_SIZE]; /* empty: of all */
    int64_t after; /* 0: all that are kept; EVENT_LIST_NEWEST: none, only next is wanted */
    int64_t limit; /* 1..EVENT_LIST_MAX */
};
enum { EVENT_LIST_NEWEST = -1 };
extern const struct json_schema event_list_schema;
struct event_page {
    struct json_strings events; /* event_text_read */
    int64_t next;               /* to go on behind */
    bool is_over; /* of one sandbox: it has ended, and behind next nothing follows any more */
};
extern const struct json_schema event_page_schema;

/* webhook.create -> webhook_made. An id that the user has already: that one, as it is. ERR_INVALID
 * "invalid_webhook_url", ERR_LIMIT "webhook_limit", ERR_CONFLICT "webhook_exists" (another's). */
#define WEBHOOK_CREATE "webhook.create"
struct webhook_create {
    char id[ID_SIZE]; /* the caller's choice; empty: any */
    char user_id[ID_SIZE];
    struct view url;
    struct json_strings types; /* empty: all */
    struct view description;
};
extern const struct json_schema webhook_create_schema;
struct webhook_made {
    struct view webhook; /* a JSON object, as in the list */
    struct view secret;  /* "whsec_<base64>" */
};
extern const struct json_schema webhook_made_schema;

/* webhook.list {userId} -> webhook_array. */
#define WEBHOOK_LIST "webhook.list"
struct webhook_list {
    char user_id[ID_SIZE];
};
extern const struct json_schema webhook_list_schema;
struct webhook_array {
    struct view items;       /* a JSON array, as the API shows it */
    struct view next_cursor; /* of dead letters; empty: no more */
};
extern const struct json_schema webhook_array_schema;

/* webhook.remove -> {}, webhook.redeliver -> webhook_redelivered. ERR_NOT_FOUND
 * "webhook_not_found". */
#define WEBHOOK_REMOVE "webhook.remove"
#define WEBHOOK_REDELIVER "webhook.redeliver"
struct webhook_name {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
};
extern const struct json_schema webhook_name_schema;
struct webhook_redelivered {
    int64_t queued;
};
extern const struct json_schema webhook_redelivered_schema;

/* webhook.dead_letters -> webhook_array: deliveries that were given up, the newest first.
 * ERR_NOT_FOUND "webhook_not_found", ERR_INVALID "invalid_cursor". */
#define WEBHOOK_DEAD_LETTERS "webhook.dead_letters"
struct webhook_dead_letters {
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    int64_t limit; /* 1..DEAD_LETTERS_MAX */
    struct view cursor;
};
extern const struct json_schema webhook_dead_letters_schema;

#endif
