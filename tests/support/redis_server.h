/* tests/support/redis_server.h: a Redis of the test's own, on a unix socket in a temporary
 * folder. */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <sys/types.h>

struct redis_server;

/* password may be NULL. Fails the test when there is none. */
struct redis_server *redis_server_start(const char *password);
void redis_server_remove(struct redis_server *server);

/* Without the password. */
const char *redis_server_url(const struct redis_server *server);
int redis_server_port(const struct redis_server *server); /* on 127.0.0.1 too */
pid_t redis_server_pid(const struct redis_server *server);

void redis_server_kill(struct redis_server *server);
/* Empty, as after any restart of ours. */
void redis_server_start_again(struct redis_server *server);

/* Runs one command of words without blanks on a connection of its own. */
void redis_server_run(const struct redis_server *server, const char *command);

#endif
