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
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK = 64 * 1024, BLOCKS = 64 };

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

static void begin_with(struct fixture *fixture, const char *name, struct agent_upload request)
{
    const struct transfer_file file = {scratch_at(&fixture->scratch, name), &scratch_nobody};
    request.stream_id = PEER_STREAM;
    request.parents = true;
    upload_begin(fixture->transfers, &fixture->peer.reply, &file, &request);
}

static void begin(struct fixture *fixture, const char *name)
{
    begin_with(fixture, name, (struct agent_upload){.has_size = false});
}

static void send_all(struct fixture *fixture, const char *content)
{
    peer_send(&fixture->peer, STREAM_DATA, view_of(content));
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
}

static void expect_done(struct fixture *fixture)
{
    peer_wait_answers(&fixture->peer, 1);
    if (!peer_heard(&fixture->peer, "\"type\":\"uploadResponse\"")) {
        fail_msg("%s", fixture->peer.texts.data);
    }
    assert_false(fixture->peer.fin);
    assert_false(fixture->peer.reset);
}

static void a_file_appears_when_it_is_whole(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "a/b/new");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("first, "));
    peer_send(&fixture->peer, STREAM_DATA, VIEW("second"));
    assert_false(scratch_exists(&fixture->scratch, "a/b/new"));
    assert_int_equal(fixture->peer.answers, 0);
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_done(fixture);
    assert_true(peer_heard(&fixture->peer, "/a/b/new\",\"size\":13,\"created\":true}"));
    scratch_expect(&fixture->scratch, "a/b/new", "first, second");
    struct stat status = scratch_stat(&fixture->scratch, "a/b/new");
    assert_int_equal(status.st_uid, scratch_nobody.uid);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_int_equal(scratch_count(&fixture->scratch, "a/b"), 1);
}

static void an_empty_file_is_a_file(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, "empty");
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "empty", "");
}

static void a_file_of_ones_own_is_replaced_and_keeps_its_mode(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "script", "old", 0750, &scratch_nobody);
    ino_t before = scratch_stat(&fixture->scratch, "script").st_ino;
    begin(fixture, "script");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("new"));
    scratch_expect(&fixture->scratch, "script", "old");
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_done(fixture);
    assert_true(peer_heard(&fixture->peer, "\"created\":false}"));
    scratch_expect(&fixture->scratch, "script", "new");
    struct stat status = scratch_stat(&fixture->scratch, "script");
    assert_true(status.st_ino != before);
    assert_int_equal(status.st_mode & 07777, 0750);
}

static void a_mode_that_is_asked_is_given(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "script", "old", 0600, &scratch_nobody);
    begin_with(fixture, "script", (struct agent_upload){.mode = VIEW("0777")});
    send_all(fixture, "new");
    expect_done(fixture);
    assert_int_equal(scratch_stat(&fixture->scratch, "script").st_mode & 07777, 0777);
}

static void another_owners_file_is_rewritten_only_when_all_is_there(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "others", "root's, and long", 0666, &scratch_root);
    ino_t before = scratch_stat(&fixture->scratch, "others").st_ino;
    begin(fixture, "others");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("sho"));
    scratch_expect(&fixture->scratch, "others", "root's, and long");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("rt"));
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "others", "short");
    struct stat status = scratch_stat(&fixture->scratch, "others");
    assert_int_equal(status.st_uid, 0);
    assert_true(status.st_ino == before);
}

static void a_file_that_is_a_mount_is_rewritten(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "mounted", "old", 0644, &scratch_nobody);
    scratch_file(&fixture->scratch, "source", "source", 0644, &scratch_nobody);
    const char *mounted = scratch_at(&fixture->scratch, "mounted");
    if (mount(scratch_at(&fixture->scratch, "source"), mounted, NULL, MS_BIND, NULL) != 0) {
        skip(); /* not allowed here */
    }
    begin(fixture, "mounted");
    send_all(fixture, "new");
    peer_wait_answers(&fixture->peer, 1);
    assert_int_equal(umount2(scratch_at(&fixture->scratch, "mounted"), MNT_DETACH), 0);
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "source", "new");
}

static void expect_nothing_left(struct fixture *fixture)
{
    scratch_expect(&fixture->scratch, "file", "old");
    assert_int_equal(scratch_count(&fixture->scratch, ""), 1);
}

static void every_other_way_out_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "file", "old", 0644, &scratch_nobody);
    begin(fixture, "file");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("half"));
    assert_int_equal(scratch_count(&fixture->scratch, ""), 2);
    peer_send(&fixture->peer, STREAM_RESET, VIEW(""));
    expect_nothing_left(fixture);
    begin(fixture, "file");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("half"));
    streams_on_lost(fixture->peer.streams);
    expect_nothing_left(fixture);
}

