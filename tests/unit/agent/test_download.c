/* With the rights of nobody: takes root. */
#include "sandbox-service/agent/transfer.h"
#include "tests/support/turn.h"
#include "tests/unit/agent/peer.h"
#include "tests/unit/agent/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 3 * 1024 * 1024 + 17 };

struct fixture {
    struct peer peer;
    struct transfers *transfers;
    struct scratch scratch;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    peer_open(&fixture.peer);
    scratch_open(&fixture.scratch);
    fixture.transfers = transfers_new(fixture.peer.chores, fixture.peer.streams, &err);
    assert_non_null(fixture.transfers);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    peer_close_streams(&fixture->peer);
    chores_free(fixture->peer.chores);
    fixture->peer.chores = NULL;
    transfers_free(fixture->transfers);
    peer_close(&fixture->peer);
    scratch_close(&fixture->scratch);
    return 0;
}

static void begin_at(struct fixture *fixture, const char *path, struct agent_download request)
{
    const struct transfer_file file = {path, &scratch_nobody};
    request.stream_id = PEER_STREAM;
    fixture->peer.fin = false;
    str_clear(&fixture->peer.data);
    peer_forget_texts(&fixture->peer);
    download_begin(fixture->transfers, &fixture->peer.reply, &file, &request);
}

static void begin(struct fixture *fixture, const char *name)
{
    begin_at(fixture, scratch_at(&fixture->scratch, name), (struct agent_download){.offset = 0});
}

static void expect_data(struct fixture *fixture, const char *content)
{
    peer_wait_fin(&fixture->peer);
    assert_int_equal(fixture->peer.data.len, strlen(content));
    assert_memory_equal(fixture->peer.data.data, content, strlen(content));
}

static void make_big(struct fixture *fixture)
{
    scratch_file(&fixture->scratch, "big", "", 0644, &scratch_nobody);
    int fd = open(scratch_at(&fixture->scratch, "big"), O_WRONLY | O_CLOEXEC);
    for (uint32_t i = 0; i * sizeof i < BIG; i++) {
        size_t left = BIG - i * sizeof i;
        size_t len = left < sizeof i ? left : sizeof i;
        assert_int_equal(write(fd, &i, len), len);
    }
    assert_int_equal(close(fd), 0);
}

static void a_small_file_comes_in_the_same_turn(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "small", "content", 0640, &scratch_nobody);
    begin(fixture, "small");
    assert_true(fixture->peer.fin);
    expect_data(fixture, "content");
    assert_true(peer_heard(&fixture->peer, "\"streamId\":7,"));
    assert_true(peer_heard(&fixture->peer, "\"size\":7,\"offset\":0,\"length\":7,"));
    assert_true(peer_heard(&fixture->peer, "\"mode\":\"0640\"}"));
}

static void an_empty_file_is_just_a_fin(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "empty", "", 0644, &scratch_nobody);
    begin(fixture, "empty");
    expect_data(fixture, "");
}

static void a_part_can_be_asked_for(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        struct agent_download request;
        const char *content;
        const char *told;
    } cases[] = {
        {{.offset = 3}, "3456789", "\"offset\":3,\"length\":7,"},
        {{.offset = 3, .has_length = true, .length = 2}, "34", "\"offset\":3,\"length\":2,"},
        {{.offset = 3, .has_length = true, .length = 0}, "", "\"offset\":3,\"length\":0,"},
        {{.offset = 8, .has_length = true, .length = 99}, "89", "\"offset\":8,\"length\":2,"},
        {{.offset = 1000}, "", "\"size\":10,\"offset\":10,\"length\":0,"},
    };
    scratch_file(&fixture->scratch, "digits", "0123456789", 0644, &scratch_nobody);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin_at(fixture, scratch_at(&fixture->scratch, "digits"), cases[i].request);
        expect_data(fixture, cases[i].content);
        assert_true(peer_heard(&fixture->peer, cases[i].told));
    }
}

static bool has_used_its_credit(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->peer.data.len >= STREAM_WINDOW_INITIAL;
}

