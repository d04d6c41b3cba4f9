#include "tests/support/redis_server.h"

#include "tests/support/folder.h"
#include "tests/support/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 128, READY_TRIES = 1000, READY_PAUSE_MS = 10 };

struct redis_server {
    char folder[FOLDER_PATH_SIZE];
    char socket[PATH_SIZE];
    char url[PATH_SIZE + 16];
    char log[PATH_SIZE];
    const char *password; /* borrowed; NULL: none */
    int port;
    pid_t pid;
};

/* One that nobody uses at the moment. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static redisContext *connect_to(const struct redis_server *server)
{
    redisContext *context = redisConnectUnix(server->socket);
    assert_non_null(context);
    if (context->err == 0 && server->password != NULL) {
        freeReplyObject(redisCommand(context, "AUTH %s", server->password));
    }
    return context;
}

static bool is_ready(const struct redis_server *server)
{
    redisContext *context = connect_to(server);
    redisReply *reply = context->err == 0 ? redisCommand(context, "PING") : NULL;
    bool ready = reply != NULL && reply->type == REDIS_REPLY_STATUS;
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    redisFree(context);
    return ready;
}

void redis_server_start_again(struct redis_server *server)
{
    char port[16];
    (void)snprintf(port, sizeof port, "%d", server->port);
    const char *const argv[] = {"redis-server",
                                "--port",
                                port,
                                "--bind",
                                "127.0.0.1",
                                "--unixsocket",
                                server->socket,
                                "--dir",
                                server->folder,
                                "--save",
                                "",
                                "--requirepass",
                                server->password == NULL ? "" : server->password,
                                NULL};
    server->pid = process_start(argv, NULL, server->log);
    const struct timespec pause = {.tv_nsec = READY_PAUSE_MS * 1000000L};
    for (int i = 0; i < READY_TRIES; i++) {
        if (is_ready(server)) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("Redis did not start: see %s", server->log);
}

struct redis_server *redis_server_start(const char *password)
{
    struct redis_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    folder_make(server->folder);
    server->password = password;
    server->port = free_port();
    (void)snprintf(server->socket, sizeof server->socket, "%s/socket", server->folder);
    (void)snprintf(server->url, sizeof server->url, "unix://%s", server->socket);
    (void)snprintf(server->log, sizeof server->log, "%s/log", server->folder);
    redis_server_start_again(server);
    return server;
}

void redis_server_kill(struct redis_server *server)
{
    process_end(server->pid, SIGKILL);
    server->pid = 0;
}

void redis_server_remove(struct redis_server *server)
{
    if (server->pid != 0) {
        redis_server_kill(server);
    }
    folder_remove(server->folder);
    free(server);
}

const char *redis_server_url(const struct redis_server *server)
{
    return server->url;
}

int redis_server_port(const struct redis_server *server)
{
    return server->port;
}

pid_t redis_server_pid(const struct redis_server *server)
{
    return server->pid;
}

void redis_server_run(const struct redis_server *server, const char *command)
{
    redisContext *context = connect_to(server);
    redisReply *reply = redisCommand(context, command); /* NOLINT: words of ours */
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    redisFree(context);
}
