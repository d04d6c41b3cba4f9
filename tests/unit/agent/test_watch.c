/* Real folders and the kernel's events. Takes root. */
#include "sandbox-service/agent/watch.h"
#include "tests/support/turn.h"
#include "tests/unit/agent/peer.h"
#include "tests/unit/agent/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUIET_MS = 60, LOG_SIZE = 4096, MANY = 500, STORM = 40000 };

struct fixture {
    struct peer peer;
    struct watches *watches;
    struct scratch scratch;
    char log[LOG_SIZE];
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    peer_open(&fixture.peer);
    scratch_open(&fixture.scratch);
    fixture.watches = watches_new(fixture.peer.chores, fixture.peer.streams, &err);
    assert_non_null(fixture.watches);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    peer_close_streams(&fixture->peer);
    chores_free(fixture->peer.chores);
    fixture->peer.chores = NULL;
    watches_free(fixture->watches);
    peer_close(&fixture->peer);
    scratch_close(&fixture->scratch);
    return 0;
}

static void begin(struct fixture *fixture, const char *name, bool recursive)
{
    const struct agent_watch request = {.stream_id = PEER_STREAM, .recursive = recursive};
    watch_begin(fixture->watches, &fixture->peer.reply, scratch_at(&fixture->scratch, name),
                &scratch_nobody, &request);
}

static void watch(struct fixture *fixture, const char *name, bool recursive)
{
    begin(fixture, name, recursive);
    peer_wait_answers(&fixture->peer, 1);
    assert_true(peer_heard(&fixture->peer, "\"type\":\"watchResponse\",\"streamId\":7,"));
    peer_forget_texts(&fixture->peer);
}

/* What a member says in the line of an event, without the scratch folder. */
static void append_member(struct fixture *fixture, const char *line, const char *member, char mark)
{
    const char *end = strchr(line, '\n');
    const char *at = strstr(line, member);
    size_t len = strlen(fixture->log);
    if (at == NULL || at > end) {
        return;
    }
    at += strlen(member);
    const char *folder = strstr(at, fixture->scratch.folder);
    if (folder == at) {
        at += strlen(fixture->scratch.folder);
        at += *at == '/' ? 1 : 0;
    }
    (void)snprintf(fixture->log + len, LOG_SIZE - len, "%c%.*s", mark, (int)strcspn(at, "\""), at);
}

/* Every event that came as " event:path<from", modify and attrib only when asked. */
static const char *told(struct fixture *fixture, bool with_changes)
{
    fixture->log[0] = '\0';
    const char *line = fixture->peer.texts.len > 0 ? fixture->peer.texts.data : "";
    for (; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t len = strcspn(line, "\n");
        bool is_change = memmem(line, len, "\"event\":\"modify\"", 16) != NULL ||
                         memmem(line, len, "\"event\":\"attrib\"", 16) != NULL;
        if (is_change && !with_changes) {
            continue;
        }
        append_member(fixture, line, "\"event\":\"", ' ');
        append_member(fixture, line, "\"path\":\"", ':');
        append_member(fixture, line, "\"from\":\"", '<');
    }
    return fixture->log;
}

struct wish {
    struct fixture *fixture;
    bool with_changes;
    size_t len;
};

static bool is_told(void *arg)
{
    const struct wish *wish = arg;
    return strlen(told(wish->fixture, wish->with_changes)) >= wish->len;
}

/* What came since the last call, when it is as much as is expected and no more comes. */
static const char *settled(struct fixture *fixture, const char *expected, bool with_changes)
{
    struct wish wish = {fixture, with_changes, strlen(expected)};
    turn_until_true(fixture->peer.loop, is_told, &wish);
    turn_for(fixture->peer.loop, QUIET_MS);
    (void)told(fixture, with_changes);
    peer_forget_texts(&fixture->peer);
    return fixture->log;
}

static void expect_events(struct fixture *fixture, const char *expected)
{
    assert_string_equal(settled(fixture, expected, false), expected);
}

static void expect_events_and_changes(struct fixture *fixture, const char *expected)
{
    assert_string_equal(settled(fixture, expected, true), expected);
}

static void put(struct fixture *fixture, const char *name)
{
    scratch_file(&fixture->scratch, name, "x", 0644, &scratch_nobody);
}

static void dir(struct fixture *fixture, const char *name)
{
    scratch_folder(&fixture->scratch, name, 0755, &scratch_nobody);
}

static void mv(struct fixture *fixture, const char *from, const char *to)
{
    assert_int_equal(rename(scratch_at(&fixture->scratch, from), scratch_at(&fixture->scratch, to)),
                     0);
}

