/* sandbox-service/ports/ports.c, asked over IPC, with a real PostgreSQL and a real Redis. */
#include "sandbox-service/ports/ports.h"

#include "common/contracts/invalidation.h"
#include "common/contracts/ports.h"
#include "common/ipc/client.h"
#include "common/redis/redis.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/trail.h"
#include "tests/support/folder.h"
#include "tests/support/postgres.h"
#include "tests/support/redis_server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define NOBODYS "aaaaaaaa-aaaa-4aaa-8aaa-000000000009"
#define OWNED "\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER "\""
#define EXPOSE                                                                                     \
    "{" OWNED ",\"visibility\":\"token\",\"containerPort\":8080,"                                  \
    "\"hostPortFirst\":30000,\"hostPortLast\":30000}"
#define MIRROR "insien:test:ports:" SANDBOX

enum { TEXT_SIZE = 1024 };

struct fixture {
    struct postgres *postgres;
    struct redis_server *redis_server;
    struct loop *loop;
    struct redis *redis;
    struct redis_subscription *news;
    struct sandbox_config config;
    struct sandboxes sandboxes;
    struct trail *trail;
    struct ports *ports;
    struct ipc_server *server;
    struct ipc_client *client;
    char folder[FOLDER_PATH_SIZE];
    bool subscribed;
    int told; /* news of the sandbox */
    bool done;
    char reply[TEXT_SIZE];
    struct err err;
    char mirror[TEXT_SIZE]; /* "" when there is none */
};

static void serve_expose(struct ipc_exchange *exchange, const struct ipc_request *request,
                         void *arg)
{
    struct fixture *fixture = arg;
    ports_handle_expose(fixture->ports, exchange, request);
}

static void serve_list(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct fixture *fixture = arg;
    ports_handle_list(fixture->ports, exchange, request);
}

static void serve_close(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct fixture *fixture = arg;
    ports_handle_close(fixture->ports, exchange, request);
}

static const struct ipc_method methods[] = {
    {PORT_EXPOSE, serve_expose}, {PORT_LIST, serve_list}, {PORT_CLOSE, serve_close}};

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->done = true;
    fixture->err = err == NULL ? (struct err){0} : *err;
    fixture->reply[0] = '\0';
    if (body != NULL) {
        assert_true(view_copy(*body, fixture->reply, sizeof fixture->reply));
    }
}

static void ask(struct fixture *fixture, const char *method, const char *body)
{
    static const struct trace trace = {.request_id = "r-1"};
    static const struct actor actor = {.user_id = USER, .address = "192.0.2.7"};
    const struct ipc_call_options options = {
        .method = method, .trace = &trace, .actor = &actor, .timeout_ms = TURN_PATIENCE_MS};
    struct err err = {0};
    fixture->done = false;
    assert_non_null(
        ipc_call_begin(fixture->client, &options, view_of(body), on_reply, fixture, &err));
    turn_until(fixture->loop, &fixture->done);
}

static void on_mirror(const redisReply *reply, const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    assert_null(err);
    fixture->done = true;
    fixture->mirror[0] = '\0';
    if (reply->type == REDIS_REPLY_STRING) {
        assert_true(view_copy((struct view){reply->str, reply->len}, fixture->mirror, TEXT_SIZE));
    }
}

static void read_mirror(struct fixture *fixture)
{
    const struct view words[] = {VIEW("GET"), VIEW(MIRROR)};
    struct err err = {0};
    fixture->done = false;
    assert_true(redis_send(fixture->redis, words, 2, TURN_PATIENCE_MS, on_mirror, fixture, &err));
    turn_until(fixture->loop, &fixture->done);
}

static bool is_idle(void *arg)
{
    const struct fixture *fixture = arg;
    return ports_open_requests(fixture->ports) == 0;
}

static void assert_mirrored(struct fixture *fixture, const char *expected)
{
    turn_until_true(fixture->loop, is_idle, fixture);
    read_mirror(fixture);
    assert_string_equal(fixture->mirror, expected);
}

static bool was_told(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->told > 0;
}

static void exposed_port_is_answered_told_and_mirrored(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, PORT_EXPOSE, EXPOSE);
    assert_int_equal(fixture->err.code, ERR_NONE);
    assert_non_null(strstr(fixture->reply, "{\"port\":\"8080 30000 token "));
    assert_mirrored(fixture, "{\"8080\":30000}");
    turn_until_true(fixture->loop, was_told, fixture);
}

