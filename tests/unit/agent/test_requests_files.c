/* The requests about files and ports as the gateway sends them; what they do is real. Takes root.
 */
#include "sandbox-service/agent/dial.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/transfer.h"
#include "sandbox-service/agent/tree.h"
#include "sandbox-service/agent/watch.h"
#include "tests/support/turn.h"
#include "tests/unit/agent/peer.h"
#include "tests/unit/agent/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_SIZE = 1024 };

struct fixture {
    struct peer peer;
    struct scratch scratch;
    struct settings settings;
    struct requests requests;
};

static bool set_token(void *arg, struct view token)
{
    (void)arg;
    (void)token;
    return true;
}

static void ask(struct fixture *fixture, const char *text)
{
    peer_forget_texts(&fixture->peer);
    requests_handle(&fixture->requests, PEER_EPOCH, view_of(text));
}

/* members: behind id and type; @ in it is the scratch folder. */
static void ask_of(struct fixture *fixture, const char *type, const char *members)
{
    char text[TEXT_SIZE];
    int len = snprintf(text, sizeof text, "{\"id\":\"q\",\"type\":\"%s\",", type);
    const char *folder = fixture->scratch.folder;
    for (const char *at = members; *at != '\0'; at++) {
        if (*at == '@') {
            len += snprintf(text + len, sizeof text - (size_t)len, "%s", folder);
        } else {
            text[len++] = *at;
        }
    }
    (void)snprintf(text + len, sizeof text - (size_t)len, "}");
    ask(fixture, text);
}

static void expect_answer(struct fixture *fixture, const char *part)
{
    peer_wait_answers(&fixture->peer, 1);
    if (!peer_heard(&fixture->peer, part)) {
        fail_msg("not %s: %s", part, fixture->peer.texts.data);
    }
}

static int set_up(void **state)
{
    static struct fixture fixture;
    static char path[] = "PATH=/usr/bin:/bin";
    static char *const entries[] = {path, NULL};
    struct err err;
    struct peer *peer = &fixture.peer;
    peer_open(peer);
    scratch_open(&fixture.scratch);
    assert_true(settings_open(&fixture.settings, entries, &err));
    fixture.requests = (struct requests){
        .settings = &fixture.settings,
        .streams = peer->streams,
        .dials = dials_new(peer->loop, peer->streams, &err),
        .transfers = transfers_new(peer->chores, peer->streams, &err),
        .trees = trees_new(peer->chores, &err),
        .watches = watches_new(peer->chores, peer->streams, &err),
        .send = peer->reply.send,
        .set_token = set_token,
        .arg = peer,
    };
    *state = &fixture;
    return 0;
}

static void configure(struct fixture *fixture)
{
    ask(fixture, "{\"id\":\"c\",\"type\":\"configure\",\"token\":\"t\",\"env\":{},"
                 "\"profile\":\"sudo\",\"workDir\":\"/tmp\",\"user\":\"nobody\"}");
    expect_answer(fixture, "configureResponse");
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    peer_close_streams(&fixture->peer);
    chores_free(fixture->peer.chores);
    fixture->peer.chores = NULL;
    dials_free(fixture->requests.dials);
    transfers_free(fixture->requests.transfers);
    trees_free(fixture->requests.trees);
    watches_free(fixture->requests.watches);
    settings_close(&fixture->settings);
    peer_close(&fixture->peer);
    scratch_close(&fixture->scratch);
    return 0;
}

static void nothing_is_done_before_configure(void **state)
{
    struct fixture *fixture = *state;
    static const char *const types[] = {"list",   "stat",     "mkdir", "rename",  "copy", "remove",
                                        "upload", "download", "watch", "unwatch", "dial"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ask_of(fixture, types[i], "\"path\":\"@/x\"");
        peer_expect_error(&fixture->peer, "not_configured");
    }
}

static void what_breaks_the_schema_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const char *const types[] = {"list",   "stat",     "mkdir", "rename",  "copy", "remove",
                                        "upload", "download", "watch", "unwatch", "dial"};
    configure(fixture);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ask_of(fixture, types[i], "\"path\":1,\"streamId\":\"1\"");
        assert_true(peer_heard(&fixture->peer, "\"type\":\"error\""));
        ask_of(fixture, types[i], "\"streamId\":1,\"port\":1,\"to\":\"x\",\"path\":\"\"");
        if (i < 9) {
            peer_expect_error(&fixture->peer, "invalid_path");
        }
    }
}

