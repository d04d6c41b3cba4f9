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

enum { QUIET_MS = 60, LOG_SIZE = 4096, STORM = 40000 };

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

/* Every event since the last call as " event:path<from", modify and attrib only when asked. */
static const char *events(struct fixture *fixture, bool with_changes)
{
    turn_for(fixture->peer.loop, QUIET_MS);
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
    peer_forget_texts(&fixture->peer);
    return fixture->log;
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
    assert_string_equal(events(fixture, true), " create:file modify:file attrib:file");
    mv(fixture, "file", "other");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "other")), 0);
    put(fixture, "sub/file");
    dir(fixture, "new");
    put(fixture, "new/file");
    assert_string_equal(events(fixture, false), " move:other<file remove:other create:new");
}

static void folders_below_are_watched_too(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "a");
    dir(fixture, "a/b");
    watch(fixture, "", true);
    put(fixture, "a/b/file");
    assert_string_equal(events(fixture, false), " create:a/b/file");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "a/b/file")), 0);
    assert_int_equal(rmdir(scratch_at(&fixture->scratch, "a/b")), 0);
    assert_string_equal(events(fixture, false), " remove:a/b/file remove:a/b");
    dir(fixture, "a/b");
    put(fixture, "a/b/again");
    assert_string_equal(events(fixture, false), " create:a/b create:a/b/again");
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
    const char *told = events(fixture, false);
    assert_non_null(strstr(told, " create:new "));
    assert_non_null(strstr(told, " create:new/before"));
    assert_non_null(strstr(told, " create:new/deep "));
    assert_non_null(strstr(told, " create:new/deep/before"));
    /* While the loop turns, so that some is found and some is told by the kernel. */
    dir(fixture, "busy");
    for (int i = 0; i < 500; i++) {
        (void)snprintf(name, sizeof name, "busy/%d", i);
        put(fixture, name);
        (void)event_base_loop(loop_base(fixture->peer.loop), EVLOOP_NONBLOCK);
    }
    turn_for(fixture->peer.loop, QUIET_MS);
    size_t count = 0;
    for (const char *at = fixture->peer.texts.data;
         (at = strstr(at, "\"event\":\"create\"")) != NULL; at++) {
        count++;
    }
    assert_int_equal(count, 501);
    peer_forget_texts(&fixture->peer);
    /* Made again, it is told again. */
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "busy/1")), 0);
    put(fixture, "busy/1");
    assert_string_equal(events(fixture, false), " remove:busy/1 create:busy/1");
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
    assert_string_equal(events(fixture, false), " move:b/moved<a/sub create:b/moved/file");
    mv(fixture, "b", "c");
    put(fixture, "c/moved/second");
    assert_string_equal(events(fixture, false), " move:c<b create:c/moved/second");
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
    assert_string_equal(events(fixture, false), " create:watched/in create:watched/in/file");
    mv(fixture, "watched/out", "out");
    assert_string_equal(events(fixture, false), " remove:watched/out");
    put(fixture, "out/unseen");
    assert_string_equal(events(fixture, false), "");
}

static void uploads_are_told_when_they_take_their_place(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    put(fixture, ".insien-0123456789abcdef.tmp");
    mv(fixture, ".insien-0123456789abcdef.tmp", "uploaded");
    put(fixture, ".insien-other");
    assert_string_equal(events(fixture, false), " create:uploaded create:.insien-other");
}

static void one_file_can_be_watched(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "file");
    watch(fixture, "file", true);
    assert_int_equal(truncate(scratch_at(&fixture->scratch, "file"), 0), 0);
    assert_string_equal(events(fixture, true), " modify:file");
    assert_int_equal(unlink(scratch_at(&fixture->scratch, "file")), 0);
    peer_wait_reset(&fixture->peer, "file_not_found");
    assert_string_equal(events(fixture, false), " remove:file");
}

static void the_end_of_the_folder_itself_is_told(void **state)
{
    struct fixture *fixture = *state;
    dir(fixture, "watched");
    watch(fixture, "watched", true);
    assert_int_equal(rmdir(scratch_at(&fixture->scratch, "watched")), 0);
    peer_wait_reset(&fixture->peer, "file_not_found");
    assert_string_equal(events(fixture, false), " remove:watched");
}

static void while_the_connection_is_behind_events_wait(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    fixture->peer.congested = true;
    dir(fixture, "new");
    put(fixture, "new/file");
    assert_string_equal(events(fixture, false), "");
    fixture->peer.congested = false;
    streams_on_drained(fixture->peer.streams);
    assert_string_equal(events(fixture, false), " create:new create:new/file");
}

static void what_the_kernel_could_not_keep_is_told_as_one_overflow(void **state)
{
    struct fixture *fixture = *state;
    watch(fixture, "", true);
    put(fixture, "a");
    put(fixture, "b");
    (void)events(fixture, false);
    fixture->peer.congested = true;
    for (int i = 0; i < STORM; i++) {
        assert_int_equal(truncate(scratch_at(&fixture->scratch, i % 2 == 0 ? "a" : "b"), 0), 0);
    }
    dir(fixture, "unseen");
    turn_for(fixture->peer.loop, QUIET_MS);
    fixture->peer.congested = false;
    streams_on_drained(fixture->peer.streams);
    peer_wait_text(&fixture->peer, "\"event\":\"overflow\"");
    (void)events(fixture, false);
    put(fixture, "unseen/file");
    assert_string_equal(events(fixture, false), " create:unseen/file");
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
    assert_string_equal(events(fixture, false), "");
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
    assert_string_equal(events(fixture, false), "");
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
    assert_string_equal(events(fixture, false), "");
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