static void listing_brings_a_lost_mirror_back(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, PORT_EXPOSE, EXPOSE);
    turn_until_true(fixture->loop, is_idle, fixture);
    ports_forget(fixture->ports, SANDBOX);
    assert_mirrored(fixture, "");
    ask(fixture, PORT_LIST, "{\"sandboxId\":\"" SANDBOX "\"}");
    assert_non_null(strstr(fixture->reply, "\"userId\":\"" USER "\""));
    assert_non_null(strstr(fixture->reply, "\"ports\":[\"8080 30000 token "));
    assert_non_null(strstr(fixture->reply, "\"isLive\":true"));
    assert_mirrored(fixture, "{\"8080\":30000}");
}

static void closed_port_is_told_and_leaves_the_mirror(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, PORT_EXPOSE, EXPOSE);
    turn_until_true(fixture->loop, was_told, fixture);
    fixture->told = 0;
    ask(fixture, PORT_CLOSE, "{" OWNED ",\"containerPort\":8080}");
    assert_string_equal(fixture->reply, "{}");
    assert_mirrored(fixture, "");
    turn_until_true(fixture->loop, was_told, fixture);
    ask(fixture, PORT_CLOSE, "{" OWNED ",\"containerPort\":8080}");
    assert_string_equal(fixture->err.reason, "port_not_found");
}

static bool is_told(void *arg)
{
    const struct fixture *fixture = arg;
    return audit_writer_count(fixture->sandboxes.audit) == 0;
}

static void what_was_done_is_in_the_trail(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, PORT_EXPOSE,
        "{" OWNED ",\"visibility\":\"public\",\"containerPort\":9090,"
        "\"hostPortFirst\":30000,\"hostPortLast\":30000}");
    ask(fixture, PORT_CLOSE, "{" OWNED ",\"containerPort\":9090}");
    ask(fixture, PORT_CLOSE, "{" OWNED ",\"containerPort\":9090}");
    turn_until_true(fixture->loop, is_told, fixture);
    postgres_expect(
        fixture->postgres,
        "SELECT string_agg(concat_ws(' ', action, result, actor_user, target_kind, request_id,"
        " detail, address), ',' ORDER BY id) FROM audit_log JOIN audit_personal ON id = audit_id"
        " WHERE target = '" SANDBOX "/9090'",
        "port.exposed ok " USER " port r-1 {\"visibility\": \"public\"} 192.0.2.7,"
        "port.closed ok " USER " port r-1 192.0.2.7,"
        "port.closed refused " USER " port r-1 {\"reason\": \"port_not_found\"} 192.0.2.7");
}

static void without_room_in_the_trail_nothing_is_done(void **state)
{
    struct fixture *fixture = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = audit_act_begin(fixture->sandboxes.audit, &err);
        assert_non_null(acts[i]);
    }
    ask(fixture, PORT_EXPOSE, EXPOSE);
    assert_int_equal(fixture->err.code, ERR_UNAVAILABLE);
    assert_string_equal(fixture->err.reason, "audit_unavailable");
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
    postgres_expect(fixture->postgres, "SELECT count(*) FROM ports", "0");
}

static void what_is_not_there_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    ask(fixture, PORT_LIST, "{\"sandboxId\":\"" NOBODYS "\"}");
    assert_string_equal(fixture->err.reason, "sandbox_not_found");
    ask(fixture, PORT_CLOSE,
        "{\"sandboxId\":\"" NOBODYS "\",\"userId\":\"" USER "\",\"containerPort\":80}");
    assert_string_equal(fixture->err.reason, "sandbox_not_found");
    ask(fixture, PORT_LIST, "{\"sandboxId\":\"" SANDBOX "\"}");
    assert_string_equal(fixture->reply, "{\"userId\":\"" USER "\",\"ports\":[],\"isLive\":true}");
}

static void messages_that_are_none_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const asked[] = {PORT_EXPOSE, PORT_LIST, PORT_CLOSE};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        ask(fixture, asked[i], "{}");
        assert_int_equal(fixture->err.code, ERR_INVALID);
    }
}

