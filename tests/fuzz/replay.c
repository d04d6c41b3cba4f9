/* Stands in for libFuzzer's main() in the other builds: feeds each file of a corpus folder to the
 * target once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REPLAY_FILE_MAX = 1 << 20 };

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(REPLAY_FILE_MAX);
    if (file == NULL || bytes == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    size_t size = fread(bytes, 1, REPLAY_FILE_MAX, file);
    (void)fclose(file);
    /* A copy of the exact size, so that a read past its end is seen. */
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    if (exact == NULL) {
        exit(EXIT_FAILURE);
    }
    memcpy(exact, bytes, size);
    int result = LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    free(bytes);
    return result;
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        (void)fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return EXIT_FAILURE;
    }
    int files = 0;
    struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char path[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        int length = snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (length < 0 || (size_t)length >= sizeof path || replay(path) != 0) {
            return EXIT_FAILURE;
        }
        files++;
    }
    (void)closedir(folder);
    (void)printf("%d inputs\n", files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
