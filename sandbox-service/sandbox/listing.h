/* sandbox-service/sandbox/listing.h: what is told of sandboxes: their pages. */
#ifndef SANDBOX_SANDBOX_LISTING_H
#define SANDBOX_SANDBOX_LISTING_H

#include "common/base/str.h"
#include "sandbox-service/sandbox/store.h"

/* An administrator is told whose each sandbox is. */
enum listing_reader { LISTING_FOR_OWNER, LISTING_FOR_ADMIN };

/* The rows of store_list or store_list_any as the JSON of a sandbox_page, or of an admin_page.
 * limit rows make the page; when there is one more, the page ends with a cursor. */
bool listing_write(const PGresult *result, int64_t limit, enum listing_reader reader,
                   struct str *out, struct err *err) MUST_CHECK;

#endif
