#include "sandbox-service/agent/place.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "sandbox-service/agent/open.h"

#include <errno.h>
#include <stdio.h>

#define TEMP_PREFIX ".insien-"
#define TEMP_SUFFIX ".tmp"

enum { TEMP_RANDOM = 8 };

bool place_split(const char *path, struct place *out, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash[1] == '\0' || strcmp(slash, "/.") == 0 ||
        strcmp(slash, "/..") == 0) {
        (void)open_failed(err, EISDIR, path);
        return false;
    }
    size_t folder_len = slash == path ? 1 : (size_t)(slash - path);
    memcpy(out->folder, path, folder_len);
    out->folder[folder_len] = '\0';
    out->name = slash + 1;
    return true;
}

bool place_make_folders(const char *folder)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s", folder);
    for (char *end = path; end != NULL;) {
        end = strchr(end + 1, '/');
        if (end != NULL) {
            *end = '\0';
        }
        if (mkdir(path, PLACE_FOLDER_MODE) != 0 && errno != EEXIST) {
            return false;
        }
        if (end != NULL) {
            *end = '/';
        }
    }
    return true;
}

int place_open_folder(const char *path, bool make)
{
    int fd = open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
    if (fd < 0 && errno == ENOENT && make && place_make_folders(path)) {
        fd = open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
    }
    return fd;
}

bool place_temp_name(char out[PLACE_TEMP_SIZE], struct err *err)
{
    unsigned char random[TEMP_RANDOM];
    char hex[ENCODE_HEX_SIZE(TEMP_RANDOM)];
    if (!secret_random(random, sizeof random, err)) {
        return false;
    }
    encode_hex(random, sizeof random, hex);
    (void)snprintf(out, PLACE_TEMP_SIZE, TEMP_PREFIX "%s" TEMP_SUFFIX, hex);
    return true;
}

bool place_is_temp_name(const char *name)
{
    size_t digits = ENCODE_HEX_SIZE(TEMP_RANDOM) - 1;
    struct view view = view_of(name);
    return view.len == strlen(TEMP_PREFIX) + digits + strlen(TEMP_SUFFIX) &&
           view_starts_with(view, VIEW(TEMP_PREFIX)) &&
           strcmp(name + strlen(TEMP_PREFIX) + digits, TEMP_SUFFIX) == 0;
}
