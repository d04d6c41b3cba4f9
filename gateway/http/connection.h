/* gateway/http/connection.h: one connection: what it waits for, its bytes in and out, its time. */
#ifndef GATEWAY_HTTP_CONNECTION_H
#define GATEWAY_HTTP_CONNECTION_H

#include "common/base/list.h"
#include "gateway/http/address.h"
#include "gateway/http/core.h"
#include "gateway/http/head_check.h"

struct http_exchange;
struct http_listener;
struct http_place;

enum connection_state {
    CONNECTION_IDLE,    /* no byte of a request yet */
    CONNECTION_HEAD,    /* some bytes of a head */
    CONNECTION_REQUEST, /* the handler has the exchange; nothing is read but the end */
    CONNECTION_BODY,    /* collects the exchange's body */
    CONNECTION_WRITING, /* the kernel has not yet taken the whole answer */
    CONNECTION_LINGER,  /* said its last word; drains until the client has seen it */
    CONNECTION_CLOSED,  /* unlinked; freed at the end of the loop's turn */
};

struct http_connection {
    struct list node;
    struct http_core *core;         /* borrowed */
    struct http_listener *listener; /* borrowed */
    struct http_place *place;       /* owned; NULL: counts nowhere */
    void *arg;                      /* for on_request */
    struct bufferevent *bev;        /* owned */
    struct event *timer;            /* owned */
    struct http_exchange *exchange; /* owned by its handler; NULL between requests */
    enum connection_state state;
    bool is_fresh;         /* no request yet */
    bool is_last;          /* no request after this one */
    bool unread;           /* the client may still be sending what nobody reads */
    bool half_closed;      /* the client sends no more */
    bool advancing;        /* in connection_advance */
    unsigned idle_variant; /* of TIMEOUT_IDLE */
    size_t progress;       /* LINGER: bytes drained; WRITING: bytes left at last look */
    struct head_check check;
    struct loop_corpse corpse;
    char peer[ADDRESS_TEXT_SIZE];
};

struct connection_options {
    struct http_listener *listener;
    struct list *list;        /* gets the connection */
    struct http_place *place; /* taken, whatever happens */
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
/* Writes at once what the kernel takes and queues the rest. The connection may close. */
void connection_send(struct http_connection *connection, struct view head, struct view body);

/* Reads the exchange's body from here on. */
void connection_read_body(struct http_connection *connection);
/* The body is whole: the rest of the input waits for the answer. */
void connection_end_body(struct http_connection *connection);

/* Leaves the bufferevent, silent and with its input, to the caller, who frees it. The connection is
 * gone. */
struct bufferevent *connection_take_bev(struct http_connection *connection);

#endif
