/* sandbox-service/volumes/strays.h: disks on this machine of volumes that no row tells of. A row is
 * there before its disk and goes behind it: the database is an older one, put back, or somebody
 * took the row out by hand. */
#ifndef SANDBOX_VOLUMES_STRAYS_H
#define SANDBOX_VOLUMES_STRAYS_H

#include "common/base/err.h"
#include "common/base/id.h"

#include <stddef.h>

struct volumes;

/* ids is NULL when err is not; valid during the call. */
typedef void strays_found_fn(const char (*ids)[ID_SIZE], size_t count, const struct err *err,
                             void *arg);
/* done comes exactly once, later, on the loop; false, and no done, when it can't begin. */
bool strays_find(struct volumes *volumes, strays_found_fn *done, void *arg,
                 struct err *err) MUST_CHECK;

typedef void stray_removed_fn(const struct err *err, void *arg);
/* Removes such a disk, after one more look that it is one: else ERR_CONFLICT. As strays_find. */
bool stray_remove(struct volumes *volumes, const char volume_id[ID_SIZE], stray_removed_fn *done,
                  void *arg, struct err *err) MUST_CHECK;

#endif
