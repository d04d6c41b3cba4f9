/* sandbox-service/sandbox/disk.h: ends sandboxes that have written more than they may, where the
 * engine does not hold the limit itself.
 *
 * The engine is asked, not the agent: from inside, a file of the image and one of the sandbox look
 * the same, so that an agent would have to walk the whole image again and again, and what it says
 * would be worth no more than its container. The engine walks only what the sandbox has written.
 * One is looked at at a time, each every DISK_CHECK_S, or less often when there are very many: so
 * long may a sandbox be over its limit. One that rests is looked at once; one with so many files
 * that the engine does not come to their end, time after time, is over its limit too. */
#ifndef SANDBOX_SANDBOX_DISK_H
#define SANDBOX_SANDBOX_DISK_H

#include "common/base/err.h"
#include "common/base/id.h"

#include <stddef.h>
#include <stdint.h>

struct disk_watch;
struct sandboxes;

enum { DISK_TIMEOUTS_MAX = 3 };

struct disk_limited {
    char sandbox_id[ID_SIZE];
    int64_t limit_mb;
    int timeouts;         /* of its latest measurements, one after the other */
    int64_t timed_out_ms; /* the last of them; monotonic */
};

struct disk_watch *disk_watch_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* When nothing is in flight any more. */
void disk_watch_close(struct disk_watch *watch);

/* How long to wait before the next of count is looked at, when each is to be every interval_ms. */
int64_t disk_watch_gap_ms(int64_t interval_ms, size_t count);
/* Notes that a measurement failed so. Whether it was the last of DISK_TIMEOUTS_MAX that took too
 * long; those of an engine that is slow with everybody do not count. */
bool disk_timed_out_for_good(struct disk_limited *limited, enum err_code code,
                             bool others_are_measured);
/* What is known of those that were in the round before; both in the order of their ids. */
void disk_carry_over(const struct disk_limited *before, size_t before_count,
                     struct disk_limited *now, size_t now_count);

#endif
