/* gateway/cache/activity.h: in which sandboxes something is done through this gateway, for their
 * idle time-outs.
 *
 * What activity is, the operator says: enum activity_kind, of which all are the default. The
 * sandbox-service hears of it every ACTIVITY_REPORT_MS, and at once of a sandbox that was quiet
 * before: whatever happens in the last ACTIVITY_REPORT_MS of an idle time is known before that is
 * over. */
#ifndef GATEWAY_CACHE_ACTIVITY_H
#define GATEWAY_CACHE_ACTIVITY_H

#include "common/base/id.h"
#include "common/base/view.h"

struct activity;
struct ipc_client;
struct loop;

enum {
    ACTIVITY_REPORT_MS = 5000,
    ACTIVITY_SOON_MS = 200, /* of one that was quiet */
    ACTIVITY_SANDBOXES_MAX = 65536,
};

/* Bits. */
enum activity_kind {
    ACTIVITY_REQUESTS = 1 << 0, /* of the agent, until they are answered */
    ACTIVITY_MESSAGES = 1 << 1, /* of clients on their WebSockets */
    ACTIVITY_STREAMS = 1 << 2,  /* bytes either way: of terminals, transfers, previews */
    ACTIVITY_COMMANDS = 1 << 3, /* that were started through the API, while they run */
    ACTIVITY_ALL = (1 << 4) - 1,
};
/* Their names ("requests", "messages", "streams", "commands"), at least one, with commas between
 * them. */
bool activity_kinds_parse(struct view names, unsigned *out) MUST_CHECK;

/* Before each report: whoever knows of what goes on calls activity_note for it. */
typedef void activity_ask_fn(void *arg);

/* Borrows all but what it copies, gateway_id. kinds are those that count. */
struct activity *activity_open(struct loop *loop, struct ipc_client *sandbox_service,
                               const char gateway_id[ID_SIZE], unsigned kinds,
                               struct err *err) MUST_CHECK;
void activity_close(struct activity *activity);
/* There is one who is asked. NULL: none. */
void activity_set_source(struct activity *activity, activity_ask_fn *ask, void *arg);
/* Now, when one of the kinds counts. Cheap: one look-up in a map. Accepts NULL. */
void activity_note(struct activity *activity, const char sandbox_id[ID_SIZE], unsigned kinds);

#endif
