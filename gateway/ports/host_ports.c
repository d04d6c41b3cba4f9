#include "gateway/ports/host_ports.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/event/loop.h"
#include "gateway/config.h"
#include "gateway/ports/listener.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

struct host_ports {
    struct host_ports_options options;
    struct sockaddr_storage address; /* of all listeners; the port is theirs */
    socklen_t address_len;
    struct map by_sandbox;
    struct list places;
    struct list gone; /* places whose agent is gone: to be freed */
    struct list due;  /* places to be asked about */
    struct timer due_timer;
    struct list failed; /* places where something could not be done: due at the next retry */
    struct timer retry_timer;
    size_t questions; /* in flight */
    size_t tunnels;
    bool stopped;
};

/* A sandbox whose agent is connected here. */
struct place {
    struct map_node by_sandbox;
    struct list node;
    struct list due; /* in one of the lists gone and due */
    struct list failed;
    struct host_ports *ports; /* borrowed */
    char sandbox_id[ID_SIZE];
    struct list listeners;
    struct exposed_fetch *fetch; /* NULL: none in flight */
    bool again;                  /* something changed while it was in flight */
    bool complained;             /* that a port can't be had */
    struct list waits;           /* for the next answer */
    struct list asked;           /* for the answer to what is in flight */
};

struct host_ports_wait {
    struct list node;
    uint16_t container_port;
    host_ports_wait_fn *done;
    void *arg;
};

static void on_due(void *arg);
static void on_retry(void *arg);

static bool read_address(struct host_ports *ports, struct err *err)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(ports->options.config->host_port_address, NULL, &hints, &found) != 0) {
        return err_set(err, ERR_INVALID, "HOST_PORT_ADDRESS must be an IP address");
    }
    memcpy(&ports->address, found->ai_addr, found->ai_addrlen);
    ports->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

struct host_ports *host_ports_new(const struct host_ports_options *options, struct err *err)
{
    struct host_ports *ports = calloc(1, sizeof *ports);
    if (ports == NULL) {
        err_set(err, ERR_INTERNAL, "host ports: out of memory");
        return NULL;
    }
    ports->options = *options;
    list_init(&ports->places);
    list_init(&ports->gone);
    list_init(&ports->due);
    list_init(&ports->failed);
    if (!map_init(&ports->by_sandbox, err) || !read_address(ports, err) ||
        !timer_open(&ports->due_timer, options->loop, on_due, ports, err) ||
        !timer_open(&ports->retry_timer, options->loop, on_retry, ports, err)) {
        host_ports_free(ports);
        return NULL;
    }
    return ports;
}

static struct place *find(const struct host_ports *ports, const char *sandbox_id)
{
    struct map_node *node = map_find(&ports->by_sandbox, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct place, by_sandbox);
}

/* Behind whatever is on the stack: a tunnel of the place may be. */
static void put(struct place *place, struct list *list)
{
    list_remove(&place->due);
    list_append(list, &place->due);
    timer_arm(&place->ports->due_timer, 0);
}

static void fail_waits(struct list *waits, const struct err *err)
{
    struct list *node;
    while ((node = list_pop(waits)) != NULL) {
        struct host_ports_wait *wait = LIST_ENTRY(node, struct host_ports_wait, node);
        wait->done(err, wait->arg);
        free(wait);
    }
}

static void close_listener(struct port_listener *listener)
{
    list_remove(port_listener_list_node(listener));
    port_listener_close(listener);
}

static void free_place(struct place *place)
{
    struct err lost = {0};
    struct host_ports *ports = place->ports;
    err_set_reason(&lost, ERR_UNAVAILABLE, "agent_lost", "the agent's connection broke");
    map_remove(&ports->by_sandbox, &place->by_sandbox);
    list_remove(&place->node);
    list_remove(&place->due);
    list_remove(&place->failed);
    if (place->fetch != NULL) {
        exposed_fetch_cancel(place->fetch);
        ports->questions--;
    }
    for (LIST_EACH(node, &place->listeners)) {
        close_listener(port_listener_of_list_node(node));
    }
    fail_waits(&place->asked, &lost);
    fail_waits(&place->waits, &lost);
    free(place);
}

void host_ports_stop(struct host_ports *ports)
{
    if (ports == NULL) {
        return;
    }
    ports->stopped = true;
    for (LIST_EACH(node, &ports->places)) {
        struct place *place = LIST_ENTRY(node, struct place, node);
        for (LIST_EACH(listener, &place->listeners)) {
            port_listener_stop(port_listener_of_list_node(listener));
        }
    }
}

