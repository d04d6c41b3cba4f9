/* common/base/weak.h: secrets that somebody made up instead of making them at random. */
#ifndef COMMON_BASE_WEAK_H
#define COMMON_BASE_WEAK_H

#include <stdbool.h>

enum { SECRET_LEN_MIN = 32 }; /* bytes of one that signs or encrypts */

/* Why a secret must not be used, for a sentence that begins with its name ("is a well-known
 * value"); NULL for one that has nothing against it. */
const char *weak_reason(const char *secret);

/* The same for a password that others chose and may be short: only what everybody tries first. */
const char *weak_password_reason(const char *password);

#endif
