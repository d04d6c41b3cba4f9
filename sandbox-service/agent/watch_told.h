/* sandbox-service/agent/watch_told.h: the names that a watch has told because it found them in a
 * new folder. The kernel may have an event for their creation waiting; it is not to be told again.
 */
#ifndef SANDBOX_AGENT_WATCH_TOLD_H
#define SANDBOX_AGENT_WATCH_TOLD_H

#include "common/base/list.h"
#include "common/base/map.h"

#include <stdint.h>

enum { WATCH_TOLD_MAX = 16 * 1024 }; /* what is beyond may be told twice */

/* Positions count bytes of the kernel's events. */
struct watch_told {
    struct map names;
    struct list fresh;   /* found, and not settled yet */
    struct list settled; /* those that expire first come first */
};

bool watch_told_init(struct watch_told *told, struct err *err) MUST_CHECK;
void watch_told_clear(struct watch_told *told);
/* Accepts a zeroed one. */
void watch_told_free(struct watch_told *told);

/* number: of the folder. Without memory for it the name is not remembered. */
void watch_told_add(struct watch_told *told, int number, const char *name);
/* Those that were added up to now hold until the events before position are handled. */
void watch_told_settle(struct watch_told *told, uint64_t position);
/* Events from position on are handled now. */
void watch_told_expire(struct watch_told *told, uint64_t position);
/* Whether it was told; it counts as not told from now on. */
bool watch_told_forget(struct watch_told *told, int number, const char *name);

#endif