static void changes_of_one_folder_are_told(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "sub");
    watch(fixture, "", false);
    put(fixture, "file");
    expect_events_and_changes(fixture, " create:file modify:file attrib:file");
    mv(fixture, "file", "other");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "other")), 0);
    put(fixture, "sub/file");
    dir(fixture, "new");
    put(fixture, "new/file");
    expect_events(fixture, " move:other<file remove:other create:new");
}

static void folders_below_are_watched_too(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "a");
    dir(fixture, "a/b");
    watch(fixture, "", true);
    put(fixture, "a/b/file");
    expect_events(fixture, " create:a/b/file");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "a/b/file")), 0);
    assert_int_equal(rmdir(scratch_at(&fixture->scratch, "a/b")), 0);
    expect_events(fixture, " remove:a/b/file remove:a/b");
    dir(fixture, "a/b");
    put(fixture, "a/b/again");
    expect_events(fixture, " create:a/b create:a/b/again");
}

static size_t count_created(const struct fixture *fixture)
{
    size_t count = 0;
    const char *at = fixture->peer.texts.len > 0 ? fixture->peer.texts.data : "";
    for (; (at = strstr(at, "\"event\":\"create\"")) != NULL; at++) {
        count++;
    }
    return count;
}

static bool has_created_all(void *arg)
{
    return count_created(arg) > MANY;
}

static void what_appears_with_a_new_folder_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    watch(fixture, "", true);
    dir(fixture, "new");
    put(fixture, "new/before");
    dir(fixture, "new/deep");
    put(fixture, "new/deep/before");
    const char *found = settled(
        fixture, " create:new create:new/before create:new/deep create:new/deep/before", false);
    assert_non_null(strstr(found, " create:new "));
    assert_non_null(strstr(found, " create:new/before"));
    assert_non_null(strstr(found, " create:new/deep "));
    assert_non_null(strstr(found, " create:new/deep/before"));
    /* While the loop turns, so that some is found and some is told by the kernel. */
    dir(fixture, "busy");
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "busy/%d", i);
        put(fixture, name);
        (void)event_base_loop(loop_base(fixture->peer.loop), EVLOOP_NONBLOCK);
    }
    turn_until_true(fixture->peer.loop, has_created_all, fixture);
    turn_for(fixture->peer.loop, QUIET_MS);
    assert_int_equal(count_created(fixture), 1 + MANY);
    peer_forget_texts(&fixture->peer);
    /* Made again, it is told again. */
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "busy/1")), 0);
    put(fixture, "busy/1");
    expect_events(fixture, " remove:busy/1 create:busy/1");
}

static void a_folder_that_is_moved_keeps_being_watched(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "a");
    dir(fixture, "a/sub");
    dir(fixture, "b");
    watch(fixture, "", true);
    mv(fixture, "a/sub", "b/moved");
    put(fixture, "b/moved/file");
    expect_events(fixture, " move:b/moved<a/sub create:b/moved/file");
    mv(fixture, "b", "c");
    put(fixture, "c/moved/second");
    expect_events(fixture, " move:c<b create:c/moved/second");
}

static void what_is_moved_in_or_out_is_created_or_removed(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "watched");
    dir(fixture, "watched/out");
    dir(fixture, "in");
    put(fixture, "in/file");
    watch(fixture, "watched", true);
    mv(fixture, "in", "watched/in");
    expect_events(fixture, " create:watched/in create:watched/in/file");
    mv(fixture, "watched/out", "out");
    expect_events(fixture, " remove:watched/out");
    put(fixture, "out/unseen");
    expect_events(fixture, "");
}

static void uploads_are_told_when_they_take_their_place(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    put(fixture, ".insien-0123456789abcdef.tmp");
    mv(fixture, ".insien-0123456789abcdef.tmp", "uploaded");
    put(fixture, ".insien-other");
    expect_events(fixture, " create:uploaded create:.insien-other");
}

static void one_file_can_be_watched(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "file");
    watch(fixture, "file", true);
    assert_int_equal(truncate(scratch_at(&fixture->scratch, "file"), 0), 0);
    expect_events_and_changes(fixture, " modify:file");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "file")), 0);
    peer_wait_reset(&fixture->peer, "file_not_found");
    expect_events(fixture, " remove:file");
}

static void the_end_of_the_folder_itself_is_told(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "watched");
    watch(fixture, "watched", true);
    assert_int_equal(rmdir(scratch_at(&fixture->scratch, "watched")), 0);
    peer_wait_reset(&fixture->peer, "file_not_found");
    expect_events(fixture, " remove:watched");
}

