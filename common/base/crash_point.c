#include "common/base/crash_point.h"

#ifdef INSIEN_CRASH_POINTS
#include "common/base/str.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    NAME_MAX_LEN = 64,
    ARMED_MAX = 4096, /* bytes of all names */
};

/* The linker's names for the ends of the section; there is none when no point is linked. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's choice */
extern const char *const __start_insien_crash_points[] __attribute__((weak));
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's choice */
extern const char *const __stop_insien_crash_points[] __attribute__((weak));

static char armed_path[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void crash_points_open(const char *folder)
{
    int length = snprintf(armed_path, sizeof armed_path, "%s/crash-point", folder);
    if (length < 0 || (size_t)length >= sizeof armed_path) {
        armed_path[0] = '\0';
    }
}

/* All lines but that of the name. Whether there was one. */
static bool take_line(FILE *file, const char *name, struct str *others)
{
    char line[NAME_MAX_LEN + 2];
    bool is_there = false;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, name) == 0) {
            is_there = true;
        } else {
            str_append_string(others, line);
            str_append_char(others, '\n');
        }
    }
    return is_there;
}

static bool rewrite(FILE *file, const struct str *text)
{
    return ftruncate(fileno(file), 0) == 0 && fseek(file, 0, SEEK_SET) == 0 &&
           (text->len == 0 ? unlink(armed_path) == 0
                           : fwrite(text->data, text->len, 1, file) == 1 && fflush(file) == 0);
}

/* Whether the point was armed. Several processes come by: each changes the file while it holds it,
 * and one that is removed is empty to whoever had opened it before. */
static bool disarm(const char *name)
{
    struct str others = STR_INIT(ARMED_MAX);
    FILE *file = armed_path[0] == '\0' ? NULL : fopen(armed_path, "r+e");
    if (file == NULL) {
        return false;
    }
    bool is_armed = flock(fileno(file), LOCK_EX) == 0 && take_line(file, name, &others) &&
                    !others.failed && rewrite(file, &others);
    (void)fclose(file);
    str_free(&others);
    return is_armed;
}

void crash_point_pass(const char *name)
{
    (void)pthread_mutex_lock(&lock);
    bool is_armed = disarm(name);
    (void)pthread_mutex_unlock(&lock);
    if (is_armed) {
        (void)raise(SIGKILL);
    }
}

bool crash_points_are_asked_for(int argc, char *const argv[])
{
    if (argc != 2 || strcmp(argv[1], "--crash-points") != 0) {
        return false;
    }
    for (const char *const *point = __start_insien_crash_points; point < __stop_insien_crash_points;
         point++) {
        (void)puts(*point);
    }
    return true;
}
#endif
