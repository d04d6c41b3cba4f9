/* sandbox-service/network/firewall.h: puts the rules into force. Blocks: for worker threads. */
#ifndef SANDBOX_NETWORK_FIREWALL_H
#define SANDBOX_NETWORK_FIREWALL_H

#include "sandbox-service/network/rules.h"

/* Fills the chain anew in one step, and has INPUT and DOCKER-USER jump to it first of all unless
 * they do. May be repeated at any time: there is no moment without rules. ERR_TIMEOUT: another
 * program was at the rules for so long that nothing is known. */
bool firewall_apply(const struct rules *rules, struct err *err) MUST_CHECK;

/* Whether the DROP rule of each range (NULL-terminated list) has met a packet. */
bool firewall_has_dropped(const struct rules *rules, const char *const *ranges,
                          struct err *err) MUST_CHECK;

#endif
