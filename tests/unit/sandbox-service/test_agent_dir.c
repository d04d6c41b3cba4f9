/* sandbox-service/credential/agent_dir.c */
#include "sandbox-service/credential/agent_dir.h"

#include "tests/support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char sandbox[] = "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60";
static const char id32[] = "6f1c1c1e0d4c4f0e9a513f1d2b8c7a60";

enum { PATH_SIZE = 256 };

struct world {
    char run_dir[FOLDER_PATH_SIZE];
    struct agent_dirs dirs;
    int visits;
};

/* As the user that runs the test, for itself: giving files away takes root. */
static int begin(void **state)
{
    static struct world world;
    struct err err = {0};
    world = (struct world){0};
    folder_make(world.run_dir);
    *state = &world;
    bool ok = agent_dirs_open(&world.dirs, world.run_dir, getuid(), getgid(), &err);
    world.dirs.root_gid = getgid();
    return ok ? 0 : -1;
}

static int end(void **state)
{
    struct world *world = *state;
    agent_dirs_close(&world->dirs);
    folder_remove(world->run_dir);
    return 0;
}

static struct stat look(const struct world *world, const char *name)
{
    char path[PATH_SIZE];
    struct stat status = {0};
    (void)snprintf(path, sizeof path, "%s/%s", world->run_dir, name);
    if (lstat(path, &status) != 0) {
        status.st_mode = 0;
    }
    return status;
}

static struct stat look_at_dir(const struct world *world, const char *folder, const char *file)
{
    char name[PATH_SIZE];
    (void)snprintf(name, sizeof name, "%s/%s%s", folder, id32, file);
    return look(world, name);
}

static void make(struct world *world)
{
    struct err err = {0};
    if (!agent_dir_make(&world->dirs, sandbox, "a token", &err)) {
        fail_msg("%s", err.message);
    }
}

static void directory_token_and_lock_have_their_modes(void **state)
{
    struct world *world = *state;
    make(world);
    assert_int_equal(look_at_dir(world, "agents", "").st_mode, S_IFDIR | 02750);
    assert_int_equal(look_at_dir(world, "agents", "/token").st_mode, S_IFREG | 0440);
    assert_int_equal(look_at_dir(world, "locks", "").st_mode, S_IFREG | 0660);
    assert_int_equal(look(world, "locks").st_mode, S_IFDIR | 0770);
}

static void run_directory_can_be_passed_through_by_strangers(void **state)
{
    struct world *world = *state;
    assert_int_equal(look(world, "").st_mode & 0011U, 0011);
    assert_int_equal(look(world, "agents").st_mode & 07777U, 0751);
}

static void token_is_what_was_given(void **state)
{
    struct world *world = *state;
    char path[PATH_SIZE];
    char text[32] = "";
    make(world);
    (void)snprintf(path, sizeof path, "%s/agents/%s/token", world->run_dir, id32);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof text - 1), strlen("a token"));
    (void)close(fd);
    assert_string_equal(text, "a token");
}

static void removal_takes_all_and_may_be_repeated(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    char path[PATH_SIZE];
    make(world);
    (void)snprintf(path, sizeof path, "%s/agents/%s/agent.sock", world->run_dir, id32);
    assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
    assert_true(agent_dir_remove(&world->dirs, sandbox, &err));
    assert_int_equal(look_at_dir(world, "agents", "").st_mode, 0);
    assert_int_equal(look_at_dir(world, "locks", "").st_mode, 0);
    assert_true(agent_dir_remove(&world->dirs, sandbox, &err));
}

static void leftovers_of_a_dead_process_are_removed(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/agents/.new-%s", world->run_dir, id32);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/agents/.gone-%s", world->run_dir, id32);
    assert_int_equal(mkdir(path, 0700), 0);
    agent_dirs_close(&world->dirs);
    assert_true(agent_dirs_open(&world->dirs, world->run_dir, getuid(), getgid(), &err));
    (void)snprintf(path, sizeof path, "agents/.new-%s", id32);
    assert_int_equal(look(world, path).st_mode, 0);
    (void)snprintf(path, sizeof path, "agents/.gone-%s", id32);
    assert_int_equal(look(world, path).st_mode, 0);
}

static void directory_that_can_not_be_made_leaves_no_token(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    char path[PATH_SIZE];
    make(world);
    assert_false(agent_dir_make(&world->dirs, sandbox, "another token", &err));
    (void)snprintf(path, sizeof path, "agents/.new-%s", id32);
    assert_int_equal(look(world, path).st_mode, 0);
}

static void link_in_place_of_a_directory_is_not_followed(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/agents/.new-%s", world->run_dir, id32);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_false(agent_dir_make(&world->dirs, sandbox, "a token", &err));
    assert_int_equal(look(world, "agents").st_mode & S_IFMT, S_IFDIR);
}

static void on_visit(const char sandbox_id[ID_SIZE], void *arg)
{
    struct world *world = arg;
    assert_string_equal(sandbox_id, sandbox);
    world->visits++;
}

static void each_directory_and_lock_is_visited(void **state)
{
    struct world *world = *state;
    struct err err = {0};
    make(world);
    assert_true(agent_dirs_each(&world->dirs, on_visit, world, &err));
    assert_int_equal(world->visits, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(directory_token_and_lock_have_their_modes, begin, end),
        cmocka_unit_test_setup_teardown(run_directory_can_be_passed_through_by_strangers, begin,
                                        end),
        cmocka_unit_test_setup_teardown(token_is_what_was_given, begin, end),
        cmocka_unit_test_setup_teardown(removal_takes_all_and_may_be_repeated, begin, end),
        cmocka_unit_test_setup_teardown(leftovers_of_a_dead_process_are_removed, begin, end),
        cmocka_unit_test_setup_teardown(directory_that_can_not_be_made_leaves_no_token, begin, end),
        cmocka_unit_test_setup_teardown(link_in_place_of_a_directory_is_not_followed, begin, end),
        cmocka_unit_test_setup_teardown(each_directory_and_lock_is_visited, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
