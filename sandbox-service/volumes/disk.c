#include "sandbox-service/volumes/disk.h"

#include "common/base/crash_point.h"
#include "common/base/str.h"
#include "sandbox-service/network/command.h"
#include "sandbox-service/volumes/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum {
    MKFS_TIMEOUT_MS = 60000,
    MKFS_OUTPUT_MAX = 2000,
    OWNER_OPTION_SIZE = 64,
    BYTES_PER_MB = 1024 * 1024,
};

/* As loop.c has it: a file system of smaller blocks could not be mounted. */
#define BLOCK_BYTES "4096"
#define FILE_SUFFIX ".img"
#define DRAFT_SUFFIX ".img.new"

static bool fail(struct err *err, const char *what)
{
    bool is_full = errno == ENOSPC || errno == EDQUOT;
    return err_set_reason(err, ERR_UNAVAILABLE, is_full ? "disk_full" : "volumes_unavailable",
                          "%s: %s", what, strerror(errno));
}

static void path_of(const struct disks *disks, const char volume_id[ID_SIZE], const char *suffix,
                    char out[DISK_PATH_SIZE])
{
    char id32[ID32_SIZE];
    id_to_id32(volume_id, id32);
    (void)snprintf(out, DISK_PATH_SIZE, "%.200s/%s%s", disks->folder, id32, suffix);
}

void disk_data_path(const struct disks *disks, const char volume_id[ID_SIZE],
                    char out[DISK_PATH_SIZE])
{
    path_of(disks, volume_id, "/data", out);
}

static bool make_folder(const char *path, struct err *err)
{
    return mkdir(path, 0711) == 0 || errno == EEXIST || fail(err, "a volume's folder");
}

bool disks_open(const struct disks *disks, struct err *err)
{
    /* Root of the containers, when it is another, must get through; nobody may look around. */
    return make_folder(disks->folder, err) &&
           (chmod(disks->folder, 0711) == 0 || fail(err, "the folder of volumes"));
}

/* A file system in the file at path, whose first folder is the containers' root's. */
static bool format(const struct disks *disks, const char *path, struct err *err)
{
    char owner[OWNER_OPTION_SIZE];
    int status = 0;
    (void)snprintf(owner, sizeof owner, "root_owner=%u:%u,lazy_itable_init=1,nodiscard",
                   (unsigned)disks->root_uid, (unsigned)disks->root_gid);
    const char *const command[] = {
        "/usr/sbin/mkfs.ext4", "-q", "-F", "-b", BLOCK_BYTES, "-m", "0", "-E", owner, path, NULL};
    AUTO(str_free) struct str output = STR_INIT(MKFS_OUTPUT_MAX);
    if (!command_run(command, VIEW(""), MKFS_TIMEOUT_MS, &output, &status, err)) {
        return err_set_reason(err, ERR_UNAVAILABLE, "volumes_unavailable", "mkfs.ext4 did not run");
    }
    return status == 0 ||
           err_set_reason(err, ERR_UNAVAILABLE, "volumes_unavailable", "mkfs.ext4: %.*s",
                          (int)output.len, output.len == 0 ? "" : output.data);
}

/* How much the files may still grow. */
static bool sum_promised(const struct disks *disks, int64_t *bytes, struct err *err)
{
    enum { STAT_BLOCK = 512 };
    DIR *folder = opendir(disks->folder);
    if (folder == NULL) {
        return fail(err, "the folder of volumes");
    }
    const struct dirent *entry;
    *bytes = 0;
    while ((entry = readdir(folder)) != NULL) {
        struct stat status;
        if (fstatat(dirfd(folder), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(status.st_mode) && status.st_size > (int64_t)status.st_blocks * STAT_BLOCK) {
            *bytes += status.st_size - (int64_t)status.st_blocks * STAT_BLOCK;
        }
    }
    (void)closedir(folder);
    return true;
}

/* Every volume can be filled to its size, so that none fails in the middle of a write. */
static bool check_room(const struct disks *disks, int64_t size_mb, struct err *err)
{
    struct statvfs host;
    int64_t promised = 0;
    if (!sum_promised(disks, &promised, err)) {
        return false;
    }
    if (statvfs(disks->folder, &host) != 0) {
        return fail(err, "the folder of volumes");
    }
    int64_t free_mb = (int64_t)(host.f_bavail * host.f_frsize / BYTES_PER_MB);
    return free_mb - promised / BYTES_PER_MB - size_mb >= disks->reserve_mb ||
           err_set_reason(err, ERR_UNAVAILABLE, "disk_full",
                          "%" PRId64 " MB are free, %" PRId64 " of them promised", free_mb,
                          promised / BYTES_PER_MB);
}

/* Behind this the file is whole whatever happens: what it holds is on the disk before its name. */
static bool make_file(const struct disks *disks, const char volume_id[ID_SIZE], const char *path,
                      int64_t size_mb, struct err *err)
{
    char draft[DISK_PATH_SIZE];
    if (!check_room(disks, size_mb, err)) {
        return false;
    }
    path_of(disks, volume_id, DRAFT_SUFFIX, draft);
    AUTO(close_fd) int fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size_mb * BYTES_PER_MB) != 0) {
        return fail(err, "a volume's file");
    }
    if (!format(disks, draft, err)) {
        (void)unlink(draft);
        return false;
    }
    CRASH_POINT("volume.after_draft");
    if (fsync(fd) != 0 || rename(draft, path) != 0) {
        return fail(err, "a volume's file");
    }
    CRASH_POINT("volume.after_file");
    return true;
}

