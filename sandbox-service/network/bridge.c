#include "sandbox-service/network/bridge.h"

#include "sandbox-service/docker/wire.h"

#include <stdio.h>

static http_reply_fn on_created, on_inspected;

static void inspect(struct bridge_call *call)
{
    char path[DOCKER_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/networks/%s", call->name);
    const struct docker_request request = {.method = "GET", .path = path};
    docker_send(call->docker, &call->call, &request, on_inspected, call);
}

static void create(struct bridge_call *call)
{
    struct err err = {0};
    struct wire_network network = {.icc_off = true};
    (void)snprintf(network.bridge, sizeof network.bridge, "%s", call->bridge);
    (void)snprintf(network.subnet, sizeof network.subnet, "%s", call->subnet);
    (void)snprintf(network.gateway, sizeof network.gateway, "%s", call->gateway);
    AUTO(free_string) char *body = wire_write_network(call->name, call->instance, &network, &err);
    if (body == NULL) {
        call->done(&err, call->arg);
        return;
    }
    const struct docker_request request = {
        .method = "POST", .path = "/networks/create", .body = view_of(body)};
    docker_send(call->docker, &call->call, &request, on_created, call);
}

static void on_created(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct bridge_call *call = arg;
    struct err failure = {0};
    if (docker_succeeded(reply, err, "create the network", &failure)) {
        inspect(call);
    } else {
        call->is_wrong = true;
        call->done(&failure, call->arg);
    }
}

static bool check(const struct bridge_call *call, const struct wire_network *network,
                  struct err *err)
{
    const char *problem = !network->icc_off                            ? "lets neighbours talk"
                          : network->ipv6                              ? "has IPv6"
                          : strcmp(network->bridge, call->bridge) != 0 ? "is on another bridge"
                          : strcmp(network->subnet, call->subnet) != 0 ? "has another subnet"
                                                                       : NULL;
    return problem == NULL ||
           err_set(err, ERR_UNAVAILABLE,
                   "the network %s %s; remove it (docker network rm) to have it made anew",
                   call->name, problem);
}

static void on_inspected(const struct http_reply *reply, const struct err *err, void *arg)
{
    struct bridge_call *call = arg;
    struct err failure = {0};
    struct wire_network network;
    bool there = docker_succeeded(reply, err, "network", &failure);
    if (!there && failure.code == ERR_NOT_FOUND && !call->created) {
        call->created = true;
        create(call);
        return;
    }
    bool ok = there && wire_read_network(reply->body, &network, &failure) &&
              check(call, &network, &failure);
    call->is_wrong = !ok && (there || call->created);
    call->done(ok ? NULL : &failure, call->arg);
}

void bridge_ensure(struct docker *docker, struct bridge_call *call, bridge_fn *done, void *arg)
{
    call->docker = docker;
    call->created = false;
    call->is_wrong = false;
    call->done = done;
    call->arg = arg;
    inspect(call);
}
