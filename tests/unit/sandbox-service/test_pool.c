/* sandbox-service/pool: filled up and claimed from, with a real PostgreSQL and an engine that only
 * answers. */
#include "sandbox-service/pool/pool.h"

#include "common/audit/act.h"
#include "common/contracts/sandbox.h"
#include "common/redis/redis.h"
#include "sandbox-service/docker/docker.h"
#include "sandbox-service/docker/image.h"
#include "sandbox-service/life/shift.h"
#include "sandbox-service/network/network.h"
#include "sandbox-service/network/networks.h"
#include "sandbox-service/network/restricted.h"
#include "sandbox-service/ports/ports.h"
#include "sandbox-service/sandbox/create.h"
#include "sandbox-service/sandbox/destroy.h"
#include "sandbox-service/sandbox/presence.h"
#include "sandbox-service/sandbox/sandboxes.h"
#include "sandbox-service/sandbox/starts.h"
#include "sandbox-service/sandbox/store.h"
#include "sandbox-service/trail.h"
#include "sandbox-service/volumes/volumes.h"
#include "tests/support/folder.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#define PRO_USER "11111111-1111-4111-8111-111111111111"
#define FREE_USER "22222222-2222-4222-8222-222222222222"
#define IMAGE(id) "{\"Id\":\"sha256:" id "\",\"Config\":{\"User\":\"\",\"WorkingDir\":\"/srv\"}}"
#define ASKED "bbbbbbbb-bbbb-4bbb-8bbb-000000000001"
#define LIMITS                                                                                     \
    "{\"free\": {\"sandboxes\": 2, \"memoryMB\": 512, \"cpuMilli\": 1000, \"pids\": 256, "         \
    "\"diskMB\": 2048, \"lifetimeHours\": 2}, \"pro\": {\"sandboxes\": 50, \"memoryMB\": 1024, "   \
    "\"cpuMilli\": 2000, "                                                                         \
    "\"pids\": 1024, \"diskMB\": 4096, \"lifetimeHours\": 24}}"

enum {
    KEPT = 2,
    INFO_SIZE = 8192,
    DEADLINE_MS = 20000,
    LOST_AFTER_MS = 120000,
    CONNECTIONS = 8,
    SETTLE_MS = 60,
};

/* What it was asked for, and how it answers. */
struct engine {
    struct evhttp *server;
    int creates;
    int updates;
    int removals;
    int create_status;
    int update_status;
    bool holds_update;
    struct evhttp_request *held; /* an update that it has not answered */
    const char *image;           /* what it tells of every one */
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct engine engine;
    struct sandbox_config config;
    struct sandboxes sandboxes;
    struct agent_dirs dirs;
    struct trail *trail;
    char folder[FOLDER_PATH_SIZE];
};

struct answer {
    struct create_waiter waiter;
    bool done;
    struct err err;
    char info[INFO_SIZE];
};

static void reply(struct evhttp_request *request, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    assert_non_null(body);
    (void)evbuffer_add_printf(body, "%s", text);
    evhttp_send_reply(request, status, "x", body);
    evbuffer_free(body);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct engine *engine = arg;
    const char *uri = evhttp_request_get_uri(request);
    if (evhttp_request_get_command(request) == EVHTTP_REQ_DELETE) {
        engine->removals++;
        reply(request, HTTP_NOCONTENT, "");
    } else if (strstr(uri, "/images/") != NULL) {
        reply(request, HTTP_OK, engine->image);
    } else if (strstr(uri, "/containers/create") != NULL) {
        engine->creates++;
        reply(request, engine->create_status, "{\"Id\":\"abc\"}");
    } else if (strstr(uri, "/update") != NULL) {
        engine->updates++;
        if (engine->holds_update) {
            engine->held = request;
        } else {
            reply(request, engine->update_status, "{}");
        }
    } else {
        reply(request, strstr(uri, "/start") != NULL ? HTTP_NOCONTENT : HTTP_OK, "{}");
    }
}

static void open_engine(struct fixture *fixture, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(view_copy(view_of(path), address.sun_path, sizeof address.sun_path));
    fixture->engine =
        (struct engine){.create_status = 201, .update_status = HTTP_OK, .image = IMAGE("1")};
    fixture->engine.server = evhttp_new(loop_base(fixture->loop));
    struct evconnlistener *listener = evconnlistener_new_bind(
        loop_base(fixture->loop), NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1,
        (struct sockaddr *)&address, (int)sizeof address);
    assert_non_null(listener);
    evhttp_set_gencb(fixture->engine.server, on_request, &fixture->engine);
    assert_non_null(evhttp_bind_listener(fixture->engine.server, listener));
}

