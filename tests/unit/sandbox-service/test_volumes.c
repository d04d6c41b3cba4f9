/* sandbox-service/volumes: what becomes of a machine's disks, by the rows. Takes root and loop
 * devices; without them it is skipped. */
#include "sandbox-service/volumes/volumes.h"

#include "sandbox-service/volumes/hold.h"
#include "sandbox-service/volumes/strays.h"
#include "tests/support/folder.h"
#include "tests/support/postgres.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>

#define USER "11111111-1111-4111-8111-111111111111"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define DELETED "bbbbbbbb-bbbb-4bbb-8bbb-000000000001"
#define FREE "bbbbbbbb-bbbb-4bbb-8bbb-000000000002"
#define ATTACHED "bbbbbbbb-bbbb-4bbb-8bbb-000000000003"
#define HELD "bbbbbbbb-bbbb-4bbb-8bbb-000000000004"
#define STRAY "bbbbbbbb-bbbb-4bbb-8bbb-000000000005"

enum { SIZE_MB = 16, NEVER_MS = 3600 * 1000 };

struct fixture {
    struct postgres *postgres;
    struct loop *loop;
    char folder[FOLDER_PATH_SIZE];
    struct disks disks;
    struct volumes *volumes;
};

static bool can_loop(void)
{
    AUTO(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    return control >= 0 && geteuid() == 0 && access("/usr/sbin/mkfs.ext4", X_OK) == 0;
}

static bool is_there(const struct fixture *fixture, const char *volume_id)
{
    char path[DISK_PATH_SIZE];
    disk_data_path(&fixture->disks, volume_id, path);
    return access(path, F_OK) == 0;
}

static bool has_file(const struct fixture *fixture, const char *volume_id)
{
    char id32[ID32_SIZE];
    char path[DISK_PATH_SIZE];
    id_to_id32(volume_id, id32);
    (void)snprintf(path, sizeof path, "%s/%s.img", fixture->folder, id32);
    return access(path, F_OK) == 0;
}

static void mount_disk(const struct fixture *fixture, const char *volume_id)
{
    struct err err = {0};
    if (!disk_mount(&fixture->disks, volume_id, SIZE_MB, &err)) {
        fail_msg("%s", err.message);
    }
}

static void on_held(const struct err *err, void *arg)
{
    bool *done = arg;
    assert_null(err);
    *done = true;
}

static bool is_swept(void *arg)
{
    const struct fixture *fixture = arg;
    return !has_file(fixture, DELETED) && !is_there(fixture, FREE);
}

static void disks_become_what_the_rows_say(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    struct volume_hold hold = {0};
    bool held = false;
    static const char *const mounted[] = {DELETED, FREE, ATTACHED};
    for (size_t i = 0; i < sizeof mounted / sizeof mounted[0]; i++) {
        mount_disk(fixture, mounted[i]);
    }
    assert_true(volume_hold_read(&hold, &fixture->disks, VIEW(HELD " 16 rw /data\n"), &err));
    assert_true(volume_hold_begin(fixture->volumes, &hold, on_held, &held, &err));
    turn_until(fixture->loop, &held);
    volumes_engine_came(fixture->volumes, 0, 0);
    turn_until_true(fixture->loop, is_swept, fixture);
    assert_true(is_there(fixture, ATTACHED));
    assert_true(is_there(fixture, HELD));
    assert_true(has_file(fixture, FREE));

    volume_hold_end(&hold);
    postgres_run(fixture->postgres, "DELETE FROM volume_attachments;"
                                    "UPDATE volumes SET status = 'deleting'");
    for (int i = 0; i < 100 && (has_file(fixture, ATTACHED) || has_file(fixture, HELD)); i++) {
        volumes_sweep_soon(fixture->volumes);
        turn_for(fixture->loop, 50);
    }
    turn_for(fixture->loop, 200);
    postgres_expect(fixture->postgres, "SELECT count(*) FROM volumes", "0");
}

struct found {
    bool done;
    size_t count;
    char first[ID_SIZE];
};

static void on_found(const char (*ids)[ID_SIZE], size_t count, const struct err *err, void *arg)
{
    struct found *found = arg;
    assert_null(err);
    found->count = count;
    if (count > 0) {
        memcpy(found->first, ids[0], ID_SIZE);
    }
    found->done = true;
}

static struct found find_strays(const struct fixture *fixture)
{
    struct found found = {0};
    struct err err = {0};
    assert_true(strays_find(fixture->volumes, on_found, &found, &err));
    turn_until(fixture->loop, &found.done);
    return found;
}

struct removed {
    bool done;
    enum err_code code;
};

static void on_stray_removed(const struct err *err, void *arg)
{
    struct removed *removed = arg;
    removed->code = err == NULL ? ERR_NONE : err->code;
    removed->done = true;
}

static enum err_code remove_stray(const struct fixture *fixture, const char *volume_id)
{
    struct removed removed = {0};
    struct err err = {0};
    assert_true(stray_remove(fixture->volumes, volume_id, on_stray_removed, &removed, &err));
    turn_until(fixture->loop, &removed.done);
    return removed.code;
}

static void disks_that_no_row_tells_of_go_only_when_told(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(find_strays(fixture).count, 0); /* there is no disk at all */
    mount_disk(fixture, FREE);
    mount_disk(fixture, STRAY);
    volumes_engine_came(fixture->volumes, 0, 0);
    turn_until_true(fixture->loop, is_swept, fixture);
    struct found found = find_strays(fixture);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.first, STRAY);
    assert_true(has_file(fixture, STRAY));
    assert_int_equal(remove_stray(fixture, FREE), ERR_CONFLICT);
    assert_true(has_file(fixture, FREE));
    assert_int_equal(remove_stray(fixture, STRAY), ERR_NONE);
    assert_false(has_file(fixture, STRAY));
    assert_int_equal(remove_stray(fixture, STRAY), ERR_NONE);
    assert_int_equal(find_strays(fixture).count, 0);
}

