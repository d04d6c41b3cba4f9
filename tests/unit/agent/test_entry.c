/* What is told of files and folders. Takes root. */
#include "sandbox-service/agent/entry.h"
#include "sandbox-service/agent/listing.h"
#include "sandbox-service/agent/tree.h"
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

enum { MANY = 1000 };

struct fixture {
    struct peer peer;
    struct trees *trees;
    struct scratch scratch;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    struct err err;
    peer_open(&fixture.peer);
    scratch_open(&fixture.scratch);
    fixture.trees = trees_new(fixture.peer.chores, &err);
    assert_non_null(fixture.trees);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    chores_free(fixture->peer.chores);
    fixture->peer.chores = NULL;
    trees_free(fixture->trees);
    peer_close(&fixture->peer);
    scratch_close(&fixture->scratch);
    return 0;
}

static void list_path(struct fixture *fixture, const char *path, int64_t depth, int64_t limit)
{
    const struct agent_list request = {.depth = depth, .limit = limit};
    peer_forget_texts(&fixture->peer);
    listing_begin(fixture->trees, &fixture->peer.reply, path, &scratch_nobody, &request);
    peer_wait_answers(&fixture->peer, 1);
}

static void list(struct fixture *fixture, const char *name, int64_t depth, int64_t limit)
{
    list_path(fixture, scratch_at(&fixture->scratch, name), depth, limit);
}

/* The names that were told, in order, with a comma behind each. */
static void expect_names(struct fixture *fixture, const char *expected)
{
    static char names[4096];
    size_t len = 0;
    static const char member[] = "\"name\":\"";
    names[0] = '\0';
    for (const char *at = strstr(fixture->peer.texts.data, member); at != NULL;
         at = strstr(at, member)) {
        at += sizeof member - 1;
        len +=
            (size_t)snprintf(names + len, sizeof names - len, "%.*s,", (int)strcspn(at, "\""), at);
    }
    assert_string_equal(names, expected);
}

static void plant(struct fixture *fixture)
{
    scratch_folder(&fixture->scratch, "b", 0755, &scratch_nobody);
    scratch_folder(&fixture->scratch, "b/sub", 0755, &scratch_nobody);
    scratch_file(&fixture->scratch, "b/sub/deep", "", 0644, &scratch_nobody);
    scratch_file(&fixture->scratch, "b/x", "", 0644, &scratch_nobody);
    scratch_file(&fixture->scratch, "a", "content", 0640, &scratch_root);
    assert_int_equal(symlink("b/x", scratch_at(&fixture->scratch, "link")), 0);
}

static void what_a_folder_holds_is_told_in_order(void **state)
{
    struct fixture *fixture = *state;
    char entry[512];
    plant(fixture);
    list(fixture, "", 1, 100);
    expect_names(fixture, "a,b,link,");
    assert_true(peer_heard(&fixture->peer, "\"truncated\":false}"));
    (void)snprintf(
        entry, sizeof entry,
        "{\"path\":\"%s/a\",\"name\":\"a\",\"type\":\"file\",\"size\":7,\"mode\":\"0640\","
        "\"owner\":\"root\",\"group\":\"root\",\"uid\":0,\"gid\":0,\"modifiedAt\":\"20",
        fixture->scratch.folder);
    assert_true(peer_heard(&fixture->peer, entry));
    assert_true(peer_heard(&fixture->peer, "\"type\":\"symlink\",\"size\":3,"));
    assert_true(peer_heard(&fixture->peer, "\"target\":\"b/x\"}"));
}

static void a_slash_at_the_end_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    plant(fixture);
    list(fixture, "b/", 2, 100);
    expect_names(fixture, "sub,deep,x,");
    (void)snprintf(path, sizeof path, "\"path\":\"%s/b\",", fixture->scratch.folder);
    assert_true(peer_heard(&fixture->peer, path));
    (void)snprintf(path, sizeof path, "\"path\":\"%s/b/sub/deep\",", fixture->scratch.folder);
    assert_true(peer_heard(&fixture->peer, path));
}

