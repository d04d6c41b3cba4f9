/* sandbox-service/network/table_watch.h: hears from the kernel that a table of nftables is gone, as
 * when somebody flushes the ruleset: what held the sandboxes is gone with it. */
#ifndef SANDBOX_NETWORK_TABLE_WATCH_H
#define SANDBOX_NETWORK_TABLE_WATCH_H

#include "common/base/view.h"
#include "common/event/loop.h"

struct table_watch;

/* From the loop. It may be there again already, or not; who ended it is not told. */
typedef void table_gone_fn(void *arg);

/* Borrows loop, and table for its life. NULL where the kernel does not tell, or not to us. */
struct table_watch *table_watch_open(struct loop *loop, const char *table, table_gone_fn *gone,
                                     void *arg, struct err *err) MUST_CHECK;
/* NULL is fine. */
void table_watch_close(struct table_watch *watch);

/* Whether what the kernel told (a datagram of netlink messages) says that the table is gone. */
bool table_watch_is_about(struct view datagram, const char *table) MUST_CHECK;

#endif