void host_ports_free(struct host_ports *ports)
{
    if (ports == NULL) {
        return;
    }
    ports->stopped = true;
    while (!list_is_empty(&ports->places)) {
        free_place(LIST_ENTRY(ports->places.next, struct place, node));
    }
    timer_close(&ports->due_timer);
    timer_close(&ports->retry_timer);
    map_free(&ports->by_sandbox);
    free(ports);
}

static struct port_listener *listener_of(const struct place *place, const struct exposed_port *port)
{
    for (LIST_EACH(node, &place->listeners)) {
        struct port_listener *listener = port_listener_of_list_node(node);
        if (port_listener_grant(listener)->port == port->container_port &&
            port_listener_host_port(listener) == port->host_port) {
            return listener;
        }
    }
    return NULL;
}

/* Listens for the port, unless it does already or the port has none. */
static bool listen_for(struct place *place, const struct exposed_port *port, struct err *err)
{
    struct host_ports *ports = place->ports;
    const struct exposed_grant grant = exposed_grant_of(port);
    struct port_listener *listener = listener_of(place, port);
    if (listener != NULL) {
        port_listener_set_grant(listener, &grant);
    }
    if (port->host_port == 0 || listener != NULL) {
        return true;
    }
    if (ports->stopped) {
        return err_set(err, ERR_UNAVAILABLE, "shutting down");
    }
    const struct port_listener_options options = {
        .loop = ports->options.loop,
        .hub = ports->options.hub,
        .sandbox_id = place->sandbox_id,
        .address = (const struct sockaddr *)&ports->address,
        .address_len = ports->address_len,
        .grant = grant,
        .host_port = port->host_port,
        .tunnels = &ports->tunnels,
        .tunnels_max = (size_t)ports->options.config->connections_max,
    };
    listener = port_listener_open(&options, err);
    if (listener == NULL) {
        return false;
    }
    list_append(&place->listeners, port_listener_list_node(listener));
    return true;
}

static bool is_wanted(const struct exposed_ports *wanted, const struct port_listener *listener)
{
    const struct exposed_port *port = exposed_port_of(wanted, port_listener_grant(listener)->port);
    return port != NULL && port->host_port == port_listener_host_port(listener) &&
           exposed_grant_holds(port_listener_grant(listener), wanted);
}

static void retry_later(struct place *place, const struct err *err)
{
    struct host_ports *ports = place->ports;
    if (!place->complained) {
        log_warn("host_ports.failed", LOG_STR("sandbox_id", place->sandbox_id), LOG_ERR(err));
    }
    place->complained = true;
    list_remove(&place->failed);
    list_append(&ports->failed, &place->failed);
    if (!timer_is_armed(&ports->retry_timer)) {
        timer_arm(&ports->retry_timer, HOST_PORT_RETRY_MS);
    }
}

static void apply(struct place *place, const struct exposed_ports *wanted)
{
    struct err err = {0};
    bool ok = true;
    for (LIST_EACH(node, &place->listeners)) {
        struct port_listener *listener = port_listener_of_list_node(node);
        if (!is_wanted(wanted, listener)) {
            close_listener(listener);
        }
    }
    for (size_t i = 0; wanted->is_live && i < wanted->count; i++) {
        ok = listen_for(place, &wanted->items[i], &err) && ok;
    }
    if (!ok) {
        retry_later(place, &err);
        return;
    }
    list_remove(&place->failed);
    place->complained = false;
}

static void answer_waits(struct place *place, const struct exposed_ports *wanted)
{
    struct list *node;
    while ((node = list_pop(&place->asked)) != NULL) {
        struct host_ports_wait *wait = LIST_ENTRY(node, struct host_ports_wait, node);
        const struct exposed_port *port = exposed_port_of(wanted, wait->container_port);
        struct err err = {0};
        if (port == NULL) {
            err_set_reason(&err, ERR_NOT_FOUND, "port_not_found", "the port is not exposed");
        }
        bool ok = port != NULL && listen_for(place, port, &err);
        wait->done(ok ? NULL : &err, wait->arg);
        free(wait);
    }
}

