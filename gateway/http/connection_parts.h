/* gateway/http/connection_parts.h: a connection from the inside: its states and what it reads
 * (connection.c), what it sends (connection_answer.c). */
#ifndef GATEWAY_HTTP_CONNECTION_PARTS_H
#define GATEWAY_HTTP_CONNECTION_PARTS_H

#include "gateway/http/connection.h"

/* The one place where the state changes; arms the timer of the new one. */
void connection_set_state(struct http_connection *connection, enum connection_state state);
/* Starts the timer that the state asks for anew. */
void connection_arm(struct http_connection *connection);

struct evbuffer *connection_input(const struct http_connection *connection);
/* Reads as long as little enough waits to be used. */
void connection_bound_input(struct http_connection *connection);
/* Large reads and writes, or ordinary ones. */
void connection_set_bulk(struct http_connection *connection, bool bulk);

/* Does all that can be done with what has been read. Handlers answer from inside; the answer then
 * leads back here, and the outer call goes on. */
void connection_advance(struct http_connection *connection);

/* bufferevent_data_cb. */
void connection_on_written(struct bufferevent *bev, void *arg);
/* Looks at the progress of an answer: a streamed one may be stalled; an ordinary one that is ends
 * the connection. */
bool connection_answer_is_stalled(struct http_connection *connection) MUST_CHECK;
void connection_check_writing(struct http_connection *connection);

#endif
