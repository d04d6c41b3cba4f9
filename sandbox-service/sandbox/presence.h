/* sandbox-service/sandbox/presence.h: for how long each sandbox has been without its agent.
 *
 * Only time during which gateways reported counts: a gateway that is away says nothing of the
 * agents. */
#ifndef SANDBOX_SANDBOX_PRESENCE_H
#define SANDBOX_SANDBOX_PRESENCE_H

#include "common/base/id.h"
#include "common/base/map.h"

enum {
    PRESENCE_REPORT_FRESH_MS = 12000, /* gateways report every 5 s */
};

struct presence;

struct presence *presence_new(int64_t lost_after_ms, struct err *err) MUST_CHECK;
void presence_free(struct presence *presence);

/* A gateway says that these are connected to it. Times are monotonic. */
void presence_report_came(struct presence *presence, int64_t now_ms);
/* The sandbox's agent is connected now. */
void presence_seen_at(struct presence *presence, const char sandbox_id[ID_SIZE], int64_t now_ms);
void presence_seen(struct presence *presence, const char sandbox_id[ID_SIZE]);

/* No check could be made: the time since the last one does not count. What keeps us from checking
 * keeps agents from connecting, too. */
void presence_skip_check(struct presence *presence, int64_t now_ms);

typedef void presence_lost_fn(const char sandbox_id[ID_SIZE], void *arg);
/* Between begin and end each running sandbox is named once; those not named are forgotten, on_lost
 * is called (by check) for each that has been without its agent for too long. */
void presence_check_begin(struct presence *presence, int64_t now_ms);
void presence_check(struct presence *presence, const char sandbox_id[ID_SIZE],
                    presence_lost_fn *on_lost, void *arg);
void presence_check_end(struct presence *presence);

#endif
