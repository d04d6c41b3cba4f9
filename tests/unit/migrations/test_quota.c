/* The quotas of migrations/0014_quota.sql: never over, never leaked, whoever races. */
#include "common/db/pg.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY "44444444-4444-4444-8444-444444444441"
#define CHILD "44444444-4444-4444-8444-444444444442"
#define NO_BOUNDS "{}"
#define NOTHING_LESS "{}"

enum {
    CONNECTIONS = 16,
    USERS = 20,
    RACERS = 200,
    MOST = 50,      /* sandboxes of a user */
    KEY_MOST = 7,   /* of KEY and what came of it */
    EACH_MB = 512,  /* memory of each */
    NODE_HOLDS = 30 /* of them */
};

/* USERS are of the tier pro; user 0 is of the tier free. */
static const char limits[] =
    "{\"pro\": {\"sandboxes\": 50, \"memoryMB\": 512, \"cpuMilli\": 1000, \"pids\": 256,"
    " \"diskMB\": 2048, \"lifetimeHours\": 2},"
    " \"free\": {\"sandboxes\": 1, \"memoryMB\": 256, \"cpuMilli\": 500, \"pids\": 64,"
    " \"diskMB\": 512, \"lifetimeHours\": 1}}";

enum { BEGUN_MEMORY, BEGUN_CPU, BEGUN_PIDS, BEGUN_DISK, BEGUN_CPUS, COLUMNS };

static const struct pg_statement statements[] = {
    {"begin", "SELECT memory_mb, cpu_milli, pids, disk_mb, array_to_string(cpus, ',')"
              " FROM sandbox_begin($1, $2, nullif($3, '')::uuid, 'base', 0, 'none', 'test', $4,"
              " '{}', '{}', $5, $6, $7)"},
    {"end", "UPDATE sandboxes SET status = 'destroyed', end_reason = 'user', ended_at = now()"
            " WHERE id = $1"},
    {"promised", "SELECT coalesce(sum(memory_mb), 0) FROM sandboxes WHERE ended_at IS NULL"},
    {"clear", "DELETE FROM sandboxes"},
    {"usage", "SELECT sandboxes, memory_mb, cpu_milli, key_sandboxes, key_most"
              " FROM quota_usage($1, nullif($2, '')::uuid)"},
};

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    struct pg_pool *pool;
};

struct answer {
    bool done;
    char columns[COLUMNS][32];
    struct err err;
};

/* One sandbox that somebody wants. */
struct wish {
    int number; /* tells the sandboxes of a test apart */
    int user;
    const char *key;
    const char *node;
    const char *wanted;
    const char *bounds;
};

static void on_result(const PGresult *result, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    for (int i = 0; i < COLUMNS && pg_rows(result) == 1 && i < PQnfields(result); i++) {
        (void)snprintf(answer->columns[i], sizeof answer->columns[i], "%s", pg_text(result, 0, i));
    }
}

static void query(struct fixture *fixture, const char *statement,
                  const struct pg_parameters *parameters, pg_result_fn *done, void *arg)
{
    struct err err;
    assert_non_null(
        pg_query_begin(fixture->pool, statement, parameters, TURN_PATIENCE_MS, done, arg, &err));
}

