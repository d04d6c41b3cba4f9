/* gateway/http/connection.h: one connection: what it waits for, its bytes in and out, its time. */
#ifndef GATEWAY_HTTP_CONNECTION_H
#define GATEWAY_HTTP_CONNECTION_H

#include "common/base/list.h"
#include "gateway/http/address.h"
#include "gateway/http/core.h"
#include "gateway/http/head_check.h"
#include "gateway/http/outflow.h"

struct http_exchange;
struct http_listener;
struct http_place;

enum connection_state {
    CONNECTION_IDLE,        /* no byte of a request yet */
    CONNECTION_HEAD,        /* some bytes of a head */
    CONNECTION_REQUEST,     /* the handler has the exchange; nothing is read but the end */
    CONNECTION_BODY,        /* reads the exchange's body */
    CONNECTION_BODY_PAUSED, /* the handler takes no more of it for now; nothing is read */
    CONNECTION_WRITING,     /* the kernel has not yet taken the whole answer */
    CONNECTION_LINGER,      /* said its last word; drains until the client has seen it */
    CONNECTION_CLOSED,      /* unlinked; freed at the end of the loop's turn */
};

/* A streamed answer, while the state says what is read. */
enum answer_state {
    ANSWER_NONE,
    ANSWER_FLOWS,     /* has begun */
    ANSWER_BACKED_UP, /* HTTP_BACKLOG_MAX is exceeded; the exchange hears when it is short again */
    ANSWER_ENDS,      /* the rest is being written */
};

struct http_connection {
    struct list node;
    struct http_core *core;         /* borrowed */
    struct http_listener *listener; /* borrowed */
    struct http_place *place;       /* owned; NULL: counts nowhere */
    void *arg;                      /* for on_request */
    struct bufferevent *bev;        /* owned */
    struct outflow outflow;
    struct event *timer;            /* owned */
    struct http_exchange *exchange; /* owned by its handler; NULL between requests */
    enum connection_state state;
    bool is_fresh;    /* no request yet */
    bool is_last;     /* no request after this one */
    bool unread;      /* the client may still be sending what nobody reads */
    bool handshakes;  /* TLS has not begun to carry anything yet */
    bool half_closed; /* the client sends no more */
    bool advancing;   /* in connection_advance */
    bool is_broken;   /* what is sent is lost; closes in the loop's next turn */
    enum answer_state answer;
    bool is_bulk;           /* large reads and writes */
    bool cut_is_unseen;     /* the answer ends where the connection does */
    struct evbuffer *taken; /* owned; of a streamed body; NULL before the first */
    int64_t sent;           /* bytes of the streamed answer */
    int64_t acknowledged;   /* of those, at the last look that saw more of them */
    int64_t progress_ms;    /* when that was; WRITING: when bytes left were last fewer */
    unsigned idle_variant;  /* of TIMEOUT_IDLE */
    size_t progress;        /* LINGER: bytes drained; WRITING: bytes left at last look */
    struct head_check check;
    struct loop_corpse corpse;
    char peer[ADDRESS_TEXT_SIZE];
    struct address address; /* what peer says */
    bool has_address;       /* not over a unix socket */
};

struct connection_options {
    struct http_listener *listener;
    struct list *list;        /* gets the connection */
    struct http_place *place; /* taken, whatever happens */
    struct http_tls *tls;     /* borrowed; NULL: plain */
    void *arg;                /* for on_request */
    const char *peer;         /* text; copied */
};

/* Takes fd, whatever happens. NULL when out of memory. */
struct http_connection *connection_open(struct http_core *core, int fd,
                                        const struct connection_options *options) MUST_CHECK;
/* Ends it without a word; its exchange is abandoned. Does nothing when closed already. */
void connection_close(struct http_connection *connection);
/* Takes no further request: an idle one closes, another after its answer. With half_sent a head
 * that is not complete does not count as a request. */
void connection_retire(struct http_connection *connection, bool half_sent);

/* Answers by itself, abandons the exchange, and closes behind the answer. */
void connection_refuse(struct http_connection *connection, enum refusal refusal);

/* Sends the answer of the exchange, which is over, and goes on or closes behind it. With unread a
 * part of the request has not been read. */
void connection_answer(struct http_connection *connection, struct view head, struct view body,
                       bool keep_alive, bool unread);
/* Writes at once what the kernel takes and queues the rest. False when the connection has broken,
 * which it then does in the loop's next turn. */
bool connection_send(struct http_connection *connection, const struct view *parts, size_t count);

/* Begins a streamed answer; an empty head breaks the connection. */
void connection_begin_answer(struct http_connection *connection, struct view head,
                             bool cut_is_unseen);
/* What waits to be written; whether that is little enough to go on. If not, the exchange hears when
 * it is. */
size_t connection_backlog(const struct http_connection *connection);
bool connection_has_room(struct http_connection *connection);
/* As connection_answer, for a streamed answer. */
void connection_end_answer(struct http_connection *connection, struct view tail, bool keep_alive,
                           bool unread);
/* Closes so that the client sees that the answer is cut; now, or in the loop's next turn. */
void connection_cut(struct http_connection *connection);
void connection_break(struct http_connection *connection);

/* Reads the exchange's body from here on. */
void connection_read_body(struct http_connection *connection);
/* The same, but from the loop's next turn on. */
void connection_stream_body(struct http_connection *connection);
void connection_pause_body(struct http_connection *connection);
/* The body is whole: the rest of the input waits for the answer. */
void connection_end_body(struct http_connection *connection);

/* Leaves the bufferevent, silent and with its input, to the caller, who frees it. The connection is
 * gone. */
struct bufferevent *connection_take_bev(struct http_connection *connection);

#endif
