/* sandbox-service/sandbox/metadata.h: whether the database can keep what a user writes to a
 * sandbox. */
#ifndef SANDBOX_SANDBOX_METADATA_H
#define SANDBOX_SANDBOX_METADATA_H

#include "common/base/err.h"
#include "common/base/view.h"

/* text is valid JSON, or empty. ERR_INVALID "validation_failed" when it has U+0000 in a string,
 * which jsonb does not know, or when with its numbers written out, as jsonb does (1e9 is one digit
 * and nine zeros), it is over METADATA_BYTES_MAX, or one of them over JSON_NUMBER_MAX: what comes
 * back from the database is read again. */
bool metadata_check(struct view text, struct err *err) MUST_CHECK;

#endif