static struct answer ask(struct fixture *fixture, const char *statement,
                         const struct pg_parameters *parameters)
{
    struct answer answer = {0};
    query(fixture, statement, parameters, on_result, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void sandbox_id(int number, char out[37])
{
    (void)snprintf(out, 37, "aaaaaaaa-aaaa-4aaa-8aaa-%012d", number);
}

static void user_id(int number, char out[37])
{
    (void)snprintf(out, 37, "11111111-1111-4111-8111-%012d", number);
}

static void start(struct fixture *fixture, const struct wish *wish, pg_result_fn *done, void *arg)
{
    char id[37];
    char user[37];
    sandbox_id(wish->number, id);
    user_id(wish->user, user);
    const struct pg_parameters parameters = {
        .values = {id, user, wish->key, wish->node, limits, wish->wanted, wish->bounds},
        .count = 7};
    query(fixture, "begin", &parameters, done, arg);
}

static struct answer begin(struct fixture *fixture, struct wish wish)
{
    struct answer answer = {0};
    wish.key = wish.key == NULL ? "" : wish.key;
    wish.node = wish.node == NULL ? "node-1" : wish.node;
    wish.wanted = wish.wanted == NULL ? NOTHING_LESS : wish.wanted;
    wish.bounds = wish.bounds == NULL ? NO_BOUNDS : wish.bounds;
    start(fixture, &wish, on_result, &answer);
    turn_until(fixture->loop, &answer.done);
    return answer;
}

static void assert_refused(const struct answer *answer, enum err_code code, const char *reason)
{
    assert_int_equal(answer->err.code, code);
    assert_string_equal(answer->err.reason, reason);
}

/* RACERS at once; counts those that were let in. The others were refused for that reason. */
static int race(struct fixture *fixture, struct wish (*wish_of)(int number), const char *reason)
{
    static struct answer answers[RACERS];
    int granted = 0;
    memset(answers, 0, sizeof answers);
    for (int i = 0; i < RACERS; i++) {
        struct wish wish = wish_of(i);
        wish.number = i;
        start(fixture, &wish, on_result, &answers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        turn_until(fixture->loop, &answers[i].done);
        if (answers[i].err.code == ERR_NONE) {
            granted++;
        } else {
            assert_refused(&answers[i], ERR_LIMIT, reason);
        }
    }
    return granted;
}

static struct wish of_one_user(int number)
{
    (void)number;
    return (struct wish){.user = 1, .key = "", .node = "node-1", .wanted = "{}", .bounds = "{}"};
}

static void a_user_gets_no_more_than_the_tier_allows(void **state)
{
    assert_int_equal(race(*state, of_one_user, "quota_exceeded"), MOST);
}

/* In turn by the key itself and by the one that it made. */
static struct wish of_one_key(int number)
{
    struct wish wish = of_one_user(number);
    wish.key = number % 2 == 0 ? KEY : CHILD;
    return wish;
}

static void a_key_gets_no_more_than_it_says(void **state)
{
    assert_int_equal(race(*state, of_one_key, "key_quota_exceeded"), KEY_MOST);
}

static struct wish of_many_users(int number)
{
    struct wish wish = of_one_user(number);
    wish.user = 1 + number % USERS;
    wish.bounds = "{\"nodeMemoryMB\": 15871, \"totalMemoryMB\": 0}"; /* a MB short of 31 */
    return wish;
}

static void a_node_promises_no_more_than_it_has(void **state)
{
    assert_int_equal(race(*state, of_many_users, "node_full"), NODE_HOLDS);
}

static struct wish on_many_nodes(int number)
{
    static const char *const nodes[] = {"node-1", "node-2", "node-3"};
    struct wish wish = of_many_users(number);
    wish.node = nodes[number % 3];
    wish.bounds = "{\"nodeMemoryMB\": 15871, \"totalMemoryMB\": 20480}";
    return wish;
}

static void all_nodes_promise_no_more_than_all_may(void **state)
{
    assert_int_equal(race(*state, on_many_nodes, "node_full"), 40);
}

/* Sandboxes come and go; after each step what is promised is looked at from outside. */
struct churn {
    struct fixture *fixture;
    int begun; /* wishes */
    int open;  /* queries */
    int granted;
    int64_t most_mb; /* seen promised at a time */
    bool done;
};

struct churn_step {
    struct churn *churn;
    int number;
};

static void churn_next(struct churn *churn);

static void churn_step_over(struct churn *churn)
{
    churn->open--;
    churn_next(churn);
    churn->done = churn->open == 0 && churn->begun == RACERS;
}

static void on_promised(const PGresult *result, const struct err *err, void *arg)
{
    struct churn *churn = arg;
    assert_null(err);
    int64_t promised = pg_int(result, 0, 0);
    churn->most_mb = promised > churn->most_mb ? promised : churn->most_mb;
    churn_step_over(churn);
}

static void on_ended(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    assert_null(err);
    churn_step_over(arg);
}

static void on_begun(const PGresult *result, const struct err *err, void *arg)
{
    (void)result;
    struct churn_step *step = arg;
    struct churn *churn = step->churn;
    int number = step->number;
    free(step);
    churn->open++;
    query(churn->fixture, "promised", NULL, on_promised, churn);
    if (err != NULL) {
        assert_string_equal(err->reason, "node_full");
    } else {
        char id[37];
        sandbox_id(number, id);
        const struct pg_parameters parameters = {.values = {id}, .count = 1};
        churn->granted++;
        churn->open++;
        query(churn->fixture, "end", &parameters, on_ended, churn);
    }
    churn_step_over(churn);
}

/* Keeps more wishes under way than the node can hold. */
static void churn_next(struct churn *churn)
{
    while (churn->begun < RACERS && churn->open < CONNECTIONS) {
        struct churn_step *step = calloc(1, sizeof *step);
        assert_non_null(step);
        step->churn = churn;
        step->number = churn->begun++;
        struct wish wish = of_many_users(step->number);
        wish.number = step->number;
        wish.bounds = "{\"nodeMemoryMB\": 2048}";
        churn->open++;
        start(churn->fixture, &wish, on_begun, step);
    }
}

static void what_ends_makes_room_and_no_more_than_that(void **state)
{
    struct churn churn = {.fixture = *state};
    churn_next(&churn);
    turn_until(churn.fixture->loop, &churn.done);
    assert_in_range(churn.granted, 4, RACERS);
    assert_in_range(churn.most_mb, EACH_MB, 2048);
    /* Nothing is left behind: as many as at the beginning. */
    postgres_expect(churn.fixture->postgres,
                    "SELECT count(*) FROM sandboxes WHERE ended_at IS NULL", "0");
    for (int i = 0; i < 4; i++) {
        struct answer answer = begin(churn.fixture, (struct wish){.number = RACERS + i,
                                                                  .user = 1,
                                                                  .bounds = "{\"nodeMemoryMB\": "
                                                                            "2048}"});
        assert_int_equal(answer.err.code, ERR_NONE);
    }
}

static void what_is_being_removed_still_holds_its_memory(void **state)
{
    struct fixture *fixture = *state;
    static const char bounds[] = "{\"nodeMemoryMB\": 1023}";
    struct answer answer = begin(fixture, (struct wish){.number = 1, .user = 1, .bounds = bounds});
    assert_int_equal(answer.err.code, ERR_NONE);
    postgres_run(fixture->postgres,
                 "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'");
    answer = begin(fixture, (struct wish){.number = 2, .user = 1, .bounds = bounds});
    assert_refused(&answer, ERR_LIMIT, "node_full");
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'destroyed', ended_at = now()");
    answer = begin(fixture, (struct wish){.number = 2, .user = 1, .bounds = bounds});
    assert_int_equal(answer.err.code, ERR_NONE);
}

static void less_than_the_tier_is_granted_and_more_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct answer answer =
        begin(fixture, (struct wish){.number = 1,
                                     .user = 1,
                                     .wanted = "{\"memoryMB\": 64, \"cpuMilli\": 250, \"pids\": 0,"
                                               " \"diskMB\": 100}"});
    assert_string_equal(answer.columns[BEGUN_MEMORY], "64");
    assert_string_equal(answer.columns[BEGUN_CPU], "250");
    assert_string_equal(answer.columns[BEGUN_PIDS], "256");
    assert_string_equal(answer.columns[BEGUN_DISK], "100");
    static const char *const too_much[] = {"{\"memoryMB\": 513}", "{\"cpuMilli\": 1001}",
                                           "{\"pids\": 257}", "{\"diskMB\": 2049}"};
    for (int i = 0; i < 4; i++) {
        answer = begin(fixture, (struct wish){.number = 2 + i, .user = 1, .wanted = too_much[i]});
        assert_refused(&answer, ERR_DENIED, "tier_limit_exceeded");
    }
    answer = begin(fixture, (struct wish){.number = 6, .user = 0, .wanted = "{\"memoryMB\": 257}"});
    assert_refused(&answer, ERR_DENIED, "tier_limit_exceeded");
}

static void less_memory_is_less_of_the_node(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct answer answer = begin(*state, (struct wish){.number = i,
                                                           .user = 1,
                                                           .wanted = "{\"memoryMB\": 100}",
                                                           .bounds = "{\"nodeMemoryMB\": 499}"});
        assert_int_equal(answer.err.code, i < 4 ? ERR_NONE : ERR_LIMIT);
    }
}

static void processors_are_chosen_by_what_they_promised(void **state)
{
    static const struct {
        const char *wanted;
        const char *bounds;
        const char *cpus;
    } steps[] = {
        {"{}", "{\"cpus\": 3}", "0"},
        {"{\"cpuMilli\": 500}", "{\"cpus\": 3}", "1"},
        {"{}", "{\"cpus\": 3}", "2"},
        {"{\"cpuMilli\": 250}", "{\"cpus\": 3}", "1"}, /* 1000, 500, 1000 */
        {"{\"cpuMilli\": 250}", "{\"cpus\": 3}", "1"}, /* 1000, 750, 1000 */
        {"{}", "{\"cpus\": 3}", "0"},
        {"{}", "{\"cpus\": 1}", ""}, /* all that there are */
        {"{}", "{\"cpus\": 0}", ""},
    };
    for (int i = 0; i < (int)(sizeof steps / sizeof steps[0]); i++) {
        struct answer answer = begin(*state, (struct wish){.number = i,
                                                           .user = 1,
                                                           .wanted = steps[i].wanted,
                                                           .bounds = steps[i].bounds});
        assert_string_equal(answer.columns[BEGUN_CPUS], steps[i].cpus);
    }
    struct answer answer =
        begin(*state,
              (struct wish){.number = 20, .user = 1, .node = "node-2", .bounds = "{\"cpus\": 3}"});
    assert_string_equal(answer.columns[BEGUN_CPUS], "0"); /* another node, other processors */
}

static void usage_is_what_lives(void **state)
{
    struct fixture *fixture = *state;
    char user[37];
    user_id(1, user);
    (void)begin(fixture, (struct wish){.number = 1, .user = 1});
    (void)begin(fixture, (struct wish){.number = 2, .user = 1, .key = CHILD});
    (void)begin(fixture, (struct wish){.number = 3, .user = 1, .key = KEY});
    (void)begin(fixture, (struct wish){.number = 4, .user = 1, .key = KEY});
    (void)begin(fixture, (struct wish){.number = 5, .user = 2});
    postgres_run(fixture->postgres, "UPDATE sandboxes SET status = 'stopping', end_reason = 'user'"
                                    " WHERE id = 'aaaaaaaa-aaaa-4aaa-8aaa-000000000004'");
    const struct pg_parameters by_key = {.values = {user, KEY}, .count = 2};
    struct answer answer = ask(fixture, "usage", &by_key);
    static const char *const expected[] = {"3", "1536", "3000", "2", "7"};
    for (int i = 0; i < 5; i++) {
        assert_string_equal(answer.columns[i], expected[i]);
    }
    const struct pg_parameters by_session = {.values = {user, ""}, .count = 2};
    answer = ask(fixture, "usage", &by_session);
    assert_string_equal(answer.columns[0], "3");
    assert_string_equal(answer.columns[3], "0");
    assert_string_equal(answer.columns[4], "");
}

static int clear(void **state)
{
    assert_int_equal(ask(*state, "clear", NULL).err.code, ERR_NONE);
    return 0;
}

static void make_people(const struct postgres *postgres)
{
    char sql[512];
    postgres_run(postgres,
                 "INSERT INTO users (id) VALUES ('11111111-1111-4111-8111-000000000000')");
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO users (id, tier) SELECT ('11111111-1111-4111-8111-' ||"
                   " lpad(i::text, 12, '0'))::uuid, 'pro' FROM generate_series(1, %d) AS i",
                   USERS);
    postgres_run(postgres, sql);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO api_keys (id, user_id, parent_id, prefix, digest, bcrypt,"
                   " max_sandboxes) SELECT id::uuid,"
                   " '11111111-1111-4111-8111-000000000001', parent::uuid, 'isk_01234567',"
                   " sha256(id::bytea), 'x', most FROM (VALUES ('" KEY "', NULL, %d), ('" CHILD
                   "', '" KEY "', NULL)) AS key (id, parent, most)",
                   KEY_MOST);
    postgres_run(postgres, sql);
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    make_people(fixture.postgres);
    const struct pg_options options = {.url = postgres_url(fixture.postgres),
                                       .connections = CONNECTIONS,
                                       .statements = statements,
                                       .statement_count = sizeof statements / sizeof statements[0],
                                       .statement_timeout_ms = TURN_PATIENCE_MS};
    fixture.loop = loop_new(&err);
    fixture.pool = pg_pool_open(fixture.loop, &options, &err);
    assert_non_null(fixture.pool);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    pg_pool_close(fixture->pool);
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_user_gets_no_more_than_the_tier_allows),
        TEST(a_key_gets_no_more_than_it_says),
        TEST(a_node_promises_no_more_than_it_has),
        TEST(all_nodes_promise_no_more_than_all_may),
        TEST(what_ends_makes_room_and_no_more_than_that),
        TEST(what_is_being_removed_still_holds_its_memory),
        TEST(less_than_the_tier_is_granted_and_more_is_refused),
        TEST(less_memory_is_less_of_the_node),
        TEST(processors_are_chosen_by_what_they_promised),
        TEST(usage_is_what_lives),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
