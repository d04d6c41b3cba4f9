/* gateway/cache/activity.h: in which sandboxes something is done through this gateway, for their
 * idle time-outs.
 *
 * Activity is: a request to the agent, a message of a client on its WebSocket, bytes of a stream in
 * either direction (terminals, transfers, previews), and a command that was started through the API
 * and runs. The sandbox-service hears of it every ACTIVITY_REPORT_MS, and at once of a sandbox that
 * was quiet before: whatever happens in the last ACTIVITY_REPORT_MS of an idle time is known before
 * that is over. */
#ifndef GATEWAY_CACHE_ACTIVITY_H
#define GATEWAY_CACHE_ACTIVITY_H

#include "common/base/id.h"

struct activity;
struct ipc_client;
struct loop;

enum {
    ACTIVITY_REPORT_MS = 5000,
    ACTIVITY_SOON_MS = 200, /* of one that was quiet */
    ACTIVITY_SANDBOXES_MAX = 65536,
};

/* Before each report: whoever knows of what goes on calls activity_note for it. */
typedef void activity_ask_fn(void *arg);

/* Borrows all but what it copies, gateway_id. */
struct activity *activity_open(struct loop *loop, struct ipc_client *sandbox_service,
                               const char gateway_id[ID_SIZE], struct err *err) MUST_CHECK;
void activity_close(struct activity *activity);
/* There is one who is asked. NULL: none. */
void activity_set_source(struct activity *activity, activity_ask_fn *ask, void *arg);
/* Now. Cheap: one look-up in a map. Accepts NULL. */
void activity_note(struct activity *activity, const char sandbox_id[ID_SIZE]);

#endif