static void while_the_connection_is_behind_events_wait(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    fixture->peer.congested = true;
    dir(fixture, "new");
    put(fixture, "new/file");
    expect_events(fixture, "");
    fixture->peer.congested = false;
    streams_on_drained(fixture->peer.streams);
    expect_events(fixture, " create:new create:new/file");
}

static void what_the_kernel_could_not_keep_is_told_as_one_overflow(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    put(fixture, "a");
    put(fixture, "b");
    expect_events(fixture, " create:a create:b");
    fixture->peer.congested = true;
    for (int i = 0; i < STORM; i++) {
        assert_int_equal(truncate(scratch_at(&fixture->scratch, i % 2 == 0 ? "a" : "b"), 0), 0);
    }
    dir(fixture, "unseen");
    turn_for(fixture->peer.loop, QUIET_MS);
    fixture->peer.congested = false;
    streams_on_drained(fixture->peer.streams);
    peer_wait_text(&fixture->peer, "\"event\":\"overflow\"");
    turn_for(fixture->peer.loop, QUIET_MS);
    peer_forget_texts(&fixture->peer);
    put(fixture, "unseen/file");
    expect_events(fixture, " create:unseen/file");
}

static void what_can_not_be_watched_is_told(void **state)
{
    struct fixture *fixture = *state;
    scratch_folder(&fixture->scratch, "closed", 0700, &scratch_root);
    begin(fixture, "none", true);
    peer_expect_error(&fixture->peer, "file_not_found");
    begin(fixture, "closed", true);
    peer_expect_error(&fixture->peer, "permission_denied");
    peer_forget_texts(&fixture->peer);
    watch(fixture, "", true); /* without the closed one */
    begin(fixture, "", true);
    peer_expect_error(&fixture->peer, "stream_in_use");
    scratch_file(&fixture->scratch, "closed/secret", "", 0644, &scratch_root);
    peer_forget_texts(&fixture->peer);
    expect_events(fixture, "");
}

static void too_many_folders_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char name[32];
    for (int i = 0; i < WATCH_FOLDERS_MAX; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        dir(fixture, name);
    }
    begin(fixture, "", true);
    peer_wait_answers(&fixture->peer, 1);
    peer_expect_error(&fixture->peer, "too_many_folders");
    peer_forget_texts(&fixture->peer);
    assert_int_equal(rmdir(scratch_at(&fixture->scratch, "0")), 0);
    watch(fixture, "", true);
    dir(fixture, "0");
    peer_wait_reset(&fixture->peer, "too_many_folders");
}

static void unwatch_ends_it(void **state)
{
    struct fixture *fixture = *state;
    const struct agent_unwatch request = {.stream_id = PEER_STREAM};
    watch_end(fixture->watches, &fixture->peer.reply, &request);
    peer_expect_error(&fixture->peer, "watch_not_found");
    peer_forget_texts(&fixture->peer);
    watch(fixture, "", true);
    watch_end(fixture->watches, &fixture->peer.reply, &request);
    assert_true(peer_heard(&fixture->peer, "\"type\":\"unwatchResponse\",\"streamId\":7}"));
    assert_true(fixture->peer.reset);
    assert_string_equal(fixture->peer.code, "");
    peer_forget_texts(&fixture->peer);
    put(fixture, "file");
    expect_events(fixture, "");
}

static void a_reset_and_the_loss_of_the_connection_end_it(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    peer_send(&fixture->peer, STREAM_RESET, VIEW(""));
    watch(fixture, "", true);
    streams_on_lost(fixture->peer.streams);
    begin(fixture, "", true);
    peer_send(&fixture->peer, STREAM_RESET, VIEW(""));
    peer_expect_error(&fixture->peer, "stream_closed");
    put(fixture, "file");
    peer_forget_texts(&fixture->peer);
    expect_events(fixture, "");
}

#define WATCH_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(changes_of_one_folder_are_told),
        WATCH_TEST(folders_below_are_watched_too),
        WATCH_TEST(what_appears_with_a_new_folder_is_told_once),
        WATCH_TEST(a_folder_that_is_moved_keeps_being_watched),
        WATCH_TEST(what_is_moved_in_or_out_is_created_or_removed),
        WATCH_TEST(uploads_are_told_when_they_take_their_place),
        WATCH_TEST(one_file_can_be_watched),
        WATCH_TEST(the_end_of_the_folder_itself_is_told),
        WATCH_TEST(while_the_connection_is_behind_events_wait),
        WATCH_TEST(what_the_kernel_could_not_keep_is_told_as_one_overflow),
        WATCH_TEST(what_can_not_be_watched_is_told),
        WATCH_TEST(too_many_folders_are_refused),
        WATCH_TEST(unwatch_ends_it),
        WATCH_TEST(a_reset_and_the_loss_of_the_connection_end_it),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
