/* common/ipc/channel.h: one connection (a stream of nng) that carries frames both ways; private to
 * this folder.
 *
 * Its callbacks run on the loop. nng's threads do nothing but post its letters. */
#ifndef COMMON_IPC_CHANNEL_H
#define COMMON_IPC_CHANNEL_H

#include "common/event/mailbox.h"
#include "common/ipc/frame.h"

#include <nng/nng.h>

struct ipc_channel;

enum { IPC_PENDING_MAX = 16 * 1024 * 1024 }; /* bytes that wait for a slow peer */

struct ipc_channel_handlers {
    /* frame is valid during the call. May close the channel. */
    void (*on_frame)(const struct ipc_frame *frame, void *arg);
    /* It broke, or the peer left: comes once, and the owner closes it. */
    void (*on_lost)(const struct err *err, void *arg);
};

/* Takes stream, whatever comes of it. Borrows loop, mailbox and handlers. NULL: no memory. */
struct ipc_channel *ipc_channel_new(struct loop *loop, struct mailbox *mailbox, nng_stream *stream,
                                    const struct ipc_channel_handlers *handlers, void *arg,
                                    struct err *err) MUST_CHECK;
/* No callback comes any more. What was sent and fits in the connection's buffer still goes (over
 * TLS as far as it has gone into it already). Accepts
 * NULL. Its memory goes with its last letters, for which the mailbox must stay. */
void ipc_channel_close(struct ipc_channel *channel);

/* Copies text. Fails with ERR_LIMIT when the peer does not take what waits for it. */
bool ipc_channel_send(struct ipc_channel *channel, uint64_t id, struct view text,
                      struct err *err) MUST_CHECK;

/* Whether the peer's certificate was found good; only over TLS, once a frame has come. */
bool ipc_channel_is_verified(const struct ipc_channel *channel);

/* While paused no frame is handed over and nothing is read, so that the peer feels it. */
void ipc_channel_pause(struct ipc_channel *channel);
void ipc_channel_resume(struct ipc_channel *channel);

#endif
