#include "tests/unit/agent/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

enum { CONTENT_SIZE = 64 * 1024 };

const struct user scratch_nobody = {.uid = USER_NOBODY, .gid = USER_NOBODY, .name = "nobody"};
const struct user scratch_root = {.name = "root"};

void scratch_open(struct scratch *scratch)
{
    folder_make(scratch->folder);
    assert_int_equal(chown(scratch->folder, scratch_nobody.uid, scratch_nobody.gid), 0);
}

void scratch_close(struct scratch *scratch)
{
    folder_remove(scratch->folder);
}

const char *scratch_at(struct scratch *scratch, const char *name)
{
    static char paths[4][PATH_SIZE];
    static unsigned latest;
    char *path = paths[latest++ % 4];
    (void)snprintf(path, PATH_SIZE, "%s%s%s", scratch->folder, name[0] == '\0' ? "" : "/", name);
    return path;
}

void scratch_file(struct scratch *scratch, const char *name, const char *content, mode_t mode,
                  const struct user *owner)
{
    const char *path = scratch_at(scratch, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, owner->uid, owner->gid), 0);
}

void scratch_folder(struct scratch *scratch, const char *name, mode_t mode,
                    const struct user *owner)
{
    const char *path = scratch_at(scratch, name);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, owner->uid, owner->gid), 0);
}

struct stat scratch_stat(struct scratch *scratch, const char *name)
{
    struct stat status;
    assert_int_equal(lstat(scratch_at(scratch, name), &status), 0);
    return status;
}

bool scratch_exists(struct scratch *scratch, const char *name)
{
    struct stat status;
    return lstat(scratch_at(scratch, name), &status) == 0;
}

void scratch_expect(struct scratch *scratch, const char *name, const char *content)
{
    static char text[CONTENT_SIZE];
    FILE *file = fopen(scratch_at(scratch, name), "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, content);
}

size_t scratch_count(struct scratch *scratch, const char *name)
{
    size_t count = 0;
    DIR *folder = opendir(scratch_at(scratch, name));
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    assert_int_equal(closedir(folder), 0);
    return count - 2; /* without . and .. */
}
