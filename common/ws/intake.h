/* common/ws/intake.h: the payload of a long frame read from the socket straight to where the inbox
 * keeps it, past the buffer of the bufferevent and the little that libevent reads at a time; for
 * this folder. */
#ifndef COMMON_WS_INTAKE_H
#define COMMON_WS_INTAKE_H

#include "common/ws/inbox.h"

#include <event2/bufferevent.h>

/* Bytes of one call to the kernel, at most. */
enum { WS_INTAKE_MAX = INBOX_GROW_MAX + 4096 };

/* Reads what has come of the frame under way, and a little of what follows it into the input of
 * bev, which reads from its socket itself (no TLS). False when there is no such frame, or no more
 * for now; an end or an error shows in the loop's next turn. */
bool ws_intake_read(struct ws_inbox *inbox, struct bufferevent *bev);

#endif
