/* gateway/http/server.h: HTTP/1.1 (RFC 9110, 9112) on the loop: bufferevents, llhttp, and our own
 * strictness on top. If two readers could disagree about where a message ends or what it means, it
 * is refused and the connection closed.
 *
 * A connection has one exchange at a time; a pipelined request waits, unread, for the answer of the
 * one before. */
#ifndef GATEWAY_HTTP_SERVER_H
#define GATEWAY_HTTP_SERVER_H

#include "common/base/str.h"
#include "common/base/trace.h"
#include "common/event/loop.h"
#include "gateway/http/header.h"

#include <event2/bufferevent.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    HTTP_TARGET_MAX = 8 * 1024,
    HTTP_LINE_MAX = 8 * 1024,
    HTTP_HEAD_MAX = 16 * 1024, /* all header lines, with the trailers */
    HTTP_HEADERS_MAX = 100,
    HTTP_REQUEST_ID_SIZE = TRACE_REQUEST_ID_SIZE,
    HTTP_UNIX_CONNECTIONS_MAX = 16,
    HTTP_PIECE_MAX = 64 * 1024, /* of a streamed body, in one on_piece */
    /* Of a streamed answer, waiting for the client; a quarter when memory is short. */
    HTTP_BACKLOG_MAX = 256 * 1024,
    HTTP_LENGTH_UNKNOWN = -1,
};

struct http_limits {
    size_t connections_max;             /* TCP; a few are answered 503 beyond, the rest waits */
    size_t connections_per_address_max; /* 429 and close beyond; an IPv6 /64 is one address */
    const char *exempt_cidrs; /* comma-separated; lifts the limit per address; borrowed, parsed
                                 once */
    const char *proxy_cidrs;  /* the same of proxies in front of us, whose X-Forwarded-For is
                                 believed; they have no limit per address either */
    int64_t head_timeout_ms;  /* whole head, from its first byte; also of a silent connection */
    int64_t idle_timeout_ms;  /* keep-alive */
    int64_t body_gap_ms;      /* between two pieces of a body */
    int64_t body_timeout_ms;  /* a whole buffered body */
    int64_t write_stall_ms;   /* an answer that is not being read */
    int64_t stream_stall_ms;  /* a streamed answer that is not being read */
};
extern const struct http_limits http_default_limits;

struct http_server;
struct http_exchange;
struct http_head;

/* A request's head is there; leads to exactly one answer: http_read_body and then http_respond, or
 * http_respond at once, or http_upgrade; now or later. arg is the listener's. */
typedef void http_request_fn(struct http_exchange *exchange, void *arg);

/* Of requests that are another program's business, for which it says true, targets are handed on
 * with escapes and dot segments that are refused otherwise. */
typedef bool http_raw_target_fn(const struct http_head *head, void *arg);

struct http_server *http_server_new(struct loop *loop, const struct http_limits *limits,
                                    http_request_fn *on_request, struct err *err) MUST_CHECK;
void http_server_pass_raw_targets(struct http_server *server, http_raw_target_fn *is_raw,
                                  void *arg);
/* From now on answers, but bare ones, tell browsers which pages may read them (cors.h); borrows
 * origins until the server is freed. */
void http_server_allow_origins(struct http_server *server, const char *origins);
/* Closes every listener and connection at once; exchanges get on_gone. */
void http_server_free(struct http_server *server);

/* Adds a listening socket: TCP ("127.0.0.1", 3000; "::" takes both families; port 0: any, told by
 * http_listener_port) or unix. arg goes to on_request of its connections. A unix listener counts in
 * neither limit; it has at most HTTP_UNIX_CONNECTIONS_MAX connections that are not upgraded, and
 * accepts no more while they stand. */
struct http_listener;
struct http_listener *http_listen_tcp(struct http_server *server, const char *host, uint16_t port,
                                      void *arg, struct err *err) MUST_CHECK;
struct http_listener *http_listen_unix(struct http_server *server, int listening_fd, void *arg,
                                       struct err *err) MUST_CHECK; /* takes listening_fd */
/* Connections that it accepts from now on speak TLS; tls is borrowed until the listener is closed.
 */
struct http_tls;
void http_listener_use_tls(struct http_listener *listener, struct http_tls *tls);
uint16_t http_listener_port(const struct http_listener *listener);
/* Requests in hand are still answered; its arg is not used any more. */
void http_listener_close(struct http_listener *listener);