static void shutting_down_everybody_is_answered(void **state)
{
    struct fixture *fixture = *state;
    assert_false(ports_fail_all(fixture->ports)); /* nobody had asked */
    ask(fixture, PORT_EXPOSE, EXPOSE);
    assert_int_equal(fixture->err.code, ERR_UNAVAILABLE);
    assert_int_equal(ports_open_requests(fixture->ports), 0);
}

static void on_news(struct view message, void *arg)
{
    struct fixture *fixture = arg;
    fixture->told += view_equal(message, VIEW("sandbox " SANDBOX)) ? 1 : 0;
}

static void on_news_state(bool subscribed, void *arg)
{
    struct fixture *fixture = arg;
    fixture->subscribed = subscribed;
}

static bool is_up(void *arg)
{
    const struct fixture *fixture = arg;
    return redis_is_up(fixture->redis) && fixture->subscribed;
}

static int open_ports(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    postgres_run(fixture->postgres,
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                 " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"
                 " VALUES ('" SANDBOX "', '" USER "', 'base', 'x', 'sudo', 'free', 'running',"
                 " 'none', 'test', 'node-1', 1, 1, 1, 1, now())");
    fixture->told = 0;
    fixture->trail = trail_open(fixture->loop, postgres_url(fixture->postgres), &err);
    assert_non_null(fixture->trail);
    fixture->sandboxes.audit = trail_writer(fixture->trail);
    fixture->ports = ports_open(&fixture->sandboxes, &err);
    assert_non_null(fixture->ports);
    return 0;
}

static int close_ports(void **state)
{
    struct fixture *fixture = *state;
    (void)ports_fail_all(fixture->ports);
    ports_forget(fixture->ports, SANDBOX);
    ports_close(fixture->ports);
    trail_close(fixture->trail);
    postgres_run(fixture->postgres, "DELETE FROM sandboxes");
    return 0;
}

static void migrate(const struct fixture *fixture)
{
    postgres_migrate(fixture->postgres);
    postgres_run(fixture->postgres, "INSERT INTO users (id) VALUES ('" USER "')");
}

static void open_redis(struct fixture *fixture)
{
    static const struct redis_subscriber subscriber = {on_news, on_news_state};
    const char *url = redis_server_url(fixture->redis_server);
    struct err err = {0};
    fixture->redis = redis_open(fixture->loop, url, &err);
    fixture->news =
        redis_subscribe(fixture->loop, url, fixture->sandboxes.channel, &subscriber, fixture, &err);
    assert_non_null(fixture->redis);
    assert_non_null(fixture->news);
    fixture->sandboxes.redis = fixture->redis;
    turn_until_true(fixture->loop, is_up, fixture);
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 16];
    folder_make(fixture.folder);
    fixture.postgres = postgres_start();
    fixture.redis_server = redis_server_start(NULL);
    migrate(&fixture);
    fixture.loop = loop_new(&err);
    (void)snprintf(fixture.config.database_url, sizeof fixture.config.database_url, "%s",
                   postgres_service_url(fixture.postgres, "sandbox"));
    (void)snprintf(fixture.config.instance, sizeof fixture.config.instance, "test");
    fixture.sandboxes.loop = fixture.loop;
    fixture.sandboxes.config = &fixture.config;
    assert_true(sandboxes_init(&fixture.sandboxes, &err));
    open_redis(&fixture);
    (void)snprintf(url, sizeof url, "ipc://%s/s", fixture.folder);
    fixture.server = ipc_server_open(fixture.loop, url, (uid_t)-1, methods, 3, &fixture, &err);
    fixture.client = ipc_client_open(fixture.loop, url, "sandbox-service", &err);
    assert_non_null(fixture.client);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    ipc_client_close(fixture->client);
    ipc_server_close(fixture->server);
    redis_unsubscribe(fixture->news);
    redis_close(fixture->redis);
    sandboxes_clear(&fixture->sandboxes);
    loop_free(fixture->loop);
    redis_server_remove(fixture->redis_server);
    postgres_remove(fixture->postgres);
    folder_remove(fixture->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ports, close_ports)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exposed_port_is_answered_told_and_mirrored),
        TEST(listing_brings_a_lost_mirror_back),
        TEST(closed_port_is_told_and_leaves_the_mirror),
        TEST(what_is_not_there_is_not_found),
        TEST(what_was_done_is_in_the_trail),
        TEST(without_room_in_the_trail_nothing_is_done),
        TEST(messages_that_are_none_are_refused),
        TEST(shutting_down_everybody_is_answered),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