/* The entries of the last answer, as they were told. */
static struct view told(const struct fixture *fixture)
{
    struct view text = str_view(&fixture->peer.texts);
    const char *begin = strstr(text.ptr, "\"entries\":[");
    const char *end = strstr(text.ptr, "],\"truncated\"");
    assert_true(begin != NULL && end != NULL);
    begin += sizeof "\"entries\":[" - 1;
    return (struct view){begin, (size_t)(end - begin)};
}

/* A folder's name may sort before that of a file which sorts before what is in the folder. */
static void any_limit_gives_the_beginning_of_the_whole(void **state)
{
    static const char *const suffixes[] = {"", "-", "0", ".d", "/", "/-", "/0", "/z", "z"};
    enum { FOLDERS = 9, ALL = FOLDERS * 8, WHOLE_MAX = 64 * 1024 };
    struct fixture *fixture = *state;
    char path[32];
    for (int i = 0; i < FOLDERS; i++) {
        for (size_t j = 0; j < sizeof suffixes / sizeof suffixes[0]; j++) {
            (void)snprintf(path, sizeof path, "%d%s", i * 7 % FOLDERS, suffixes[j]);
            if (suffixes[j][0] == '\0' || suffixes[j][1] == 'd') {
                scratch_folder(&fixture->scratch, path, 0755, &scratch_nobody);
            } else if (strcmp(suffixes[j], "/") != 0) {
                scratch_file(&fixture->scratch, path, "", 0644, &scratch_nobody);
            }
        }
    }
    list(fixture, "", 2, ALL);
    assert_true(peer_heard(&fixture->peer, "\"truncated\":false}"));
    AUTO(str_free) struct str whole = STR_INIT(WHOLE_MAX);
    str_append_view(&whole, told(fixture));
    for (int64_t limit = 1; limit < ALL; limit++) {
        list(fixture, "", 2, limit);
        assert_true(peer_heard(&fixture->peer, "\"truncated\":true}"));
        struct view part = told(fixture);
        assert_true(part.len < whole.len && whole.data[part.len] == ',');
        assert_memory_equal(part.ptr, whole.data, part.len);
    }
}

static void depth_says_how_far_down(void **state)
{
    struct fixture *fixture = *state;
    plant(fixture);
    list(fixture, "", 2, 100);
    expect_names(fixture, "a,b,sub,x,link,");
    list(fixture, "", 3, 100);
    expect_names(fixture, "a,b,sub,deep,x,link,");
}

static void a_limit_cuts_off_the_end(void **state)
{
    struct fixture *fixture = *state;
    plant(fixture);
    list(fixture, "", 3, 3);
    expect_names(fixture, "a,b,sub,");
    assert_true(peer_heard(&fixture->peer, "\"truncated\":true}"));
    list(fixture, "", 3, 4);
    expect_names(fixture, "a,b,sub,deep,");
    list(fixture, "", 2, 4);
    expect_names(fixture, "a,b,sub,x,");
    list(fixture, "", 1, 2);
    expect_names(fixture, "a,b,");
    assert_true(peer_heard(&fixture->peer, "\"truncated\":true}"));
    list(fixture, "", 3, 6);
    assert_true(peer_heard(&fixture->peer, "\"truncated\":false}"));
}

static void many_are_listed_in_slices(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        scratch_file(&fixture->scratch, name, "", 0644, &scratch_nobody);
    }
    const struct agent_list request = {.depth = 1, .limit = MANY};
    listing_begin(fixture->trees, &fixture->peer.reply, fixture->scratch.folder, &scratch_nobody,
                  &request);
    assert_int_equal(fixture->peer.answers, 0);
    peer_wait_answers(&fixture->peer, 1);
    assert_true(peer_heard(&fixture->peer, "\"truncated\":false}"));
    assert_true(peer_heard(&fixture->peer, "/999\""));
    /* And the end may come in the middle. */
    listing_begin(fixture->trees, &fixture->peer.reply, fixture->scratch.folder, &scratch_nobody,
                  &request);
}

