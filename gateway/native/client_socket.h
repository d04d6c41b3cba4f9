/* gateway/native/client_socket.h: WebSockets of clients at /client/{sandboxId}: the agent's
 * messages and streams passed on, answers only to the socket that asked. */
#ifndef GATEWAY_NATIVE_CLIENT_SOCKET_H
#define GATEWAY_NATIVE_CLIENT_SOCKET_H

#include "common/base/id.h"

/* The sub-protocol spoken there; a client that offers none speaks the same. */
#define CLIENT_PROTOCOL "insien"

struct client_sockets;
struct gateway;
struct request;

/* Borrows gateway: loop, hub, sandboxes, pending. */
struct client_sockets *client_sockets_new(const struct gateway *gateway,
                                          struct err *err) MUST_CHECK;
/* Tells every client to come back (1012), each when its requests are answered; on_drained comes
 * once, when all are gone, perhaps at once. */
void client_sockets_drain(struct client_sockets *sockets, void (*on_drained)(void *arg), void *arg);
/* Ends those that are left without a word. */
void client_sockets_free(struct client_sockets *sockets);

/* The handler of GET /client/{id}: caller and sandbox are known; answers the request. */
void client_socket_handle(struct request *request);

/* A sandbox changed: if it has ended, its sockets close with 4404. */
void client_sockets_recheck(struct client_sockets *sockets, const char sandbox_id[ID_SIZE]);
/* Any sandbox may have changed unheard. */
void client_sockets_recheck_all(struct client_sockets *sockets);

/* The ids of the keys they came with, or of the users who came without; each as often as there are
 * sockets of it. */
void client_sockets_each_key(struct client_sockets *sockets,
                             void (*on_key)(const char id[ID_SIZE], void *arg), void *arg);

/* The same of the sessions that are watched. */
void client_sockets_each_session(struct client_sockets *sockets,
                                 void (*on_session)(const char *session_id, void *arg), void *arg);

/* An API key was revoked, a session has ended, or all of a user's; id is that one's. Their sockets
 * close with 1008. */
void client_sockets_revoke(struct client_sockets *sockets, const char *id);
/* Any session may have ended unheard: their sockets are told to come back (1012). */
void client_sockets_recheck_sessions(struct client_sockets *sockets);

#endif