/* On the TCP listeners: stops accepting, closes idle connections, answers what is in flight with
 * Connection: close. on_drained comes once no connection of theirs is left (upgraded ones do not
 * count). Unix listeners go on: what is in flight may need those who come by them. */
void http_server_drain(struct http_server *server, void (*on_drained)(void *arg), void *arg);

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_DELETE,
    HTTP_OPTIONS,
};

/* Borrowed from the exchange; valid until the answer. */
struct http_head {
    enum http_method method;
    struct view path;  /* as sent: begins with '/' (or is the "*" of OPTIONS), no '?'; escapes are
                          checked but not resolved */
    struct view query; /* behind '?' */
    struct view host;  /* of the absolute form, or the Host header */
    const struct http_header *headers;
    size_t header_count;
    bool wants_upgrade; /* HTTP/1.1, Upgrade: websocket, Connection: upgrade, no body */
    bool has_body;
};
const struct http_head *http_exchange_head(const struct http_exchange *exchange);
/* The value of the first header of that name (any case); len 0 and ptr NULL when absent. */
struct view http_exchange_header(const struct http_exchange *exchange, const char *name);
/* The request's id: X-Request-Id when it is well-formed ([A-Za-z0-9._-]{1,64}), else a new one. */
const char *http_exchange_request_id(const struct http_exchange *exchange);
/* That id, and the trace of the one traceparent header when it is well-formed, else a new one. */
const struct trace *http_exchange_trace(const struct http_exchange *exchange);
/* Whether the trace is the client's. */
bool http_exchange_brings_trace(const struct http_exchange *exchange) MUST_CHECK;
/* The address of the client below as text; "unix" for unix sockets. */
const char *http_exchange_peer(const struct http_exchange *exchange);
/* Who the request comes from: the peer, or whom trusted proxies name (forwarded.h); NULL for unix
 * sockets. Valid as long as the exchange. */
struct address;
const struct address *http_exchange_client(const struct http_exchange *exchange);
/* Whether the client is one of exempt_cidrs; unix sockets are. */
bool http_exchange_is_exempt(const struct http_exchange *exchange) MUST_CHECK;

/* Headers that its answer will have, whoever gives it, unless that is bare. Copies them; beyond
 * HTTP_ADDED_MAX bytes none of them is sent. */
enum { HTTP_ADDED_MAX = 512 };
void http_exchange_add_headers(struct http_exchange *exchange, const struct http_header *headers,
                               size_t count);

/* One segment or parameter, with its escapes resolved once: false for a bad escape, %00, an encoded
 * '/' or '\', "." and "..", or invalid UTF-8. */
bool http_decode(struct view encoded, char *out, size_t size) MUST_CHECK;
/* Finds the first parameter of that name in a query string; true and decoded ('+' is a space, '/'
 * may be encoded) when it is there and fits. */
bool http_query_find(struct view query, const char *name, char *out, size_t size) MUST_CHECK;
/* Whether it is there at all, whatever its value. */
bool http_query_has(struct view query, const char *name) MUST_CHECK;

/* Collects the whole body and then calls on_body once, on the loop, perhaps at once. Over max bytes
 * the exchange is answered 413 here (100-continue is sent only when the body is wanted), too slow
 * 408, broken 400; on_body is not called then, but on_gone is, perhaps at once too: behind this
 * call the exchange must not be touched. The body is contiguous and valid until the answer. */
typedef void http_body_fn(struct http_exchange *exchange, struct view body, void *arg);
void http_read_body(struct http_exchange *exchange, size_t max, http_body_fn *on_body, void *arg);

/* Streams the body instead: on_piece for what arrived (1 to HTTP_PIECE_MAX bytes; valid during the
 * call, until an answer), on_end once the body is whole, both later, on the loop. The handler may
 * pause, begin an answer, or answer in either; once it has answered, neither comes. Over max bytes,
 * too slow (only the gap and the lowest rate count, and only while it is not paused) or broken: as
 * http_read_body, later too; on_end is not called then, but on_gone is. When an answer has begun,
 * the connection breaks instead. A handler without on_gone does not hear of that, nor of a client
 * that leaves. Not with http_read_body; events is copied. */
struct http_body_events {
    void (*on_piece)(struct http_exchange *exchange, struct view bytes, void *arg);
    void (*on_end)(struct http_exchange *exchange, void *arg);
};
void http_stream_body(struct http_exchange *exchange, uint64_t max,
                      const struct http_body_events *events, void *arg);
