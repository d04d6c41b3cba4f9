/* sandbox-service/volumes/disk.c on real loop devices. Takes root; without such devices it is
 * skipped. */
#include "sandbox-service/volumes/disk.h"

#include "tests/support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VOLUME "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define ID32 "aaaaaaaaaaaa4aaa8aaa000000000001"

enum { SIZE_MB = 16, ROOT_ID = 100000, MODE_BITS = 07777, CHUNK = 64 * 1024 };

struct fixture {
    char folder[FOLDER_PATH_SIZE];
    char base[FOLDER_PATH_SIZE + 8];
    struct disks disks;
    char data[DISK_PATH_SIZE];
};

static bool can_loop(void)
{
    AUTO(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    return control >= 0 && geteuid() == 0 && access("/usr/sbin/mkfs.ext4", X_OK) == 0;
}

static void mount_disk(struct fixture *fixture)
{
    struct err err = {0};
    if (!disk_mount(&fixture->disks, VOLUME, SIZE_MB, &err)) {
        fail_msg("%s", err.message);
    }
}

static void unmount_disk(struct fixture *fixture)
{
    struct err err = {0};
    if (!disk_unmount(&fixture->disks, VOLUME, &err)) {
        fail_msg("%s", err.message);
    }
}

static int open_file(const struct fixture *fixture, int flags)
{
    char path[DISK_PATH_SIZE + 8];
    (void)snprintf(path, sizeof path, "%s/file", fixture->data);
    return open(path, flags | O_CLOEXEC, 0644);
}

static void count(const char volume_id[ID_SIZE], int64_t idle_s, void *arg)
{
    int *found = arg;
    assert_string_equal(volume_id, VOLUME);
    assert_in_range(idle_s, 0, 3600);
    (*found)++;
}

static int disks_there(struct fixture *fixture)
{
    struct err err = {0};
    int found = 0;
    assert_true(disks_each(&fixture->disks, count, &found, &err));
    return found;
}

static void what_is_written_stays(void **state)
{
    struct fixture *fixture = *state;
    mount_disk(fixture);
    mount_disk(fixture); /* is mounted already */
    AUTO(close_fd) int made = open_file(fixture, O_WRONLY | O_CREAT);
    assert_true(made >= 0);
    assert_int_equal(write(made, "kept", 4), 4);
    assert_int_equal(close(take_fd(&made)), 0);
    unmount_disk(fixture);
    unmount_disk(fixture); /* is off already */
    assert_int_equal(access(fixture->data, F_OK), -1);
    mount_disk(fixture);
    AUTO(close_fd) int found = open_file(fixture, O_RDONLY);
    char text[8] = "";
    assert_int_equal(read(found, text, sizeof text), 4);
    assert_string_equal(text, "kept");
}

static void data_is_the_containers_roots_and_open_to_its_users(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    mount_disk(fixture);
    assert_int_equal(stat(fixture->data, &status), 0);
    assert_int_equal(status.st_uid, ROOT_ID);
    assert_int_equal(status.st_gid, ROOT_ID);
    assert_int_equal(status.st_mode & MODE_BITS, 0777);
}

static void disk_has_its_size_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    static const char chunk[CHUNK];
    size_t written = 0;
    ssize_t got;
    mount_disk(fixture);
    AUTO(close_fd) int file = open_file(fixture, O_WRONLY | O_CREAT);
    while ((got = write(file, chunk, sizeof chunk)) > 0) {
        written += (size_t)got;
        assert_true(written < (size_t)SIZE_MB * 1024 * 1024);
    }
    assert_int_equal(errno, ENOSPC);
}

static void disk_in_use_is_not_taken_off(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    mount_disk(fixture);
    AUTO(close_fd) int file = open_file(fixture, O_WRONLY | O_CREAT);
    assert_false(disk_remove(&fixture->disks, VOLUME, &err));
    assert_string_equal(err.reason, "volume_in_use");
    assert_int_equal(close(take_fd(&file)), 0);
}

/* As the engine has it: a mount of its own, in another namespace. */
static pid_t bind_elsewhere(const struct fixture *fixture, const int *alive)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bool ok = unshare(CLONE_NEWNS) == 0 &&
                  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                  chdir(fixture->data) == 0;
        ok = ok && write(ready[1], "!", 1) == 1;
        (void)close(alive[1]);
        (void)read(alive[0], &byte, 1);
        int fd = ok ? open("late", O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
        _exit(fd >= 0 && write(fd, "late", 4) == 4 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return child;
}

static void disk_that_a_container_still_has_is_the_same_one(void **state)
{
    struct fixture *fixture = *state;
    int alive[2];
    int status = 1;
    char path[DISK_PATH_SIZE + 8];
    mount_disk(fixture);
    assert_int_equal(pipe(alive), 0);
    pid_t child = bind_elsewhere(fixture, alive);
    unmount_disk(fixture);
    mount_disk(fixture);
    assert_int_equal(close(alive[0]), 0);
    assert_int_equal(close(alive[1]), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)snprintf(path, sizeof path, "%s/late", fixture->data);
    assert_int_equal(access(path, F_OK), 0);
}

static void disk_is_not_made_where_there_is_no_room_for_it(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    fixture->disks.reserve_mb = INT32_MAX;
    assert_false(disk_mount(&fixture->disks, VOLUME, SIZE_MB, &err));
    assert_string_equal(err.reason, "disk_full");
    assert_int_equal(disks_there(fixture), 0);
}

static void removed_disk_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    mount_disk(fixture);
    assert_int_equal(disks_there(fixture), 1);
    assert_true(disk_remove(&fixture->disks, VOLUME, &err));
    assert_true(disk_remove(&fixture->disks, VOLUME, &err)); /* again */
    assert_int_equal(disks_there(fixture), 0);
    assert_int_equal(rmdir(fixture->base), 0);
    assert_true(disks_open(&fixture->disks, &err));
}

static void what_was_left_half_made_is_cleaned_up(void **state)
{
    struct fixture *fixture = *state;
    char path[FOLDER_PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/" ID32 ".img.new", fixture->base);
    AUTO(close_fd) int draft = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(draft >= 0);
    assert_int_equal(disks_there(fixture), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static int open_disks(void **state)
{
    static struct fixture fixture;
    struct err err = {0};
    if (!can_loop()) {
        skip();
    }
    folder_make(fixture.folder);
    (void)snprintf(fixture.base, sizeof fixture.base, "%s/disks", fixture.folder);
    fixture.disks =
        (struct disks){.folder = fixture.base, .root_uid = ROOT_ID, .root_gid = ROOT_ID};
    assert_true(disks_open(&fixture.disks, &err));
    disk_data_path(&fixture.disks, VOLUME, fixture.data);
    *state = &fixture;
    return 0;
}

static int close_disks(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    assert_true(disk_remove(&fixture->disks, VOLUME, &err));
    folder_remove(fixture->folder);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_disks, close_disks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_stays),
        TEST(data_is_the_containers_roots_and_open_to_its_users),
        TEST(disk_has_its_size_and_no_more),
        TEST(disk_in_use_is_not_taken_off),
        TEST(disk_that_a_container_still_has_is_the_same_one),
        TEST(disk_is_not_made_where_there_is_no_room_for_it),
        TEST(removed_disk_leaves_nothing),
        TEST(what_was_left_half_made_is_cleaned_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
