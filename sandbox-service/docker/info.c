#include "sandbox-service/docker/info.h"

static void on_reply(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct info_call *call = arg;
    struct err failure = {0};
    struct wire_info info;
    if (docker_succeeded(reply, err, "info", &failure) &&
        wire_read_info(reply->body, &info, &failure)) {
        call->done(&info, NULL, call->arg);
    } else {
        call->done(NULL, &failure, call->arg);
    }
}

void docker_ask_info(struct docker *docker, struct info_call *call, docker_told_fn *done, void *arg)
{
    static const struct docker_request request = {.method = "GET", .path = "/info"};
    call->done = done;
    call->arg = arg;
    docker_send(docker, &call->call, &request, on_reply, call);
}
