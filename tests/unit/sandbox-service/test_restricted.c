/* sandbox-service/network/restricted.c beside an engine that takes calls and answers none. The
 * kernel's table is one of a network namespace of the test's own. */
#include "sandbox-service/network/restricted.h"

#include "sandbox-service/network/command.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NFT "/usr/sbin/nft"
#define TABLE "insien_hung"
enum { NFT_TIMEOUT_MS = 20000, OUTPUT_MAX = 64 * 1024 };

static bool is_apart; /* it has the namespace */

struct fixture {
    struct loop *loop;
    struct docker *docker;
    struct sandbox_config config;
    struct rules open;
    struct restricted *restricted;
    int engine;
};

static bool nft(const char *act)
{
    const char *const argv[] = {NFT, act, "table", "inet", TABLE, NULL};
    struct str output = STR_INIT(OUTPUT_MAX);
    struct err err = {0};
    int status = -1;
    bool ok = command_run(argv, (struct view){0}, NFT_TIMEOUT_MS, &output, &status, &err);
    str_free(&output);
    return ok && status == 0;
}

static bool has_table(void *arg)
{
    (void)arg;
    return nft("list");
}

static void on_available(void *arg)
{
    (void)arg;
    fail_msg("nobody has told of the bridge");
}

static int listen_silently(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    (void)snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    (void)unlink(path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, SOMAXCONN), 0);
    return fd;
}

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    (void)snprintf(path, sizeof path, "/tmp/insien-test-restricted-%d", (int)getpid());
    fixture.loop = loop_new(&err);
    assert_non_null(fixture.loop);
    fixture.engine = listen_silently(path);
    fixture.docker = docker_open(fixture.loop, path, 4, NULL, NULL, &err);
    assert_non_null(fixture.docker);
    (void)snprintf(fixture.config.instance, sizeof fixture.config.instance, "hung");
    (void)snprintf(fixture.config.restricted_subnet, sizeof fixture.config.restricted_subnet,
                   "10.200.16.0/20");
    rules_name(&fixture.open, "hung");
    assert_true(cidr_parse(VIEW("10.200.0.0/20"), &fixture.open.subnet));
    const struct restricted_options options = {.loop = fixture.loop,
                                               .docker = fixture.docker,
                                               .config = &fixture.config,
                                               .open = &fixture.open,
                                               .on_available = on_available};
    fixture.restricted = restricted_new(&options, &err);
    assert_non_null(fixture.restricted);
    (void)unlink(path);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    restricted_stop(fixture->restricted);
    (void)docker_fail_all(fixture->docker);
    restricted_free(fixture->restricted);
    docker_close(fixture->docker);
    (void)close(fixture->engine);
    loop_free(fixture->loop);
    return 0;
}

static void table_is_put_back_while_the_engine_hangs(void **state)
{
    struct fixture *fixture = *state;
    if (!is_apart || !nft("add") || !nft("delete")) {
        skip(); /* not root, or no nftables */
    }
    restricted_check(fixture->restricted);
    turn_until_true(fixture->loop, has_table, NULL);
    assert_true(nft("delete"));
    turn_until_true(fixture->loop, has_table, NULL);
    assert_false(restricted_is_available(fixture->restricted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(table_is_put_back_while_the_engine_hangs, set_up,
                                        tear_down),
    };
    is_apart = unshare(CLONE_NEWNET) == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
