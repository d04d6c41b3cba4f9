/* auth-service/webhooks/event.h: what a webhook says, as far as it concerns us. */
#ifndef AUTH_SERVICE_WEBHOOKS_EVENT_H
#define AUTH_SERVICE_WEBHOOKS_EVENT_H

#include "auth-service/users/clerk_user.h"
#include "common/contracts/invalidation.h"

enum webhook_kind {
    WEBHOOK_OTHER,         /* nothing to do */
    WEBHOOK_USER_CHANGED,  /* made or changed: user says what it is now */
    WEBHOOK_USER_DELETED,  /* user.subject alone is set */
    WEBHOOK_SESSION_ENDED, /* session_id */
};

struct webhook_event {
    enum webhook_kind kind;
    bool is_new_user; /* of WEBHOOK_USER_CHANGED: the user was made, there */
    struct clerk_user user;
    char session_id[SESSION_ID_SIZE];
};

/* body: of a webhook whose signature holds. ERR_INVALID "webhook_unreadable" when it is not what
 * its type promises. */
bool webhook_event_read(struct view body, struct webhook_event *out, struct err *err) MUST_CHECK;

#endif
