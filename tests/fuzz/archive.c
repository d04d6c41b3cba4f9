/* Whatever an archive holds, it is refused or unpacked, and only below its folder: beside it lies
 * another one, with one file, and nothing of that changes. When it is refused, nothing of it is
 * left. Check sums are put right before, so that a change in a header reaches what reads it. */
#include "sandbox-service/agent/tools/member.h"
#include "sandbox-service/agent/tools/unpack.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BYTES_MAX = 1024 * 1024,
    FOLDERS_OPEN_MAX = 16,
    PATH_SIZE_HERE = 64,
    BLOCK_SIZE = 512,
    CHECKSUM_AT = 148,
    CHECKSUM_SIZE = 8,
    MAGIC_AT = 257,
};

static char top[] = "/dev/shm/insien-fuzz-XXXXXX";
static char target[PATH_SIZE_HERE];
static char beside[PATH_SIZE_HERE];
static char witness[PATH_SIZE_HERE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status;
    (void)kind;
    (void)position;
    (void)remove(path);
    return 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, remove_one, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
}

static void clean_up(void)
{
    remove_tree(top);
}

static void make_scene(void)
{
    if (witness[0] != '\0') {
        return;
    }
    assert(mkdtemp(top) != NULL);
    (void)snprintf(target, sizeof target, "%s/in", top);
    (void)snprintf(beside, sizeof beside, "%s/beside", top);
    (void)snprintf(witness, sizeof witness, "%s/beside/witness", top);
    assert(mkdir(beside, 0700) == 0);
    int fd = open(witness, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert(fd >= 0 && write(fd, "w", 1) == 1 && close(fd) == 0);
    assert(atexit(clean_up) == 0);
}

static size_t count_names(const char *path)
{
    size_t count = 0;
    DIR *folder = opendir(path);
    assert(folder != NULL);
    while (readdir(folder) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
        count++;
    }
    (void)closedir(folder);
    return count - 2;
}

static void check_scene(bool unpacked)
{
    struct stat status;
    assert(stat(witness, &status) == 0 && status.st_size == 1 && status.st_nlink == 1);
    assert(count_names(beside) == 1);
    assert(count_names(top) == (unpacked ? 2 : 1));
}

static void check_name(struct view text)
{
    char clean[PATH_SIZE];
    char again[PATH_SIZE];
    struct err err;
    if (!member_clean_name(text, clean, &err)) {
        return;
    }
    assert(clean[0] != '/' && strcmp(clean, "..") != 0 && strncmp(clean, "../", 3) != 0 &&
           strstr(clean, "/../") == NULL);
    assert(clean[0] == '\0' || member_clean_name(view_of(clean), again, &err));
    assert(clean[0] == '\0' || strcmp(clean, again) == 0);
    (void)!member_check_target(clean, text, &err);
}

static void mend_check_sums(char *archive, size_t size)
{
    for (char *header = archive; size - (size_t)(header - archive) >= BLOCK_SIZE;
         header += BLOCK_SIZE) {
        unsigned sum = 0;
        if (memcmp(header + MAGIC_AT, "ustar", strlen("ustar")) != 0) {
            continue;
        }
        memset(header + CHECKSUM_AT, ' ', CHECKSUM_SIZE);
        for (int i = 0; i < BLOCK_SIZE; i++) {
            sum += (unsigned char)header[i];
        }
        (void)snprintf(header + CHECKSUM_AT, CHECKSUM_SIZE, "%06o", sum);
    }
}

static int memory_file(const void *bytes, size_t size)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    char *archive = malloc(size + 1);
    assert(fd >= 0 && archive != NULL);
    memcpy(archive, bytes, size);
    mend_check_sums(archive, size);
    assert(write(fd, archive, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    free(archive);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct unpack_options options = {.format = INPUT_AUTO, .bytes_max = BYTES_MAX};
    struct unpack_result result;
    struct err err = {0};
    make_scene();
    check_name((struct view){(const char *)data, size});
    int fd = memory_file(data, size);
    bool unpacked = unpack(fd, target, &options, &result, &err);
    assert(close(fd) == 0);
    assert(unpacked || err.reason[0] != '\0');
    assert(!unpacked || result.bytes <= BYTES_MAX);
    check_scene(unpacked);
    if (unpacked) {
        remove_tree(target);
    }
    return 0;
}
