/* gateway/native/event_readers.h: the streams of this gateway that wait for events of a user. */
#ifndef GATEWAY_NATIVE_EVENT_READERS_H
#define GATEWAY_NATIVE_EVENT_READERS_H

#include "common/base/err.h"
#include "common/base/id.h"
#include "common/base/list.h"

struct event_readers;

enum { EVENT_READERS_PER_USER_MAX = 64 }; /* of one gateway */

/* Lies in the stream; list_remove(&reader->node) takes it out, also from inside on_news. */
struct event_reader {
    struct list node;
    char user_id[ID_SIZE];
    void (*on_news)(void *arg); /* must not end another reader */
    void *arg;
};

struct event_readers *event_readers_new(struct err *err) MUST_CHECK;
/* When none is left. Accepts NULL. */
void event_readers_free(struct event_readers *readers);

/* False, with ERR_LIMIT "too_many_streams": the user has EVENT_READERS_PER_USER_MAX. */
bool event_readers_add(struct event_readers *readers, struct event_reader *reader,
                       struct err *err) MUST_CHECK;
/* There may be news for this user; for anybody. */
void event_readers_wake(const struct event_readers *readers, const char *user_id);
void event_readers_wake_all(const struct event_readers *readers);
/* Whether somebody calls these when there are news; nobody at first. When that changes, all look
 * for themselves at once: of what came meanwhile nobody may have been told. */
void event_readers_set_told(struct event_readers *readers, bool are_told);
bool event_readers_are_told(const struct event_readers *readers);

#endif
