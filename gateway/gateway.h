/* gateway/gateway.h: the parts of a gateway process, as its surfaces see them. */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "common/base/id.h"

struct activity;
struct client_sockets;
struct discards;
struct event_readers;
struct exposed_cache;
struct gateway_config;
struct health;
struct host_ports;
struct http_server;
struct hub;
struct ipc_client;
struct key_cache;
struct limits;
struct loop;
struct pending;
struct preview;
struct recorder;
struct requests;
struct sandbox_cache;
struct stats_history;

/* Filled by main.c, read-only afterwards; every pointer is borrowed. */
struct gateway {
    const struct gateway_config *config;
    struct loop *loop;
    struct http_server *http;
    struct ipc_client *auth_service;
    struct ipc_client *sandbox_service;
    struct key_cache *keys;
    struct sandbox_cache *sandboxes;
    struct exposed_cache *exposed;
    struct activity *activity; /* NULL: nobody wants to know */
    struct hub *hub;
    struct host_ports *host_ports;
    struct preview *preview;
    struct health *health;
    struct pending *pending;
    struct client_sockets *client_sockets;
    struct limits *limits; /* NULL: there are none */
    struct recorder *recorder;
    struct requests *requests;
    struct discards *discards;
    struct event_readers *event_readers;
    struct stats_history *stats_history;
    char id[ID_SIZE]; /* a new one each start: the epoch of what agents know */
};

#endif