static bool is_engine_up(void *arg)
{
    const struct fixture *fixture = arg;
    return docker_is_up(fixture->sandboxes.docker) && store_is_up(fixture->sandboxes.store);
}

static void on_connected(const PGresult *result, const struct err *err, void *arg)
{
    bool *done = arg;
    struct store_connected connected;
    assert_null(err);
    store_read_connected(result, &connected);
    assert_true(connected.accepted && connected.is_warm);
    *done = true;
}

/* Its agent comes. */
static void connect_agent(struct fixture *fixture, const char *id)
{
    struct store_call call;
    bool done = false;
    store_connect(fixture->sandboxes.store, &call, id, 1, on_connected, &done);
    turn_until(fixture->loop, &done);
    sandbox_create_over(&fixture->sandboxes, id);
}

/* All that are started for the pool get their agents. Returns how many. */
static int connect_all(struct fixture *fixture)
{
    PGconn *connection = PQconnectdb(postgres_url(fixture->postgres));
    PGresult *rows = PQexec(connection, "SELECT id FROM warm_sandboxes WHERE status = 'starting' "
                                        "AND work_dir IS NOT NULL");
    int count = PQntuples(rows);
    for (int i = 0; i < count; i++) {
        connect_agent(fixture, PQgetvalue(rows, i, 0));
    }
    PQclear(rows);
    PQfinish(connection);
    return count;
}

static void fill(struct fixture *fixture, int created)
{
    int connected = 0;
    turn_until_count(fixture->loop, &fixture->engine.creates, created);
    while (connected < KEPT) {
        turn_for(fixture->loop, SETTLE_MS);
        connected += connect_all(fixture);
    }
    postgres_expect(fixture->postgres, "SELECT count(*) FROM warm_sandboxes WHERE status = 'ready'",
                    "2");
}

static void on_created(const struct view *info, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    assert_true(view_copy(*info, answer->info, sizeof answer->info));
}

static void begin_create(struct fixture *fixture, const char *user, struct answer *answer)
{
    static const struct actor actor = {.address = "192.0.2.7"};
    static const struct json_pair pairs[] = {{VIEW("GREETING"), VIEW("good day")}};
    struct sandbox_create request = {
        .template_name = VIEW("base"), .network = VIEW("none"), .env = {pairs, 1}};
    struct err err = {0};
    (void)view_copy(VIEW(ASKED), request.sandbox_id, ID_SIZE);
    (void)view_copy(view_of(user), request.user_id, ID_SIZE);
    *answer = (struct answer){.waiter = {.actor = &actor, .done = on_created}};
    answer->waiter.arg = answer;
    assert_true(sandbox_create(&fixture->sandboxes, &request, DEADLINE_MS, &answer->waiter, &err));
}

static void create(struct fixture *fixture, const char *user, struct answer *answer)
{
    begin_create(fixture, user, answer);
    turn_until(fixture->loop, &answer->done);
}

static void on_destroyed(const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    }
}

/* Whoever asked for it does not want it any more. */
static void begin_destroy(struct fixture *fixture, const char *user,
                          struct sandbox_destruction *destruction, struct answer *answer)
{
    static const struct actor actor = {.address = "192.0.2.7"};
    struct sandbox_destroy request = {0};
    struct err err = {0};
    (void)view_copy(VIEW(ASKED), request.sandbox_id, ID_SIZE);
    (void)view_copy(view_of(user), request.user_id, ID_SIZE);
    *answer = (struct answer){0};
    *destruction = (struct sandbox_destruction){
        .act = audit_act_begin_by(fixture->sandboxes.audit, AUDIT_SANDBOX_DESTROYED, "sandbox",
                                  &actor, "", &err)};
    assert_non_null(destruction->act);
    sandbox_destroy(&fixture->sandboxes, destruction, &request, on_destroyed, answer);
}

static void expect_in(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no %s in %s", part, text);
    }
}

static void it_is_filled_up_to_its_target_and_no_further(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, KEPT);
    pool_claimed(fixture->sandboxes.pool);
    turn_for(fixture->loop, SETTLE_MS);
    assert_int_equal(fixture->engine.creates, KEPT);
    assert_true(starts_are_quiet(fixture->sandboxes.starts));
}