static void a_big_file_comes_as_credit_does(void **state)
{
    struct fixture *fixture = *state;
    make_big(fixture);
    begin(fixture, "big");
    turn_until_true(fixture->peer.loop, has_used_its_credit, fixture);
    turn_for(fixture->peer.loop, 20);
    assert_int_equal(fixture->peer.data.len, STREAM_WINDOW_INITIAL);
    peer_wait_fin(&fixture->peer);
    assert_int_equal(fixture->peer.data.len, BIG);
    for (uint32_t i = 0; (i + 1) * sizeof i <= BIG; i++) {
        assert_memory_equal(fixture->peer.data.data + i * sizeof i, &i, sizeof i);
    }
}

static void a_connection_that_is_behind_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    make_big(fixture);
    fixture->peer.congested = true;
    begin(fixture, "big");
    peer_wait_answers(&fixture->peer, 1);
    turn_for(fixture->peer.loop, 10);
    assert_int_equal(fixture->peer.data.len, 0);
    fixture->peer.congested = false;
    streams_on_drained(fixture->peer.streams);
    peer_wait_fin(&fixture->peer);
    assert_int_equal(fixture->peer.data.len, BIG);
}

static void a_file_that_gets_shorter_is_told(void **state)
{
    struct fixture *fixture = *state;
    make_big(fixture);
    begin(fixture, "big");
    assert_int_equal(truncate(scratch_at(&fixture->scratch, "big"), 1000), 0);
    peer_wait_reset(&fixture->peer, "file_changed");
    assert_false(fixture->peer.fin);
}

static void a_file_of_the_kernel_is_read_whole(void **state)
{
    struct fixture *fixture = *state;
    begin_at(fixture, "/proc/version", (struct agent_download){.offset = 0});
    peer_wait_fin(&fixture->peer);
    assert_true(fixture->peer.data.len > 10);
    assert_memory_equal(fixture->peer.data.data, "Linux", 5);
}

static void what_can_not_be_read_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *code;
    } cases[] = {{"none", "file_not_found"},
                 {"secret", "permission_denied"},
                 {"dir", "is_a_directory"},
                 {"fifo", "not_a_file"}};
    scratch_file(&fixture->scratch, "secret", "root's", 0600, &scratch_root);
    scratch_folder(&fixture->scratch, "dir", 0777, &scratch_root);
    assert_int_equal(mkfifo(scratch_at(&fixture->scratch, "fifo"), 0666), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(fixture, cases[i].name);
        peer_expect_error(&fixture->peer, cases[i].code);
    }
    begin_at(fixture, "/proc/self/environ", (struct agent_download){.offset = 0});
    peer_expect_error(&fixture->peer, "permission_denied");
}

static void a_reset_and_the_loss_of_the_connection_end_it(void **state)
{
    struct fixture *fixture = *state;
    make_big(fixture);
    begin(fixture, "big");
    peer_send(&fixture->peer, STREAM_RESET, VIEW(""));
    turn_for(fixture->peer.loop, 5);
    begin(fixture, "big");
    streams_on_lost(fixture->peer.streams);
    turn_for(fixture->peer.loop, 5);
    assert_false(fixture->peer.fin);
}

static void many_go_on_side_by_side(void **state)
{
    struct fixture *fixture = *state;
    make_big(fixture);
    for (uint32_t i = 1; i <= 4; i++) {
        const struct transfer_file file = {scratch_at(&fixture->scratch, "big"), &scratch_nobody};
        const struct agent_download request = {.stream_id = PEER_STREAM + i};
        download_begin(fixture->transfers, &fixture->peer.reply, &file, &request);
    }
    begin(fixture, "big");
    peer_wait_fin(&fixture->peer);
    assert_int_equal(fixture->peer.data.len, BIG);
}

#define DOWNLOAD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DOWNLOAD_TEST(a_small_file_comes_in_the_same_turn),
        DOWNLOAD_TEST(an_empty_file_is_just_a_fin),
        DOWNLOAD_TEST(a_part_can_be_asked_for),
        DOWNLOAD_TEST(a_big_file_comes_as_credit_does),
        DOWNLOAD_TEST(a_connection_that_is_behind_is_waited_for),
        DOWNLOAD_TEST(a_file_that_gets_shorter_is_told),
        DOWNLOAD_TEST(a_file_of_the_kernel_is_read_whole),
        DOWNLOAD_TEST(what_can_not_be_read_is_told),
        DOWNLOAD_TEST(a_reset_and_the_loss_of_the_connection_end_it),
        DOWNLOAD_TEST(many_go_on_side_by_side),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
