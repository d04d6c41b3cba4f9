/* gateway/stats/history.h: what sandboxes used, a sample each few seconds for the last hour, kept
 * in Redis, so that any gateway tells it and the end of a sandbox does not take it away. Written
 * behind: nobody waits for Redis, and without it there are gaps. */
#ifndef GATEWAY_STATS_HISTORY_H
#define GATEWAY_STATS_HISTORY_H

#include "common/base/id.h"
#include "common/base/str.h"

#include <stdint.h>

struct agent_usage;
struct gateway;
struct stats_history;
struct stats_look;

enum {
    STATS_EVERY_MS = 5000,
    STATS_KEPT_MS = 3600 * 1000,
    STATS_SAMPLES_MAX = STATS_KEPT_MS / STATS_EVERY_MS,
    STATS_SAMPLE_MAX = 256, /* bytes of one */
    STATS_HISTORY_MAX = STATS_SAMPLES_MAX * (STATS_SAMPLE_MAX + 1) + 2,
    STATS_WRITES_MAX = 1024, /* commands without an answer; more are not sent */
};

/* Borrows gateway: loop and config. */
struct stats_history *stats_history_open(const struct gateway *gateway, struct err *err) MUST_CHECK;
/* No look may be in flight. NULL is fine. */
void stats_history_close(struct stats_history *history);

/* One sample as the API shows it: {"at","memory","cpuMs","cpuPercent","rx","tx","pids","disk"};
 * what is not known is null. */
void stats_sample_write(const struct agent_usage *usage, struct str *out);
/* The other way; of what can't be read nothing is known. */
void stats_sample_read(struct view sample, struct agent_usage *out);

/* Adds one, and forgets what is too old. */
void stats_history_add(struct stats_history *history, const char sandbox_id[ID_SIZE],
                       const struct agent_usage *usage);

/* samples is a JSON array, the oldest first, valid during the call; NULL when err is not. */
typedef void stats_looked_fn(const struct view *samples, const struct err *err, void *arg);
/* The newest count of them. done comes once, later, on the loop. NULL when it can't begin. */
struct stats_look *stats_look_begin(struct stats_history *history, const char sandbox_id[ID_SIZE],
                                    int64_t count, stats_looked_fn *done, void *arg,
                                    struct err *err) MUST_CHECK;
/* What is known of it without its agent: the newest sample, and what the engine says it has
 * written, which the sandbox-service measures now and then. What is not known has no has_. Valid
 * during the call. */
typedef void stats_recent_fn(const struct agent_usage *usage, void *arg);
/* As above; what Redis does not tell is not known. Without a history it does not begin. */
struct stats_look *stats_recent_begin(struct stats_history *history, const char sandbox_id[ID_SIZE],
                                      stats_recent_fn *done, void *arg, struct err *err) MUST_CHECK;
/* done is not called any more. */
void stats_look_cancel(struct stats_look *look);

#endif
