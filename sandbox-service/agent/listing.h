/* sandbox-service/agent/listing.h: what lies in a folder and, when asked, in the folders below it,
 * in the order of the paths' bytes. Links are told, never followed. */
#ifndef SANDBOX_AGENT_LISTING_H
#define SANDBOX_AGENT_LISTING_H

#include "common/contracts/agent_files.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/user.h"

struct trees;

enum { LISTING_BYTES_MAX = 4 * 1024 * 1024 }; /* of paths; what is beyond is cut off */

/* Answers once, now or later: listResponse, or an error as open_failed says, or "busy". A folder
 * that may not be looked into, or that vanishes meanwhile, is told without what is in it. A bound
 * cuts off the end, never a part between. path is absolute. */
void listing_begin(struct trees *trees, const struct reply *reply, const char *path,
                   const struct user *user, const struct agent_list *request);

#endif
