#include "sandbox-service/volumes/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum {
    NUMBER_MAX = 1 << 20, /* the kernel's own bound of minor numbers */
    TRIES = 16,           /* others take devices too, between the asking and the taking */
    LOOP_MAJOR = 7,
    BLOCK_BYTES = 4096,
};

static bool fail(struct err *err, const char *what)
{
    return err_set_reason(err, ERR_UNAVAILABLE, "volumes_unavailable", "%s: %s", what,
                          strerror(errno));
}

/* In a container nobody makes the entries of /dev for devices that are new. */
static int open_device(int number, char path[LOOP_PATH_SIZE])
{
    (void)snprintf(path, LOOP_PATH_SIZE, "/dev/loop%d", number);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT &&
        mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)number)) == 0) {
        fd = open(path, O_RDWR | O_CLOEXEC);
    }
    return fd;
}

/* Whether the device has that file. One that is being let go just now has none any more. */
static bool has_file(int fd, const struct stat *file)
{
    struct loop_info64 info = {0};
    return ioctl(fd, LOOP_GET_STATUS64, &info) == 0 && info.lo_device == (uint64_t)file->st_dev &&
           info.lo_inode == (uint64_t)file->st_ino;
}

/* -1: no, it is of no use. */
static int read_number(const char *name)
{
    int number = 0;
    if (strncmp(name, "loop", strlen("loop")) != 0 || name[strlen("loop")] == '\0') {
        return -1;
    }
    for (const char *digit = name + strlen("loop"); *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9' || number > NUMBER_MAX / 10) {
            return -1;
        }
        number = number * 10 + (*digit - '0');
    }
    return number;
}

static int open_if_it_has(const char *name, const struct stat *file, char path[LOOP_PATH_SIZE])
{
    int number = read_number(name);
    int fd = number < 0 ? -1 : open_device(number, path);
    if (fd >= 0 && !has_file(fd, file)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

int loop_find(int file_fd, char path[LOOP_PATH_SIZE])
{
    struct stat file;
    DIR *devices = fstat(file_fd, &file) == 0 ? opendir("/sys/block") : NULL;
    const struct dirent *entry;
    int fd = -1;
    while (devices != NULL && fd < 0 && (entry = readdir(devices)) != NULL) {
        fd = open_if_it_has(entry->d_name, &file, path);
    }
    if (devices != NULL) {
        (void)closedir(devices);
    }
    return fd;
}

int loop_attach(int file_fd, char path[LOOP_PATH_SIZE], struct err *err)
{
    const struct loop_config config = {
        .fd = (unsigned)file_fd,
        .block_size = BLOCK_BYTES,
        .info = {.lo_flags = LO_FLAGS_AUTOCLEAR},
    };
    AUTO(close_fd) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) {
        (void)fail(err, "/dev/loop-control");
        return -1;
    }
    for (int tries = 0; tries < TRIES; tries++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        int fd = number < 0 ? -1 : open_device(number, path);
        if (fd < 0) {
            (void)fail(err, "no loop device");
            return -1;
        }
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            return fd;
        }
        int problem = errno;
        (void)close(fd);
        errno = problem;
        if (problem != EBUSY) {
            break;
        }
    }
    (void)fail(err, "can't set a loop device up");
    return -1;
}
