/* sandbox-service/docker/mount_check.c: volumes lie where their paths say, or nothing is started.
 */
#include "sandbox-service/docker/mount_check.h"

#include "tests/support/turn.h"
#include "tests/unit/sandbox-service/engine_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ENGINE_CALLS = 4, TIMEOUT_MS = 20000, SHORT_MS = 600, LOOK_MS = 100, LAST_MS = 200 };

struct fixture {
    struct loop *loop;
    char folder[FOLDER_PATH_SIZE];
    struct engine_stage engine;
    struct docker *docker;
    struct mount_check check;
    bool done;
    struct err err;
};

static int open_engine(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    fixture = (struct fixture){.loop = loop_new(&err)};
    folder_make(fixture.folder);
    engine_stage_open(&fixture.engine, fixture.loop, fixture.folder);
    fixture.docker =
        docker_open(fixture.loop, fixture.engine.socket_path, ENGINE_CALLS, NULL, NULL, &err);
    assert_non_null(fixture.docker);
    *state = &fixture;
    return 0;
}

static int close_engine(void **state)
{
    struct fixture *fixture = *state;
    (void)docker_fail_all(fixture->docker);
    docker_close(fixture->docker);
    turn_for(fixture->loop, LAST_MS); /* an answer that nobody waits for is given all the same */
    engine_stage_close(&fixture->engine);
    loop_free(fixture->loop);
    folder_remove(fixture->folder);
    return 0;
}

static void on_checked(const struct err *err, void *arg)
{
    struct fixture *fixture = arg;
    assert_false(fixture->done);
    fixture->done = true;
    fixture->err = err == NULL ? (struct err){0} : *err;
}

/* Of a volume at target. */
static const char *check(struct fixture *fixture, const char *target,
                         const struct engine_path *paths, int64_t timeout_ms)
{
    fixture->done = false;
    fixture->engine.paths = paths;
    fixture->engine.looks = 0;
    fixture->check = (struct mount_check){0};
    mount_check_add(&fixture->check, view_of(target));
    mount_check_begin(&fixture->check, fixture->docker, "box", timeout_ms, on_checked, fixture);
    assert_false(fixture->done);
    turn_until(fixture->loop, &fixture->done);
    return fixture->err.reason;
}

static void folders_and_what_is_not_there_are_fine(void **state)
{
    static const struct engine_path paths[] = {
        {"/srv", 200, ENGINE_FOLDER}, {"/srv/a", 200, ENGINE_FOLDER}, {NULL, 0, NULL}};
    assert_string_equal(check(*state, "/srv/a", paths, TIMEOUT_MS), "");
    /* Below what is not there nothing is: both paths, and the agent's folder. */
    assert_string_equal(check(*state, "/none/below/it", paths, TIMEOUT_MS), "");
    assert_int_equal(((struct fixture *)*state)->engine.looks, 2);
}

static void link_anywhere_on_the_way_is_refused(void **state)
{
    static const struct engine_path first[] = {{"/srv", 200, ENGINE_LINK}, {NULL, 0, NULL}};
    static const struct engine_path last[] = {
        {"/srv", 200, ENGINE_FOLDER}, {"/srv/a", 200, ENGINE_LINK}, {NULL, 0, NULL}};
    static const struct engine_path agents[] = {{"/.insien", 200, ENGINE_LINK}, {NULL, 0, NULL}};
    assert_string_equal(check(*state, "/srv/a", first, TIMEOUT_MS), "volume_path_unsafe");
    assert_string_equal(check(*state, "/srv/a", last, TIMEOUT_MS), "volume_path_unsafe");
    assert_string_equal(check(*state, "/srv/a", agents, TIMEOUT_MS), "volume_path_unsafe");
}