static void search_ends_with_the_service(void **state)
{
    struct fixture *fixture = *state;
    struct removed removed = {0};
    struct err err = {0};
    assert_true(stray_remove(fixture->volumes, STRAY, on_stray_removed, &removed, &err));
    assert_true(volumes_fail_all(fixture->volumes));
    assert_true(removed.done);
    assert_int_equal(removed.code, ERR_UNAVAILABLE);
    assert_false(strays_find(fixture->volumes, on_found, NULL, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
}

static int open_all(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    if (!can_loop()) {
        skip();
    }
    folder_make(fixture.folder);
    fixture.disks.folder = fixture.folder;
    fixture.postgres = postgres_start();
    postgres_migrate(fixture.postgres);
    postgres_run(fixture.postgres,
                 "INSERT INTO users (id) VALUES ('" USER "');"
                 "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status,"
                 " network, instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at)"
                 " VALUES ('" SANDBOX "', '" USER "', 'base', 'x', 'sudo', 'free', 'running',"
                 " 'none', 'test', 'node-1', 1, 1, 1, 1, now());"
                 "INSERT INTO volumes (id, user_id, name, size_mb, instance, node, status)"
                 " SELECT id::uuid, '" USER "', 'v' || right(id, 1), 16, 'test', 'node-1',"
                 " CASE id WHEN '" DELETED "' THEN 'deleting' ELSE 'ready' END"
                 " FROM unnest(ARRAY['" DELETED "', '" FREE "', '" ATTACHED "', '" HELD "']) AS id;"
                 "INSERT INTO volume_attachments VALUES ('" SANDBOX "', '" ATTACHED "', '/data')");
    fixture.loop = loop_new(&err);
    const struct volumes_options options = {.loop = fixture.loop,
                                            .database_url =
                                                postgres_service_url(fixture.postgres, "sandbox"),
                                            .instance = "test",
                                            .node = "node-1",
                                            .limits = "{}",
                                            .folder = fixture.folder,
                                            .sweep_interval_ms = NEVER_MS};
    fixture.volumes = volumes_open(&options, &err);
    assert_non_null(fixture.volumes);
    *state = &fixture;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *fixture = *state;
    static const char *const all[] = {DELETED, FREE, ATTACHED, HELD, STRAY};
    struct err err = {0};
    volumes_close(fixture->volumes);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(disk_remove(&fixture->disks, all[i], &err));
    }
    loop_free(fixture->loop);
    postgres_remove(fixture->postgres);
    folder_remove(fixture->folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(disks_become_what_the_rows_say, open_all, close_all),
        cmocka_unit_test_setup_teardown(disks_that_no_row_tells_of_go_only_when_told, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(search_ends_with_the_service, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
