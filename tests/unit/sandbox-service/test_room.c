/* sandbox-service/system/room.c: when there is too little disk. */
#include "sandbox-service/system/room.h"
#include "tests/support/folder.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

struct stage {
    struct loop *loop;
    struct worker_pool *workers;
};

static struct room *open_room(struct stage *stage, const char *dir, int64_t keep_free_mb)
{
    struct err err = {0};
    stage->loop = loop_new(&err);
    stage->workers = worker_pool_new(stage->loop, 1, 4, &err);
    const struct room_options options = {
        .loop = stage->loop, .workers = stage->workers, .dir = dir, .keep_free_mb = keep_free_mb};
    struct room *room = room_open(&options, &err);
    assert_non_null(room);
    assert_int_equal(room_free_mb(room), ROOM_UNKNOWN);
    assert_false(room_is_short(room));
    return room;
}

static void close_room(struct stage *stage, struct room *room)
{
    worker_pool_free(stage->workers);
    room_close(room);
    loop_free(stage->loop);
}

static bool is_known(void *arg)
{
    return room_free_mb(arg) != ROOM_UNKNOWN;
}

static void look(struct stage *stage, struct room *room)
{
    turn_until_true(stage->loop, is_known, room);
}

static void what_is_left_is_seen_and_is_enough(void **state)
{
    (void)state;
    struct stage stage;
    struct room *room = open_room(&stage, "", 0);
    room_watch(room, "/");
    look(&stage, room);
    assert_true(room_free_mb(room) >= 0);
    assert_true(room_total_mb(room) >= room_free_mb(room));
    assert_false(room_is_short(room));
    close_room(&stage, room);
}

static void less_than_is_to_be_kept_is_too_little(void **state)
{
    (void)state;
    struct stage stage;
    struct room *room = open_room(&stage, "/", INT64_MAX);
    room_watch(room, "/nowhere"); /* the setting is stronger */
    look(&stage, room);
    assert_true(room_is_short(room));
    close_room(&stage, room);
}

static void a_file_system_that_can_have_few_more_files_is_short(void **state)
{
    (void)state;
    assert_true(room_has_few_files(0, 1000));
    assert_true(room_has_few_files(49, 1000));
    assert_false(room_has_few_files(50, 1000));
    assert_true(room_has_few_files(UINT64_MAX / 100, UINT64_MAX));
    assert_false(room_has_few_files(0, 0)); /* it makes them as it goes */
}

/* As what an engine that remaps users keeps is to its service. */
static void a_folder_that_is_shut_is_told_by_the_one_around_it(void **state)
{
    (void)state;
    struct stage stage;
    char folder[FOLDER_PATH_SIZE];
    char inner[FOLDER_PATH_SIZE + 16];
    folder_make(folder);
    (void)snprintf(inner, sizeof inner, "%s/shut/inner", folder);
    *strrchr(inner, '/') = '\0';
    assert_int_equal(mkdir(inner, 0), 0);
    (void)strncat(inner, "/inner", sizeof inner - strlen(inner) - 1);
    struct room *room = open_room(&stage, inner, 0);
    if (geteuid() == 0) {
        assert_int_equal(seteuid(NOBODY), 0); /* of all threads */
    }
    look(&stage, room);
    if (getuid() == 0) {
        assert_int_equal(seteuid(0), 0);
    }
    assert_true(room_free_mb(room) >= 0);
    close_room(&stage, room);
    folder_remove(folder);
}

static void nobody_is_refused_for_what_is_not_known(void **state)
{
    (void)state;
    assert_int_equal(room_free_mb(NULL), ROOM_UNKNOWN);
    assert_int_equal(room_total_mb(NULL), ROOM_UNKNOWN);
    assert_false(room_is_short(NULL));
    room_watch(NULL, "/");
    room_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_seen_and_is_enough),
        cmocka_unit_test(less_than_is_to_be_kept_is_too_little),
        cmocka_unit_test(a_file_system_that_can_have_few_more_files_is_short),
        cmocka_unit_test(a_folder_that_is_shut_is_told_by_the_one_around_it),
        cmocka_unit_test(nobody_is_refused_for_what_is_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