static void a_create_is_given_one_and_it_is_filled_up_again(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    create(fixture, PRO_USER, &answer);
    expect_in(answer.info, "\"status\":\"running\"");
    expect_in(answer.info, "\"configure\":{\"token\":");
    expect_in(answer.info, "\"env\":{\"GREETING\":\"good day\"}");
    expect_in(answer.info, "\"workDir\":\"/srv\"");
    assert_null(strstr(answer.info, ASKED));
    assert_int_equal(fixture->engine.updates, 0);
    turn_until_count(fixture->loop, &fixture->engine.creates, KEPT + 1);
    assert_int_equal(sandbox_creates_unanswered(&fixture->sandboxes) <= 1, 1);
}

static void one_with_other_limits_is_changed(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    create(fixture, FREE_USER, &answer);
    expect_in(answer.info, "\"memoryMB\":512");
    expect_in(answer.info, "\"configure\":{");
    assert_int_equal(fixture->engine.updates, 1);
}

/* Whoever gave it the first time may have been killed before it was changed. */
static void one_that_is_asked_for_again_is_changed_again(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    create(fixture, FREE_USER, &answer);
    create(fixture, FREE_USER, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    expect_in(answer.info, "\"memoryMB\":512");
    expect_in(answer.info, "\"configure\":{");
    expect_in(answer.info, "\"repeated\":true");
    assert_int_equal(fixture->engine.updates, 2);
    fixture->engine.update_status = HTTP_INTERNAL;
    create(fixture, FREE_USER, &answer);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_int_equal(fixture->engine.updates, 3);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM sandboxes", "1");
}

static void when_none_that_waits_is_alive_a_container_is_started(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    fixture->engine.update_status = HTTP_NOTFOUND;
    create(fixture, FREE_USER, &answer);
    assert_int_equal(answer.err.code, ERR_NONE);
    expect_in(answer.info, ASKED);
    assert_null(strstr(answer.info, "configure"));
    assert_int_equal(fixture->engine.updates, KEPT);
    turn_until_count(fixture->loop, &fixture->engine.removals, KEPT);
    postgres_expect(fixture->postgres, "SELECT string_agg(id::text, ',') FROM sandboxes", ASKED);
}

static void an_engine_that_changes_nothing_costs_one_of_the_pool(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    fixture->engine.update_status = HTTP_INTERNAL;
    create(fixture, FREE_USER, &answer);
    expect_in(answer.info, ASKED);
    assert_int_equal(fixture->engine.updates, 1);
}

static void one_that_is_given_up_before_it_has_a_row_ends(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    struct answer given_up;
    struct sandbox_destruction destruction;
    fill(fixture, KEPT);
    PGconn *other = PQconnectdb(postgres_url(fixture->postgres));
    PQclear(PQexec(other, "BEGIN; SELECT FROM users WHERE id = '" PRO_USER "' FOR UPDATE"));
    begin_create(fixture, PRO_USER, &answer);
    begin_destroy(fixture, PRO_USER, &destruction, &given_up);
    turn_for(fixture->loop, SETTLE_MS);
    assert_false(answer.done);
    assert_false(given_up.done);
    PQfinish(other);
    turn_until(fixture->loop, &given_up.done);
    assert_int_equal(given_up.err.code, ERR_NONE);
    assert_string_equal(answer.err.reason, "sandbox_ended");
    postgres_expect(fixture->postgres, "SELECT string_agg(end_reason, ',') FROM sandboxes", "user");
}

static void one_that_is_given_up_while_it_is_changed_is_not_exchanged(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    struct answer given_up;
    struct sandbox_destruction destruction;
    fill(fixture, KEPT);
    fixture->engine.holds_update = true;
    begin_create(fixture, FREE_USER, &answer);
    turn_until_count(fixture->loop, &fixture->engine.updates, 1);
    begin_destroy(fixture, FREE_USER, &destruction, &given_up);
    turn_until(fixture->loop, &given_up.done);
    assert_int_equal(given_up.err.code, ERR_NONE);
    reply(fixture->engine.held, HTTP_NOTFOUND, "{}");
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.err.reason, "sandbox_ended");
    postgres_expect(fixture->postgres, "SELECT string_agg(end_reason, ',') FROM sandboxes", "user");
}