static void a_size_that_does_not_hold_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "file", "old", 0644, &scratch_nobody);
    begin_with(fixture, "file", (struct agent_upload){.has_size = true, .size = 4});
    peer_send(&fixture->peer, STREAM_DATA, VIEW("12345"));
    peer_expect_error(&fixture->peer, "size_mismatch");
    peer_forget_texts(&fixture->peer);
    begin_with(fixture, "file", (struct agent_upload){.has_size = true, .size = 4});
    send_all(fixture, "123");
    peer_expect_error(&fixture->peer, "size_mismatch");
    expect_nothing_left(fixture);
    peer_forget_texts(&fixture->peer);
    begin_with(fixture, "file", (struct agent_upload){.has_size = true, .size = 4});
    send_all(fixture, "1234");
    expect_done(fixture);
}

static void what_can_not_be_written_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name;
        const char *code;
    } cases[] = {
        {"closed/x", "permission_denied"}, {"readonly", "permission_denied"},
        {"dir", "is_a_directory"},         {"fifo", "not_a_file"},
        {"readonly/x", "not_a_directory"}, {"new/", "is_a_directory"},
    };
    scratch_folder(&fixture->scratch, "closed", 0755, &scratch_root);
    scratch_folder(&fixture->scratch, "dir", 0777, &scratch_root);
    scratch_file(&fixture->scratch, "readonly", "mine", 0444, &scratch_nobody);
    assert_int_equal(mkfifo(scratch_at(&fixture->scratch, "fifo"), 0666), 0);
    assert_int_equal(chmod(scratch_at(&fixture->scratch, "fifo"), 0666), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_forget_texts(&fixture->peer);
        begin(fixture, cases[i].name);
        peer_expect_error(&fixture->peer, cases[i].code);
    }
    /* The stream is over: what still comes is answered with a reset. */
    peer_send(&fixture->peer, STREAM_DATA, VIEW("late"));
    assert_true(fixture->peer.reset);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    struct fixture *fixture = *state;
    static char block[BLOCK];
    scratch_folder(&fixture->scratch, "small", 0777, &scratch_nobody);
    const char *small = scratch_at(&fixture->scratch, "small");
    if (mount("none", small, "tmpfs", 0, "size=64k,mode=777") != 0) {
        skip(); /* not allowed here */
    }
    scratch_file(&fixture->scratch, "small/file", "old", 0644, &scratch_nobody);
    begin(fixture, "small/file");
    peer_send(&fixture->peer, STREAM_DATA, (struct view){block, sizeof block});
    peer_expect_error(&fixture->peer, "no_space");
    scratch_expect(&fixture->scratch, "small/file", "old");
    assert_int_equal(scratch_count(&fixture->scratch, "small"), 1);
    assert_int_equal(umount(scratch_at(&fixture->scratch, "small")), 0);
}

static void credit_comes_back_for_what_is_written(void **state)
{
    struct fixture *fixture = *state;
    static char block[BLOCK];
    begin(fixture, "big");
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_true(i * BLOCK < STREAM_WINDOW_INITIAL + fixture->peer.granted);
        peer_send(&fixture->peer, STREAM_DATA, (struct view){block, sizeof block});
    }
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_done(fixture);
    assert_int_equal(scratch_stat(&fixture->scratch, "big").st_size, BLOCK * BLOCKS);
}

static void with_sync_it_is_answered_behind_the_disk(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "others", "old", 0666, &scratch_root);
    begin_with(fixture, "synced", (struct agent_upload){.sync = true});
    send_all(fixture, "content");
    assert_int_equal(fixture->peer.answers, 0);
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "synced", "content");
    peer_forget_texts(&fixture->peer);
    begin_with(fixture, "others", (struct agent_upload){.sync = true});
    send_all(fixture, "new");
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "others", "new");
}

static void a_sync_may_outlive_its_stream(void **state)
{
    struct fixture *fixture = *state;
    begin_with(fixture, "synced", (struct agent_upload){.sync = true});
    send_all(fixture, "content");
    streams_on_lost(fixture->peer.streams);
    expect_done(fixture);
    scratch_expect(&fixture->scratch, "synced", "content");
    /* And its end comes while it waits for the disk. */
    begin_with(fixture, "again", (struct agent_upload){.sync = true});
    send_all(fixture, "content");
}

#define UPLOAD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPLOAD_TEST(a_file_appears_when_it_is_whole),
        UPLOAD_TEST(an_empty_file_is_a_file),
        UPLOAD_TEST(a_file_of_ones_own_is_replaced_and_keeps_its_mode),
        UPLOAD_TEST(a_mode_that_is_asked_is_given),
        UPLOAD_TEST(another_owners_file_is_rewritten_only_when_all_is_there),
        UPLOAD_TEST(a_file_that_is_a_mount_is_rewritten),
        UPLOAD_TEST(every_other_way_out_leaves_nothing_behind),
        UPLOAD_TEST(a_size_that_does_not_hold_is_an_error),
        UPLOAD_TEST(what_can_not_be_written_is_told_at_once),
        UPLOAD_TEST(a_full_disk_leaves_the_old_file),
        UPLOAD_TEST(credit_comes_back_for_what_is_written),
        UPLOAD_TEST(with_sync_it_is_answered_behind_the_disk),
        UPLOAD_TEST(a_sync_may_outlive_its_stream),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
