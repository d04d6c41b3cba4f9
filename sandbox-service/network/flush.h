/* sandbox-service/network/flush.h: what restricted sandboxes were denied, from memory and the
 * kernel into their rows. */
#ifndef SANDBOX_NETWORK_FLUSH_H
#define SANDBOX_NETWORK_FLUSH_H

#include "sandbox-service/network/egress.h"
#include "sandbox-service/network/store.h"

/* All is written, or lost with a line in the log: who waits goes on in any case. */
typedef void flush_done_fn(void *arg);

/* Takes what the box has counted: memory and kernel begin anew. Changes of the kernel's rules that
 * are begun later come later. done may be NULL; otherwise it comes exactly once, later, on the
 * loop; or false, and it does not come: nothing was taken. */
bool flush_begin(struct egress *egress, struct network_store *store, struct egress_box *box,
                 flush_done_fn *done, void *arg, struct err *err) MUST_CHECK;

#endif
