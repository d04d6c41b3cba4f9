#include "tests/support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLDER_OPEN_MAX = 16 };

void folder_make(char out[FOLDER_PATH_SIZE])
{
    (void)snprintf(out, FOLDER_PATH_SIZE, "/tmp/insien-test-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status;
    (void)kind;
    (void)position;
    (void)remove(path); /* or somebody was quicker: a server that removes its socket */
    return 0;
}

void folder_remove(const char *path)
{
    (void)nftw(path, remove_one, FOLDER_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
}