static void links_are_not_followed(void **state)
{
    struct fixture *fixture = *state;
    scratch_folder(&fixture->scratch, "dir", 0755, &scratch_nobody);
    assert_int_equal(symlink("..", scratch_at(&fixture->scratch, "dir/up")), 0);
    list(fixture, "", 32, 100);
    expect_names(fixture, "dir,up,");
    assert_int_equal(symlink("dir", scratch_at(&fixture->scratch, "way")), 0);
    list(fixture, "way", 1, 100); /* but for the path itself */
    expect_names(fixture, "up,");
}

static void what_may_not_be_looked_into_is_told_without_its_content(void **state)
{
    struct fixture *fixture = *state;
    scratch_folder(&fixture->scratch, "closed", 0700, &scratch_root);
    scratch_file(&fixture->scratch, "closed/secret", "", 0600, &scratch_root);
    list(fixture, "", 5, 100);
    expect_names(fixture, "closed,");
    list(fixture, "closed", 1, 100);
    peer_expect_error(&fixture->peer, "permission_denied");
}

static void what_is_no_folder_is_told(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "file", "", 0644, &scratch_nobody);
    list(fixture, "file", 1, 100);
    peer_expect_error(&fixture->peer, "not_a_directory");
    list(fixture, "none", 1, 100);
    peer_expect_error(&fixture->peer, "file_not_found");
    list_path(fixture, "/proc/self/fd", 1, 100);
    peer_expect_error(&fixture->peer, "permission_denied");
}

static void names_that_need_escapes_do_not_break_the_answer(void **state)
{
    struct fixture *fixture = *state;
    scratch_file(&fixture->scratch, "quote\" \\ \n \x01 \xff", "", 0644, &scratch_nobody);
    list(fixture, "", 1, 100);
    assert_true(peer_heard(&fixture->peer, "\"name\":\"quote\\\" \\\\ \\n \\u0001 \xef\xbf\xbd\""));
}

static void owners_are_called_by_their_names_or_numbers(void **state)
{
    (void)state;
    struct names names;
    names_load(&names);
    assert_string_equal(names_of_user(&names, 0), "root");
    assert_string_equal(names_of_user(&names, 4000000000U), "4000000000");
    assert_string_equal(names_of_group(&names, 0), "root");
    assert_string_equal(names_of_group(&names, 0), "root");
    names_free(&names);
}

static void the_root_has_a_name(void **state)
{
    (void)state;
    struct entry entry;
    struct names names;
    struct str out = STR_INIT(1000);
    struct json_writer writer = json_writer_on(&out);
    names_load(&names);
    assert_true(entry_load(&entry, AT_FDCWD, "/", "/"));
    entry_write(&writer, NULL, &entry, &names);
    assert_non_null(strstr(out.data, "{\"path\":\"/\",\"name\":\"/\",\"type\":\"directory\","));
    entry_free(&entry);
    assert_false(entry_load(&entry, AT_FDCWD, "/none", "/none"));
    names_free(&names);
    str_free(&out);
    assert_true(entry_load(&entry, AT_FDCWD, "/dev/null", "/dev/null"));
    entry_free(&entry);
}

#define ENTRY_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENTRY_TEST(what_a_folder_holds_is_told_in_order),
        ENTRY_TEST(a_slash_at_the_end_changes_nothing),
        ENTRY_TEST(depth_says_how_far_down),
        ENTRY_TEST(a_limit_cuts_off_the_end),
        ENTRY_TEST(any_limit_gives_the_beginning_of_the_whole),
        ENTRY_TEST(many_are_listed_in_slices),
        ENTRY_TEST(links_are_not_followed),
        ENTRY_TEST(what_may_not_be_looked_into_is_told_without_its_content),
        ENTRY_TEST(what_is_no_folder_is_told),
        ENTRY_TEST(names_that_need_escapes_do_not_break_the_answer),
        cmocka_unit_test(owners_are_called_by_their_names_or_numbers),
        cmocka_unit_test(the_root_has_a_name),
    };
    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        return 0;
    }
    (void)umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