/* No on_piece and no on_end until resumed: nothing is read, so that the client feels it. Both do
 * nothing when there is nothing to pause or to resume. */
void http_body_pause(struct http_exchange *exchange);
void http_body_resume(struct http_exchange *exchange);
/* As the head announces it; HTTP_LENGTH_UNKNOWN when it is chunked, 0 without a body. */
int64_t http_exchange_body_length(const struct http_exchange *exchange);

/* The exchange is over without the handler's answer: the client is gone (one that only shut down
 * its sending side is not), or the server answered for it. After it the exchange must not be
 * touched. Set NULL to take it back; without it the exchange stays valid until the answer. */
typedef void http_gone_fn(void *arg);
void http_on_gone(struct http_exchange *exchange, http_gone_fn *on_gone, void *arg);

struct http_response {
    int status;
    const char *content_type;          /* NULL: application/json */
    struct view body;                  /* copied */
    int retry_after_s;                 /* > 0: Retry-After */
    bool no_store;                     /* Cache-Control: no-store */
    const struct http_header *headers; /* more, checked for CR and LF; those that say where the
                                          answer ends are left out: that is the server's to say */
    size_t header_count;
    bool bare; /* somebody else's answer: no security headers, Date or X-Request-Id of ours, and no
                  Content-Type but one that is given */
};
/* Sends the answer (Content-Length, security headers, X-Request-Id) and frees the exchange: it must
 * not be touched again. A body that was not read is drained a little and the connection closed. */
void http_respond(struct http_exchange *exchange, const struct http_response *response);

/* Sends the head of an answer whose body follows in pieces; response->body is not used. length is
 * the body's, or HTTP_LENGTH_UNKNOWN: chunked (to HTTP/1.0: until the connection ends). The
 * exchange stays valid until http_respond_end, http_respond_abort or on_gone, which comes later
 * only: never from inside this or http_send_piece. The request's body may stream in meanwhile, if
 * that has begun before. A client that takes nothing for stream_stall_ms, or whose TCP is silent,
 * is given up.
 *
 * on_drained (may be NULL) comes, on the loop, each time the backlog is down to a quarter after
 * http_send_piece said false. */
typedef void http_drained_fn(void *arg);
void http_respond_begin(struct http_exchange *exchange, const struct http_response *response,
                        int64_t length, http_drained_fn *on_drained, void *arg);
/* Copies what the kernel does not take at once. False when more than HTTP_BACKLOG_MAX waits; the
 * bytes are taken then too. What the client can't get (it asked by HEAD, it is gone) is dropped.
 * More than the length breaks the connection. */
bool http_send_piece(struct http_exchange *exchange, struct view bytes);
size_t http_stream_backlog(const struct http_exchange *exchange);
/* Ends the answer and frees the exchange, as http_respond. Short of its length it is an abort. */
void http_respond_end(struct http_exchange *exchange);
/* Breaks the connection, so that the client sees that the answer is cut, and frees the exchange. */
void http_respond_abort(struct http_exchange *exchange);

/* Whether a browser asks by it if a page may send another request. */
bool http_is_preflight(const struct http_exchange *exchange) MUST_CHECK;
/* Answers that: 204. */
void http_answer_preflight(struct http_exchange *exchange);

/* {"error","code","requestId"} of an err with its status; the last three codes say a fixed public
 * sentence instead of their message. The reasons "upgrade_required" and "unsupported_media_type"
 * have statuses of their own: 426, 415. */
void http_respond_err(struct http_exchange *exchange, const struct err *err);

/* What a connection counts in for the limits. Taken before http_upgrade, it makes the upgraded
 * connection count until the caller gives it back; otherwise it counts no more. NULL when it counts
 * nowhere. Must not outlive the server. */
struct http_place;
struct http_place *http_exchange_take_place(struct http_exchange *exchange) MUST_CHECK;
void http_place_free(struct http_place *place);

/* Switches protocols: sends 101 with the given headers and hands the bufferevent over (the caller
 * frees it), with any bytes behind the head in its input. The exchange is freed. NULL (with nothing
 * sent, exchange still open) when the connection already broke. */
struct bufferevent *http_upgrade(struct http_exchange *exchange, const struct http_header *headers,
                                 size_t header_count) MUST_CHECK;

#endif
