/* sandbox-service/events/target.h: where webhooks may go: to public addresses, over TLS; and to the
 * ranges that the operator names, which this service could reach and its users could not. */
#ifndef SANDBOX_EVENTS_TARGET_H
#define SANDBOX_EVENTS_TARGET_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "sandbox-service/network/cidr.h"

#include <sys/socket.h>

/* Borrowed for as long as targets are checked. */
struct target_policy {
    const struct cidr *allowed; /* besides what is public; over http:// too */
    size_t allowed_count;
};

/* ERR_INVALID "invalid_webhook_url" for what is no https:// URL (or http://, where ranges are
 * allowed), has a user, a fragment or characters to be escaped, or names an address that is not
 * allowed. What a host's name leads to is seen when it is connected to. */
bool target_url_check(const struct target_policy *policy, struct view url,
                      struct err *err) MUST_CHECK;
/* Whether that URL is of http://, for target_address_is_allowed. */
bool target_is_plain(struct view url);

/* is_plain: only what the operator named; anything that is not routed in the internet, or leads
 * back into IPv4, is refused. */
bool target_address_is_allowed(const struct target_policy *policy, const struct sockaddr *address,
                               bool is_plain);

#endif
