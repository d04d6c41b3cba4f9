/* common/ws/socket.h: one WebSocket (RFC 6455) over a bufferevent whose handshake is done. Both
 * ends of the agent's connection and the gateway's clients use it. */
#ifndef COMMON_WS_SOCKET_H
#define COMMON_WS_SOCKET_H

#include "common/base/view.h"
#include "common/event/loop.h"

#include <event2/bufferevent.h>
#include <stdint.h>

enum ws_role { WS_SERVER, WS_CLIENT };
enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2 };

enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_IDLE = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_UNSUPPORTED = 1003,
    WS_CLOSE_NO_CODE = 1005,  /* never sent: the peer closed without a code */
    WS_CLOSE_ABNORMAL = 1006, /* never sent: the connection just ended */
    WS_CLOSE_BAD_UTF8 = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_OVERLOAD = 1013,
    WS_CLOSE_SANDBOX_GONE = 4404,
    WS_CLOSE_REPLACED = 4409,
};

enum { WS_REASON_MAX = 123 }; /* bytes of a close frame's reason; longer ones are cut */

struct ws_limits {
    size_t message_max;          /* bytes of a message, decided from the headers: 1009 */
    size_t fragments_max;        /* of a message: 1008 */
    size_t backlog_soft;         /* bytes queued to the peer; see on_drained; 0: backlog_max */
    size_t backlog_max;          /* the same; see stall_max_ms and back_pressure */
    size_t backlog_hard_max;     /* a message that would not fit under it: 1008 at once */
    int64_t stall_max_ms;        /* over backlog_max and the peer took nothing for so long: 1008 */
    int64_t stream_stall_max_ms; /* 0, or: only text counts for stall_max_ms, and a peer that takes
                                    nothing of what waits is not silent, but 1008 after so long */
    bool back_pressure;     /* over backlog_max the peer is not read: it asks faster than it takes
                               the answers. At one end of a connection only: two such ends could
                               wait for each other. */
    int64_t ping_every_ms;  /* 0: no pings of ours */
    int64_t silence_max_ms; /* no byte for so long: 1001; 0: for ever */
    int pings_per_s_max;    /* of the peer's: 1008 */
};
/* 16 MiB, 16,384 fragments, 4 MiB, 64 MiB, 10 s, no back-pressure, 20 s, 60 s, 20 pings. */
extern const struct ws_limits ws_default_limits;
/* The same with back-pressure, and 10 min for streams: for the end that answers what the other asks
 * (the agent toward its gateway). */
extern const struct ws_limits ws_answering_limits;

struct ws_socket;
struct ws_events {
    /* A whole message; valid during the call. The socket may be closed or freed in it. */
    void (*on_message)(enum ws_opcode opcode, struct view message, void *arg);
    /* The connection is over: exactly once, unless ws_socket_free came first. code is the peer's
     * when it closed, ours when we did, WS_CLOSE_ABNORMAL when nobody did. The socket is freed by
     * the owner with ws_socket_free, which is allowed inside this call. */
    void (*on_closed)(int code, void *arg);
    /* The backlog, which was over backlog_soft, is not any more. May be NULL. The socket may be
     * closed or freed in it. */
    void (*on_drained)(void *arg);
};

/* Takes bev (frees it with the socket) whatever happens. Bytes that wait in its input are frames.
 * limits and events are borrowed for ever. Callbacks come from the loop, never from inside a
 * function of this header. */
struct ws_socket *ws_socket_new(struct loop *loop, enum ws_role role, struct bufferevent *bev,
                                const struct ws_limits *limits, const struct ws_events *events,
                                void *arg, struct err *err) MUST_CHECK;
/* Ends the connection without a word if it still stands. NULL is fine. Safe inside callbacks. */
void ws_socket_free(struct ws_socket *socket);

/* Queues one message made of parts (they are joined: no copy into one buffer is needed before).
 * False when the socket is closing (ERR_UNAVAILABLE), or the backlog has reached its hard limit
 * (ERR_LIMIT; the socket then closes with 1008). */
bool ws_send(struct ws_socket *socket, enum ws_opcode opcode, const struct view *parts,
             size_t part_count, struct err *err) MUST_CHECK;

/* No message is delivered, and nothing is read, until ws_resume. In on_message: that message is not
 * used up, and is delivered again then. */
void ws_pause(struct ws_socket *socket);
/* Goes on, later, from the loop. */
void ws_resume(struct ws_socket *socket);

/* Starts the closing handshake; on_closed comes when the peer answered, or after 5 s. Nothing of
 * the peer's is delivered any more. reason may be NULL. Does nothing when closing already. */
void ws_close(struct ws_socket *socket, int code, const char *reason);

/* No pings of ours, no limits of silence and stalling while off (the peer may be frozen). */
void ws_set_liveness(struct ws_socket *socket, bool on);

/* The bufferevent's bytes are those of its socket (no TLS): long messages are read past its buffer,
 * with few calls to the kernel. */
void ws_read_directly(struct ws_socket *socket);

/* say_end is called when nothing follows what was sent, for a layer below that has a word for that,
 * such as TLS. It touches nothing but the bufferevent. */
void ws_set_say_end(struct ws_socket *socket, void (*say_end)(struct bufferevent *bev));

/* Bytes queued and not yet taken by the kernel. */
size_t ws_backlog(const struct ws_socket *socket);

#endif
