/* sandbox-service/sandbox/listing.h: what is told of sandboxes: their pages and the cursors between
 * them. */
#ifndef SANDBOX_SANDBOX_LISTING_H
#define SANDBOX_SANDBOX_LISTING_H

#include "common/base/str.h"
#include "sandbox-service/sandbox/store.h"

enum { CURSOR_SIZE = 96 };

/* Opaque to clients: base64url. */
void cursor_write(const struct store_position *position, char out[CURSOR_SIZE]);
/* ERR_INVALID "invalid_cursor". */
bool cursor_read(struct view cursor, struct store_position *out, struct err *err) MUST_CHECK;

/* The rows of store_list as a sandbox_page's JSON. limit rows make the page; when there is one
 * more, the page ends with a cursor. */
bool listing_write(const PGresult *result, int64_t limit, struct str *out,
                   struct err *err) MUST_CHECK;

#endif