static void what_is_no_folder_is_refused(void **state)
{
    static const struct engine_path file[] = {
        {"/etc", 200, ENGINE_FOLDER}, {"/etc/passwd", 200, ENGINE_FILE}, {NULL, 0, NULL}};
    /* Some engines fail before they look: they mount first. */
    static const struct engine_path nowhere[] = {{"/srv", 500, NULL}, {NULL, 0, NULL}};
    assert_string_equal(check(*state, "/etc/passwd/x", file, TIMEOUT_MS), "volume_path_unsafe");
    assert_string_equal(check(*state, "/srv/a", nowhere, TIMEOUT_MS), "volume_path_unsafe");
}

static void answer_that_is_none_is_no_leave(void **state)
{
    static const struct engine_path garbled[] = {{"/srv", 200, "e30="}, {NULL, 0, NULL}};
    static const struct engine_path busy[] = {{"/srv", 503, NULL}, {NULL, 0, NULL}};
    assert_string_equal(check(*state, "/srv/a", garbled, TIMEOUT_MS), "docker_unavailable");
    assert_string_equal(check(*state, "/srv/a", busy, TIMEOUT_MS), "docker_unavailable");
}

static void all_questions_together_have_one_deadline(void **state)
{
    static const struct engine_path paths[] = {
        {"/a", 200, ENGINE_FOLDER},
        {"/a/b", 200, ENGINE_FOLDER},
        {"/a/b/c", 200, ENGINE_FOLDER},
        {"/a/b/c/d", 200, ENGINE_FOLDER},
        {"/a/b/c/d/e", 200, ENGINE_FOLDER},
        {"/a/b/c/d/e/f", 200, ENGINE_FOLDER},
        {"/a/b/c/d/e/f/g", 200, ENGINE_FOLDER},
        {"/a/b/c/d/e/f/g/h", 200, ENGINE_FOLDER},
        {NULL, 0, NULL},
    };
    struct fixture *fixture = *state;
    fixture->engine.look_ms = LOOK_MS;
    (void)check(fixture, "/a/b/c/d/e/f/g/h", paths, SHORT_MS);
    assert_int_not_equal(fixture->err.code, ERR_NONE);
    assert_true(fixture->engine.looks < 8);
}

static void container_that_was_made_before_is_looked_at_by_its_mounts(void **state)
{
    static const struct engine_path paths[] = {
        {"/data", 200, ENGINE_LINK}, {"/.insien", 200, ENGINE_FOLDER}, {NULL, 0, NULL}};
    struct fixture *fixture = *state;
    fixture->engine.paths = paths;
    fixture->engine.mounts = "[{\"Destination\":\"/.insien\"},{\"Destination\":\"/proc/stat\"}]";
    mount_check_stopped(&fixture->check, fixture->docker, "box", on_checked, fixture);
    turn_until(fixture->loop, &fixture->done);
    assert_string_equal(fixture->err.reason, "");
    assert_int_equal(fixture->engine.looks, 0); /* nothing of these is the tenant's choice */
    fixture->done = false;
    fixture->engine.mounts = "[{\"Destination\":\"/.insien\"},{\"Destination\":\"/data\"}]";
    mount_check_stopped(&fixture->check, fixture->docker, "box", on_checked, fixture);
    turn_until(fixture->loop, &fixture->done);
    assert_string_equal(fixture->err.reason, "volume_path_unsafe");
    fixture->done = false;
    fixture->engine.status[0] = '\0';
    mount_check_stopped(&fixture->check, fixture->docker, "box", on_checked, fixture);
    turn_until(fixture->loop, &fixture->done);
    assert_int_equal(fixture->err.code, ERR_NONE); /* one that is gone has none */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(folders_and_what_is_not_there_are_fine),
        TEST(link_anywhere_on_the_way_is_refused),
        TEST(what_is_no_folder_is_refused),
        TEST(answer_that_is_none_is_no_leave),
        TEST(all_questions_together_have_one_deadline),
        TEST(container_that_was_made_before_is_looked_at_by_its_mounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