static void files_are_made_told_moved_and_removed(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    ask_of(fixture, "mkdir", "\"path\":\"@/a/b\",\"user\":\"nobody\",\"mode\":\"0700\"");
    expect_answer(fixture, "\"type\":\"mkdirResponse\",\"path\":\"/tmp/insien-test-");
    assert_int_equal(scratch_stat(&fixture->scratch, "a/b").st_mode & 07777, 0700);
    assert_int_equal(scratch_stat(&fixture->scratch, "a").st_mode & 07777, 0755);
    assert_int_equal(scratch_stat(&fixture->scratch, "a/b").st_uid, USER_NOBODY);
    ask_of(fixture, "mkdir", "\"path\":\"@/a/b/\"");
    expect_answer(fixture, "mkdirResponse");
    ask_of(fixture, "mkdir", "\"path\":\"@/a/b\",\"parents\":false");
    peer_expect_error(&fixture->peer, "file_exists");
    ask_of(fixture, "mkdir", "\"path\":\"@/x/y\",\"parents\":false");
    peer_expect_error(&fixture->peer, "file_not_found");
    ask_of(fixture, "list", "\"path\":\"@\",\"depth\":2,\"user\":\"nobody\"");
    expect_answer(fixture, "\"name\":\"b\",\"type\":\"directory\"");
    ask_of(fixture, "rename", "\"path\":\"@/a\",\"to\":\"@/c\",\"user\":\"nobody\"");
    expect_answer(fixture, "\"type\":\"renameResponse\"");
    ask_of(fixture, "copy",
           "\"path\":\"@/c\",\"to\":\"@/d\",\"recursive\":true,\"user\":\"nobody\"");
    expect_answer(fixture, "\"type\":\"copyResponse\"");
    ask_of(fixture, "remove", "\"path\":\"@/c\",\"recursive\":true,\"user\":\"nobody\"");
    expect_answer(fixture, "\"type\":\"removeResponse\"");
    assert_int_equal(scratch_count(&fixture->scratch, ""), 1);
}

static void a_link_is_told_as_itself_or_as_what_it_leads_to(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    scratch_file(&fixture->scratch, "file", "abc", 0644, &scratch_nobody);
    assert_int_equal(symlink("file", scratch_at(&fixture->scratch, "link")), 0);
    ask_of(fixture, "stat", "\"path\":\"@/link\"");
    expect_answer(fixture, "\"name\":\"link\",\"type\":\"file\",\"size\":3,");
    ask_of(fixture, "stat", "\"path\":\"@/link\",\"follow\":false");
    expect_answer(fixture, "\"type\":\"symlink\",\"size\":4,");
    assert_true(peer_heard(&fixture->peer, "\"target\":\"file\"}}"));
    ask_of(fixture, "stat", "\"path\":\"/proc/self/environ\"");
    peer_expect_error(&fixture->peer, "permission_denied");
    ask_of(fixture, "stat", "\"path\":\"@/none\"");
    peer_expect_error(&fixture->peer, "file_not_found");
}

static void bytes_come_and_go_on_streams(void **state)
{
    struct fixture *fixture = *state;
    configure(fixture);
    ask_of(fixture, "upload", "\"path\":\"@/file\",\"streamId\":7,\"user\":\"nobody\"");
    peer_send(&fixture->peer, STREAM_DATA, VIEW("content"));
    peer_send(&fixture->peer, STREAM_FIN, VIEW(""));
    expect_answer(fixture, "\"type\":\"uploadResponse\"");
    ask_of(fixture, "download", "\"path\":\"@/file\",\"streamId\":7");
    expect_answer(fixture, "\"type\":\"downloadResponse\"");
    assert_int_equal(fixture->peer.data.len, 7);
    assert_true(fixture->peer.fin);
    ask_of(fixture, "watch", "\"path\":\"@\",\"streamId\":7");
    expect_answer(fixture, "\"type\":\"watchResponse\"");
    ask_of(fixture, "unwatch", "\"streamId\":7");
    expect_answer(fixture, "\"type\":\"unwatchResponse\"");
}

static void nobody_is_found_by_a_name_that_there_is_not(void **state)
{
    struct fixture *fixture = *state;
    static const char *const types[] = {"list",   "stat",   "mkdir",    "rename", "copy",
                                        "remove", "upload", "download", "watch"};
    configure(fixture);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        ask_of(fixture, types[i],
               "\"path\":\"@\",\"to\":\"@/x\",\"streamId\":1,\"user\":\"no-such\"");
        peer_expect_error(&fixture->peer, "user_not_found");
    }
}

#define REQUEST_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(nothing_is_done_before_configure),
        REQUEST_TEST(what_breaks_the_schema_is_told),
        REQUEST_TEST(files_are_made_told_moved_and_removed),
        REQUEST_TEST(a_link_is_told_as_itself_or_as_what_it_leads_to),
        REQUEST_TEST(bytes_come_and_go_on_streams),
        REQUEST_TEST(nobody_is_found_by_a_name_that_there_is_not),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