static void on_fetched(const struct exposed_ports *wanted, const struct err *err, void *arg)
{
    struct place *place = arg;
    place->fetch = NULL;
    place->ports->questions--;
    if (err != NULL) {
        retry_later(place, err);
        fail_waits(&place->asked, err);
    } else {
        apply(place, wanted);
        answer_waits(place, wanted);
    }
    if (place->again || !list_is_empty(&place->waits)) {
        place->again = false;
        if (!list_is_linked(&place->due)) {
            put(place, &place->ports->due);
        }
    }
    if (!list_is_empty(&place->ports->due)) {
        timer_arm(&place->ports->due_timer, 0);
    }
}

static void ask(struct place *place)
{
    struct err err = {0};
    struct host_ports *ports = place->ports;
    if (place->fetch != NULL) {
        place->again = true;
        return;
    }
    place->fetch = exposed_fetch_begin(ports->options.exposed, place->sandbox_id, NULL, on_fetched,
                                       place, &err);
    list_append_all(&place->asked, &place->waits);
    if (place->fetch == NULL) {
        retry_later(place, &err);
        fail_waits(&place->asked, &err);
        return;
    }
    ports->questions++;
}

static void on_due(void *arg)
{
    struct host_ports *ports = arg;
    struct list *node;
    while ((node = list_pop(&ports->gone)) != NULL) {
        free_place(LIST_ENTRY(node, struct place, due));
    }
    while (ports->questions < HOST_PORT_QUESTIONS_MAX && !list_is_empty(&ports->due)) {
        struct place *place = LIST_ENTRY(ports->due.next, struct place, due);
        list_remove(&place->due);
        ask(place);
    }
}

static void on_retry(void *arg)
{
    struct host_ports *ports = arg;
    for (LIST_EACH(node, &ports->failed)) {
        struct place *place = LIST_ENTRY(node, struct place, failed);
        list_remove(&place->failed);
        host_ports_check(ports, place->sandbox_id);
    }
}

static void on_agent_ready(const char sandbox_id[ID_SIZE], void *arg)
{
    struct host_ports *ports = arg;
    struct place *place = find(ports, sandbox_id);
    if (ports->options.config->host_port_first == 0) {
        return;
    }
    if (place == NULL) {
        place = calloc(1, sizeof *place);
        if (place == NULL) {
            log_error("host_ports.failed", LOG_STR("sandbox_id", sandbox_id),
                      LOG_STR("error", "out of memory"));
            return;
        }
        place->ports = ports;
        memcpy(place->sandbox_id, sandbox_id, ID_SIZE);
        list_init(&place->listeners);
        list_init(&place->waits);
        list_init(&place->asked);
        list_append(&ports->places, &place->node);
        map_insert(&ports->by_sandbox, &place->by_sandbox, view_of(place->sandbox_id));
    }
    put(place, &ports->due);
}

static void on_agent_gone(const char sandbox_id[ID_SIZE], void *arg)
{
    struct host_ports *ports = arg;
    struct place *place = find(ports, sandbox_id);
    if (place != NULL) {
        put(place, &ports->gone);
    }
}

const struct hub_observer host_ports_observer = {on_agent_ready, on_agent_gone};

void host_ports_check(struct host_ports *ports, const char sandbox_id[ID_SIZE])
{
    struct place *place = find(ports, sandbox_id);
    if (place != NULL && !list_is_linked(&place->due)) {
        put(place, &ports->due);
    }
}

void host_ports_check_all(struct host_ports *ports)
{
    for (LIST_EACH(node, &ports->places)) {
        host_ports_check(ports, LIST_ENTRY(node, struct place, node)->sandbox_id);
    }
}

struct host_ports_wait *host_ports_wait_begin(struct host_ports *ports,
                                              const char sandbox_id[ID_SIZE],
                                              uint16_t container_port, host_ports_wait_fn *done,
                                              void *arg, struct err *err)
{
    struct place *place = find(ports, sandbox_id);
    if (place == NULL) {
        err_set_reason(err, ERR_UNAVAILABLE, "agent_lost", "no agent is connected");
        return NULL;
    }
    struct host_ports_wait *wait = calloc(1, sizeof *wait);
    if (wait == NULL) {
        err_set(err, ERR_INTERNAL, "host port: out of memory");
        return NULL;
    }
    wait->container_port = container_port;
    wait->done = done;
    wait->arg = arg;
    list_append(&place->waits, &wait->node);
    host_ports_check(ports, sandbox_id);
    return wait;
}

void host_ports_wait_cancel(struct host_ports_wait *wait)
{
    list_remove(&wait->node);
    free(wait);
}
