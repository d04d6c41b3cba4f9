/* tests/unit/gateway/native/route_stage.h: gateway/native from the client's socket to the services,
 * which are played by one IPC server on the same loop. */
#ifndef TESTS_UNIT_GATEWAY_NATIVE_ROUTE_STAGE_H
#define TESTS_UNIT_GATEWAY_NATIVE_ROUTE_STAGE_H

#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "gateway/config.h"
#include "gateway/native/routes.h"
#include "tests/unit/gateway/http/fixture.h"

#define KEY "isk_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN "e30.e30.c2ln"
#define USER_ID "11111111-1111-4111-8111-111111111111"
#define SESSION_ID "sess_1"
#define KEY_ID "22222222-2222-4222-8222-222222222222"
#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"

struct stage {
    struct fixture http; /* its loop and server, for the clients */
    struct gateway gateway;
    struct ipc_server *services;
    struct gateway_config config; /* its limits alone */
    struct redis *redis;          /* of limits; away */
    char folder[64];
    unsigned scopes; /* of the key */
    bool refuse_key;
    bool clerk_is_away;         /* no session can be checked */
    bool revoke_while_checking; /* the answer about the key is older than its end */
    bool revoke_while_fetching;
    const char *page;               /* what sandbox.list, quota.usage and auth.list_audit answer */
    const char *create_fails;       /* why sandbox.create does */
    enum err_code account_is;       /* ERR_NONE, or how auth.*_user fails */
    const char *const *event_pages; /* what event.list answers; the last one again and again */
    int event_page_count;
    int event_asks;
    bool hold_limits; /* sandbox.limits is not answered, but held */
    struct ipc_exchange *held;
    struct str asked; /* the last of these, auth.webhook, auth.*_user, event.list or webhook.* */
};

/* cmocka's setup and teardown; *state is the stage. */
int set_stage(void **state);
int clear_stage(void **state);

/* Another server, in place of the one that was freed. */
void open_server(struct stage *stage, const char *exempt, const char *proxies);

void connect_client(struct client *client, struct stage *stage);
/* Sends one GET, with the key. The reply is valid until the client closes. */
struct reply get(struct client *client, struct stage *stage, const char *target);

#endif
