#include "gateway/native/event_readers.h"

#include <stdlib.h>
#include <string.h>

struct event_readers {
    struct list all;
    bool are_told;
};

struct event_readers *event_readers_new(struct err *err)
{
    struct event_readers *readers = calloc(1, sizeof *readers);
    if (readers == NULL) {
        err_set(err, ERR_INTERNAL, "event readers: out of memory");
        return NULL;
    }
    list_init(&readers->all);
    return readers;
}

void event_readers_free(struct event_readers *readers)
{
    free(readers);
}

static int count_of(const struct event_readers *readers, const char user_id[ID_SIZE])
{
    int count = 0;
    for (LIST_EACH(node, &readers->all)) {
        count += strcmp(LIST_ENTRY(node, struct event_reader, node)->user_id, user_id) == 0;
    }
    return count;
}

bool event_readers_add(struct event_readers *readers, struct event_reader *reader, struct err *err)
{
    if (count_of(readers, reader->user_id) >= EVENT_READERS_PER_USER_MAX) {
        return err_set_reason(err, ERR_LIMIT, "too_many_streams",
                              "You have too many streams of events open.");
    }
    list_append(&readers->all, &reader->node);
    return true;
}

void event_readers_wake(const struct event_readers *readers, const char *user_id)
{
    for (LIST_EACH(node, &readers->all)) {
        struct event_reader *reader = LIST_ENTRY(node, struct event_reader, node);
        if (user_id == NULL || strcmp(reader->user_id, user_id) == 0) {
            reader->on_news(reader->arg);
        }
    }
}

void event_readers_wake_all(const struct event_readers *readers)
{
    event_readers_wake(readers, NULL);
}

void event_readers_set_told(struct event_readers *readers, bool are_told)
{
    if (readers->are_told != are_told) {
        readers->are_told = are_told;
        event_readers_wake_all(readers);
    }
}

bool event_readers_are_told(const struct event_readers *readers)
{
    return readers->are_told;
}
