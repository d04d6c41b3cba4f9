/* sandbox-service/docker/abilities.c: when what the engine can do counts as known. */
#include "sandbox-service/docker/abilities.h"

#include "sandbox-service/docker/docker.h"
#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/engine_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CONNECTIONS = 2, CPUS = 4, MEMORY_MB = 100 };

static const struct wire_info info = {.driver = "overlay2", .cpus = CPUS};

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    struct loop *loop;
    struct engine_stage engine;
    struct docker *docker;
    struct abilities_call call;
    struct abilities abilities; /* as they were known before */
    bool done;
    struct err err;
};

static void on_known(const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    fixture->done = true;
    fixture->err = err == NULL ? fixture->err : *err;
}

static void find(struct fixture *fixture)
{
    const struct abilities_options options = {
        .instance = "test", .info = &info, .binds_cpus = true, .lxcfs_dir = "none"};
    abilities_find(fixture->docker, &fixture->call, &options, &fixture->abilities, on_known,
                   fixture);
}

static void what_was_known_holds_until_all_is_known(void **state)
{
    struct fixture *fixture = *state;
    fixture->abilities = (struct abilities){.cpus = 1, .memory_mb = MEMORY_MB};
    find(fixture);
    assert_int_equal(fixture->abilities.cpus, 1);
    turn_until(fixture->loop, &fixture->done);
    assert_int_equal(fixture->err.code, ERR_NONE);
    assert_true(fixture->abilities.limits_disk);
    assert_int_equal(fixture->abilities.cpus, CPUS);
    assert_int_equal(fixture->abilities.memory_mb, MEMORY_MB);
}

static void an_engine_that_goes_takes_nothing_of_it_along(void **state)
{
    struct fixture *fixture = *state;
    fixture->abilities = (struct abilities){.limits_disk = true, .cpus = CPUS};
    find(fixture);
    assert_true(docker_fail_all(fixture->docker));
    turn_until(fixture->loop, &fixture->done);
    assert_int_equal(fixture->err.code, ERR_UNAVAILABLE);
    assert_true(fixture->abilities.limits_disk);
    assert_int_equal(fixture->abilities.cpus, CPUS);
}

static int open_one(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.done = false};
    folder_make(fixture.folder);
    fixture.loop = loop_new(&fixture.err);
    assert_non_null(fixture.loop);
    engine_stage_open(&fixture.engine, fixture.loop, fixture.folder);
    fixture.docker = docker_open(fixture.loop, fixture.engine.socket_path, CONNECTIONS, NULL, NULL,
                                 &fixture.err);
    assert_non_null(fixture.docker);
    *state = &fixture;
    return 0;
}

static int close_one(void **state)
{
    struct fixture *fixture = *state;
    (void)docker_fail_all(fixture->docker);
    docker_close(fixture->docker);
    engine_stage_close(&fixture->engine);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_known_holds_until_all_is_known),
        TEST(an_engine_that_goes_takes_nothing_of_it_along),
    };
    return cmocka_run_group_tests_name("abilities", tests, NULL, NULL);
}
