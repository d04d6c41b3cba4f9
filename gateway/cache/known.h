/* gateway/cache/known.h: what another service says of a key (an id, a hash): asked once for all who
 * want to know, then known until the channel's news or a time.
 *
 * An answer that may be older than the news is not kept, and one about whose own key there were
 * news is asked for again before anybody hears it. While the channel is away nothing is kept, and
 * everybody asks for himself. */
#ifndef GATEWAY_CACHE_KNOWN_H
#define GATEWAY_CACHE_KNOWN_H

#include "common/base/id.h"
#include "common/base/list.h"
#include "common/base/map.h"

#include <stdint.h>

struct actor;
struct ipc_client;
struct known_ask;
struct known_flight;
struct known_shelf;

enum {
    KNOWN_KEY_MAX = ID_SIZE - 1,
    KNOWN_BODY_MAX = 8 * 1024 + 128,
    KNOWN_TIMEOUT_MS = 10 * 1000,
    KNOWN_AGAIN_MAX = 3, /* times an answer is asked for again because of news */
};

/* Begins what is kept of one key. */
struct known_entry {
    struct map_node node;
    struct list age;           /* oldest first */
    struct known_shelf *shelf; /* borrowed; NULL: not kept (any more) */
    int64_t expires_ms;        /* monotonic */
    unsigned holders;
    size_t key_len;
    char key[KNOWN_KEY_MAX];
};

struct known_limits {
    int64_t ttl_ms;
    size_t entries_max; /* the oldest makes place; 0: nothing is kept */
};

struct known_kind {
    const char *method; /* of the service; repeatable */
    struct known_limits found;
    struct known_limits missing; /* of what the service has not (ERR_NOT_FOUND) */
    /* A new object (calloc) that begins with an entry, for free; NULL: body is no answer. body is
     * NULL for what the service has not. */
    struct known_entry *(*read)(struct view key, const struct view *body, struct err *err);
};

struct known_shelf {
    struct list ages;
    size_t count;
    struct known_limits limits;
};

/* Lies in the cache made of it. */
struct known {
    const struct known_kind *kind; /* borrowed */
    struct ipc_client *service;    /* borrowed */
    struct map entries;
    struct known_shelf found;
    struct known_shelf missing;
    struct list flights;
    uint64_t epoch; /* moves with all news: answers asked for before are not kept */
    bool trusted;
};

bool known_open(struct known *known, const struct known_kind *kind, struct ipc_client *service,
                struct err *err) MUST_CHECK;
/* Every ask must be over. Accepts one that is zero. */
void known_close(struct known *known);

/* NULL: ask. Valid until the loop's next turn, or news. */
struct known_entry *known_find(struct known *known, struct view key);
/* What was found is good no more. */
void known_drop(struct known *known, struct known_entry *entry);

/* entry is NULL when err is not; both are valid during the call only. ask is over. */
typedef void known_done_fn(const struct known_entry *entry, const struct err *err,
                           struct known_ask *ask);

/* Lies in whoever asks; zero to begin with. */
struct known_ask {
    struct list node;
    struct known_flight *flight; /* borrowed */
    known_done_fn *done;
};

struct known_question {
    struct view key;  /* at most KNOWN_KEY_MAX */
    struct view body; /* the message to the service, at most KNOWN_BODY_MAX; wiped behind it */
    const struct trace *trace; /* copied; NULL: of nobody's request */
    const struct actor *actor; /* copied; NULL: nobody */
};

/* Asks the service, or waits with others for the answer to the same; question is copied. done comes
 * once, later, on the loop, after KNOWN_TIMEOUT_MS at the latest. False when it can't begin. */
bool known_ask(struct known *known, struct known_ask *ask, const struct known_question *question,
               known_done_fn *done, struct err *err) MUST_CHECK;
void known_cancel(struct known_ask *ask);
/* Asks for what will be wanted soon; nobody hears of a failure. */
void known_prefetch(struct known *known, const struct known_question *question);

/* The channel's news: of one key; of what is_meant says so of; whether there are news at all. What
 * was asked for before is not kept. */
void known_forget(struct known *known, struct view key);
typedef bool known_meant_fn(const struct known_entry *entry, const char *id);
void known_forget_each(struct known *known, known_meant_fn *is_meant, const char *id);
void known_set_trusted(struct known *known, bool trusted);

#endif