/* What was claimed for it is not the user's for good. */
static void one_whose_exchange_is_refused_ends(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer;
    fill(fixture, KEPT);
    fixture->engine.holds_update = true;
    begin_create(fixture, FREE_USER, &answer);
    turn_until_count(fixture->loop, &fixture->engine.updates, 1);
    postgres_run(fixture->postgres,
                 "UPDATE users SET suspended_at = now() WHERE id = '" FREE_USER "'");
    reply(fixture->engine.held, HTTP_NOTFOUND, "{}");
    turn_until(fixture->loop, &answer.done);
    assert_string_equal(answer.err.reason, "user_suspended");
    postgres_expect(fixture->postgres, "SELECT end_reason FROM sandboxes", "error");
}

static void those_of_an_image_that_was_made_anew_are_replaced(void **state)
{
    struct fixture *fixture = *state;
    fill(fixture, KEPT);
    fixture->engine.image = IMAGE("2");
    pool_claimed(fixture->sandboxes.pool);
    turn_until_count(fixture->loop, &fixture->engine.removals, KEPT);
    turn_until_count(fixture->loop, &fixture->engine.creates, 2 * KEPT);
}

static void an_engine_that_fails_is_left_in_peace_for_a_while(void **state)
{
    struct fixture *fixture = *state;
    fixture->engine.create_status = HTTP_INTERNAL;
    turn_until_count(fixture->loop, &fixture->engine.removals, 1);
    for (int i = 0; i < 4; i++) {
        pool_claimed(fixture->sandboxes.pool);
        turn_for(fixture->loop, SETTLE_MS);
    }
    assert_int_equal(fixture->engine.creates, 1);
}

static void open_volumes(struct fixture *fixture)
{
    struct err err = {0};
    const struct volumes_options options = {.loop = fixture->loop,
                                            .database_url = fixture->config.database_url,
                                            .instance = "test",
                                            .node = "node-1",
                                            .limits = LIMITS,
                                            .folder = fixture->folder,
                                            .sweep_interval_ms = DEADLINE_MS,
                                            .audit = trail_writer(fixture->trail)};
    fixture->sandboxes.volumes = volumes_open(&options, &err);
    assert_non_null(fixture->sandboxes.volumes);
}

static void share(struct fixture *fixture)
{
    struct sandboxes *sandboxes = &fixture->sandboxes;
    struct err err = {0};
    const struct store_options store = {.url = fixture->config.database_url,
                                        .instance = "test",
                                        .node = "node-1",
                                        .limits = LIMITS};
    const struct network_options network = {.loop = fixture->loop,
                                            .docker = sandboxes->docker,
                                            .config = &fixture->config,
                                            .agent_volume = sandboxes->agent_volume,
                                            .seccomp = "{}"};
    sandboxes->images = images_new(sandboxes->docker, &err);
    sandboxes->store = store_open(fixture->loop, &store, &err);
    fixture->trail = trail_open(fixture->loop, fixture->config.database_url, &err);
    sandboxes->audit = trail_writer(fixture->trail);
    sandboxes->redis = redis_open(fixture->loop, "unix:///nowhere/redis.sock", &err);
    sandboxes->starts = starts_new(fixture->loop, KEPT, &err);
    sandboxes->network = network_new(&network, &err);
    (void)snprintf(fixture->config.restricted_subnet, sizeof fixture->config.restricted_subnet,
                   "10.99.0.0/24");
    const struct restricted_options restricted = {.loop = fixture->loop,
                                                  .docker = sandboxes->docker,
                                                  .config = &fixture->config,
                                                  .open = network_rules(sandboxes->network)};
    sandboxes->restricted = restricted_new(&restricted, &err);
    assert_non_null(sandboxes->restricted);
    sandboxes->networks = networks_open(sandboxes, sandboxes->restricted, &err);
    assert_non_null(sandboxes->networks);
    sandboxes->presence = presence_new(LOST_AFTER_MS, &err);
    sandboxes->shifts = shifts_new(sandboxes, &err);
    assert_non_null(sandboxes->shifts);
    assert_non_null(sandboxes->network);
    assert_true(sandboxes_init(sandboxes, &err));
    open_volumes(fixture);
    sandboxes->ports = ports_open(sandboxes, &err);
    assert_non_null(sandboxes->ports);
}

