/* sandbox-service/docker/version.h: what is known of versions of the engine's parts. */
#ifndef SANDBOX_DOCKER_VERSION_H
#define SANDBOX_DOCKER_VERSION_H

#include <stdbool.h>

/* Whether version ("1.1.5+ds1", "v1.2.0-rc.3") is before wanted, number by number; what follows the
 * numbers does not count. */
bool version_is_before(const char *version, const char *wanted);

/* What is known against a runc. */
struct runc_flaw {
    const char *id;     /* of the flaw */
    const char *mended; /* the first version of that series without it */
    bool is_way_out;    /* any container can use it; else it takes an image made for it */
};
/* NULL: nothing. version "": nothing is known, and that is NULL too. */
const struct runc_flaw *runc_find_flaw(const char *version);
/* A distribution mends an old version without a new number: that can't be seen from here. */
bool runc_may_be_mended(const char *version);

#endif