/* Whether something is mounted there: it is on another device than the folder it lies in. */
static bool is_mounted(const struct disks *disks, const char *path)
{
    struct stat inside;
    struct stat outside;
    return stat(path, &inside) == 0 && stat(disks->folder, &outside) == 0 &&
           inside.st_dev != outside.st_dev;
}

/* Once, and whole: what its mode is later is the tenant's business. Of a tenant's users any may
 * write, since only the image knows which there are. */
static bool make_data(const struct disks *disks, const char volume_id[ID_SIZE], struct err *err)
{
    char path[DISK_PATH_SIZE];
    char draft[DISK_PATH_SIZE];
    disk_data_path(disks, volume_id, path);
    path_of(disks, volume_id, "/data.new", draft);
    if (access(path, F_OK) == 0) {
        return true;
    }
    return ((mkdir(draft, 0700) == 0 || errno == EEXIST) &&
            chown(draft, disks->root_uid, disks->root_gid) == 0 && chmod(draft, 0777) == 0 &&
            rename(draft, path) == 0) ||
           fail(err, "a volume's data");
}

static bool mount_file(const char *file, const char *folder, struct err *err)
{
    char device[LOOP_PATH_SIZE];
    AUTO(close_fd) int fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return fail(err, "a volume's file");
    }
    /* A container that is just being removed may still have it. */
    AUTO(close_fd) int loop = loop_find(fd, device);
    if (loop < 0) {
        loop = loop_attach(fd, device, err);
    }
    if (loop < 0) {
        return false;
    }
    CRASH_POINT("volume.after_device");
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOATIME;
    if (mount(device, folder, "ext4", flags, "errors=remount-ro") != 0) {
        return fail(err, "mounting a volume");
    }
    CRASH_POINT("volume.after_mount");
    return true;
}

bool disk_mount(const struct disks *disks, const char volume_id[ID_SIZE], int64_t size_mb,
                struct err *err)
{
    char file[DISK_PATH_SIZE];
    char folder[DISK_PATH_SIZE];
    path_of(disks, volume_id, FILE_SUFFIX, file);
    path_of(disks, volume_id, "", folder);
    if (!make_folder(folder, err)) {
        return false;
    }
    if (is_mounted(disks, folder)) {
        return make_data(disks, volume_id, err);
    }
    if (access(file, F_OK) != 0 && !make_file(disks, volume_id, file, size_mb, err)) {
        return false;
    }
    return mount_file(file, folder, err) && make_data(disks, volume_id, err);
}

bool disk_unmount(const struct disks *disks, const char volume_id[ID_SIZE], struct err *err)
{
    char folder[DISK_PATH_SIZE];
    path_of(disks, volume_id, "", folder);
    if (is_mounted(disks, folder) && umount2(folder, UMOUNT_NOFOLLOW) != 0) {
        return errno == EBUSY
                   ? err_set_reason(err, ERR_CONFLICT, "volume_in_use", "a container still has it")
                   : fail(err, "unmounting a volume");
    }
    CRASH_POINT("volume.after_unmount");
    return rmdir(folder) == 0 || errno == ENOENT || fail(err, "a volume's folder");
}

bool disk_remove(const struct disks *disks, const char volume_id[ID_SIZE], struct err *err)
{
    char file[DISK_PATH_SIZE];
    path_of(disks, volume_id, FILE_SUFFIX, file);
    return disk_unmount(disks, volume_id, err) &&
           (unlink(file) == 0 || errno == ENOENT || fail(err, "a volume's file"));
}

static void visit_file(const struct disks *disks, const char volume_id[ID_SIZE],
                       disk_visit_fn *visit, void *arg)
{
    char path[DISK_PATH_SIZE];
    struct stat status;
    path_of(disks, volume_id, FILE_SUFFIX, path);
    if (stat(path, &status) == 0) {
        visit(volume_id, (int64_t)(time(NULL) - status.st_mtime), arg);
    }
}

static void visit_entry(const struct disks *disks, const char *name, disk_visit_fn *visit,
                        void *arg)
{
    char id[ID_SIZE];
    char path[DISK_PATH_SIZE];
    struct view text = view_of(name);
    if (text.len < ID32_SIZE - 1 || !id_from_id32((struct view){name, ID32_SIZE - 1}, id)) {
        return;
    }
    struct view suffix = view_from(text, ID32_SIZE - 1);
    if (view_equal(suffix, VIEW(DRAFT_SUFFIX))) {
        path_of(disks, id, DRAFT_SUFFIX, path);
        (void)unlink(path); /* looked for again the next time, as the folder below */
    } else if (suffix.len == 0) {
        path_of(disks, id, "", path);
        (void)rmdir(path); /* refused while something is mounted there */
    } else if (view_equal(suffix, VIEW(FILE_SUFFIX))) {
        visit_file(disks, id, visit, arg);
    }
}

bool disks_each(const struct disks *disks, disk_visit_fn *visit, void *arg, struct err *err)
{
    DIR *folder = opendir(disks->folder);
    if (folder == NULL) {
        return fail(err, "the folder of volumes");
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        visit_entry(disks, entry->d_name, visit, arg);
    }
    (void)closedir(folder);
    return true;
}