static void configure(struct fixture *fixture)
{
    struct sandbox_config *config = &fixture->config;
    const char *what;
    *config = (struct sandbox_config){.warm_pool_memory_mb = 8192, .warm_pool_concurrency = 1};
    (void)snprintf(config->database_url, sizeof config->database_url, "%s",
                   postgres_service_url(fixture->postgres, "sandbox"));
    (void)snprintf(config->instance, sizeof config->instance, "test");
    (void)snprintf(config->node_name, sizeof config->node_name, "node-1");
    (void)snprintf(config->default_network, sizeof config->default_network, "none");
    (void)snprintf(config->subnet, sizeof config->subnet, "10.200.0.0/20");
    (void)snprintf(config->agent_jwt_secret, sizeof config->agent_jwt_secret,
                   "b41d9a07c2e84f63a5d0917be63f28cd");
    config->tiers[TIER_PRO].memory_mb = 1024;
    assert_true(pool_kinds_read("base/none/pro=2", "none", &config->warm_pools, &what));
}

static int open_pool(void **state)
{
    struct fixture *fixture = *state;
    struct sandboxes *sandboxes = &fixture->sandboxes;
    struct err err = {0};
    char path[FOLDER_PATH_SIZE + 16];
    postgres_run(fixture->postgres, "INSERT INTO users (id, tier) VALUES ('" PRO_USER "', 'pro'), "
                                    "('" FREE_USER "', 'free')");
    folder_make(fixture->folder);
    configure(fixture);
    (void)snprintf(path, sizeof path, "%s/engine.sock", fixture->folder);
    open_engine(fixture, path);
    *sandboxes = (struct sandboxes){.loop = fixture->loop,
                                    .config = &fixture->config,
                                    .dirs = &fixture->dirs,
                                    .seccomp = "{}",
                                    .agent_volume = "agent-1",
                                    .open_files_max = 65536,
                                    .engine_ready = true};
    assert_true(agent_dirs_open(&fixture->dirs, fixture->folder, getuid(), getgid(), &err));
    sandboxes->docker = docker_open(fixture->loop, path, CONNECTIONS, NULL, NULL, &err);
    share(fixture);
    turn_until_true(fixture->loop, is_engine_up, fixture);
    sandboxes->pool = pool_open(sandboxes, LIMITS, &err);
    assert_non_null(sandboxes->pool);
    return 0;
}

static void fail_all(struct sandboxes *sandboxes)
{
    bool called;
    sandboxes->draining = true;
    sandbox_creates_end(sandboxes);
    do {
        called = docker_fail_all(sandboxes->docker);
        called = store_fail_all(sandboxes->store) || called;
        called = ports_fail_all(sandboxes->ports) || called;
        called = pool_fail_all(sandboxes->pool) || called;
        called = volumes_fail_all(sandboxes->volumes) || called;
        called = networks_fail_all(sandboxes->networks) || called;
    } while (called);
}

static int close_pool(void **state)
{
    struct fixture *fixture = *state;
    struct sandboxes *sandboxes = &fixture->sandboxes;
    fail_all(sandboxes);
    pool_close(sandboxes->pool);
    volumes_close(sandboxes->volumes);
    shifts_free(sandboxes->shifts);
    networks_close(sandboxes->networks);
    restricted_free(sandboxes->restricted);
    network_free(sandboxes->network);
    presence_free(sandboxes->presence);
    starts_free(sandboxes->starts);
    images_free(sandboxes->images);
    docker_close(sandboxes->docker);
    ports_close(sandboxes->ports);
    redis_close(sandboxes->redis);
    store_close(sandboxes->store);
    sandboxes_clear(sandboxes);
    trail_close(fixture->trail);
    agent_dirs_close(&fixture->dirs);
    evhttp_free(fixture->engine.server);
    folder_remove(fixture->folder);
    postgres_run(fixture->postgres, "DELETE FROM users");
    postgres_run(fixture->postgres, "DELETE FROM warm_sandboxes");
    return 0;
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    fixture.loop = loop_new(&err);
    assert_non_null(fixture.loop);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pool, close_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_filled_up_to_its_target_and_no_further),
        TEST(a_create_is_given_one_and_it_is_filled_up_again),
        TEST(one_with_other_limits_is_changed),
        TEST(one_that_is_asked_for_again_is_changed_again),
        TEST(when_none_that_waits_is_alive_a_container_is_started),
        TEST(an_engine_that_changes_nothing_costs_one_of_the_pool),
        TEST(one_that_is_given_up_before_it_has_a_row_ends),
        TEST(one_that_is_given_up_while_it_is_changed_is_not_exchanged),
        TEST(one_whose_exchange_is_refused_ends),
        TEST(those_of_an_image_that_was_made_anew_are_replaced),
        TEST(an_engine_that_fails_is_left_in_peace_for_a_while),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
