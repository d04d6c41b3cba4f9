/* sandbox-service/reconcile/unknown.h: containers of this instance of which the database has never
 * heard. A row is there before its container and stays behind it, so the database is older than
 * they are: it was restored. They are kept, for the operator to bring the rows back, until the
 * operator says otherwise and a time is over. And such as live on another node, as the database
 * says: this node had another name, or has one that is not its own. They are always kept. */
#ifndef SANDBOX_RECONCILE_UNKNOWN_H
#define SANDBOX_RECONCILE_UNKNOWN_H

#include "common/base/err.h"
#include "common/base/id.h"

#include <stdint.h>

struct unknown;

/* may_go: the operator's word. after_ms: how long one is kept all the same. */
struct unknown *unknown_new(bool may_go, int64_t after_ms, struct err *err) MUST_CHECK;
/* Accepts NULL. */
void unknown_free(struct unknown *unknown);

/* Around the notes of one run; times are monotonic. */
void unknown_begin(struct unknown *unknown, int64_t now_ms);
/* Whether it is to be removed now. What is noted first is logged. */
bool unknown_note(struct unknown *unknown, const char sandbox_id[ID_SIZE]) MUST_CHECK;
/* The same of one that lives elsewhere, which is never removed. */
void unknown_note_elsewhere(struct unknown *unknown, const char sandbox_id[ID_SIZE]);
/* Forgets those that were not noted in this run. */
void unknown_end(struct unknown *unknown);

#endif
