/* sandbox-service/network/recovery.h: what the network of sandboxes needs without being asked:
 * those that an earlier process restricted are let through again, changes that stopped half-way are
 * done to their end, and what was denied is written down once in a while. */
#ifndef SANDBOX_NETWORK_RECOVERY_H
#define SANDBOX_NETWORK_RECOVERY_H

#include "sandbox-service/network/change.h"

struct network;
struct recovery;

/* All borrowed for its life. */
struct recovery_options {
    struct loop *loop;
    const struct change_parts *parts;
    const struct network *network;
    struct map *changing; /* changes under way, by sandbox id: one at a time of each */
};

struct recovery *recovery_open(const struct recovery_options *options, struct err *err) MUST_CHECK;
/* When nothing of it is in flight any more; NULL is fine. */
void recovery_close(struct recovery *recovery);

/* Once the table is in force. Tries until the database answers. What the kernel has of sandboxes
 * that are gone goes. */
void recovery_adopt(struct recovery *recovery);
/* From time to time. */
void recovery_refresh(struct recovery *recovery);

#endif
