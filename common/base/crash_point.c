#include "common/base/crash_point.h"

#ifdef INSIEN_CRASH_POINTS
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MAX_LEN = 64 };

/* The linker's names for the ends of the section; there is none when no point is linked. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's choice */
extern const char *const __start_insien_crash_points[] __attribute__((weak));
/* NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's choice */
extern const char *const __stop_insien_crash_points[] __attribute__((weak));

static char armed_path[PATH_MAX];
static char rest_path[PATH_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void crash_points_open(const char *folder)
{
    int length = snprintf(armed_path, sizeof armed_path, "%s/crash-point", folder);
    int rest_length = snprintf(rest_path, sizeof rest_path, "%s/crash-point.rest", folder);
    if (length < 0 || rest_length < 0 || (size_t)rest_length >= sizeof rest_path) {
        armed_path[0] = '\0';
    }
}

/* Copies all lines but that of the name. Whether there was one, and whether there are others. */
static bool copy_others(FILE *from, FILE *to, const char *name, bool *others)
{
    char line[NAME_MAX_LEN + 2];
    bool is_there = false;
    while (fgets(line, sizeof line, from) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, name) == 0) {
            is_there = true;
        } else {
            *others = true;
            (void)fprintf(to, "%s\n", line);
        }
    }
    return is_there;
}

/* Whether the point was armed. */
static bool disarm(const char *name)
{
    bool others = false;
    FILE *from = armed_path[0] == '\0' ? NULL : fopen(armed_path, "re");
    FILE *to = from == NULL ? NULL : fopen(rest_path, "we");
    bool is_armed = to != NULL && copy_others(from, to, name, &others);
    if (from != NULL) {
        (void)fclose(from);
    }
    if (to != NULL) {
        is_armed = fclose(to) == 0 && is_armed;
        is_armed = is_armed && (!others || rename(rest_path, armed_path) == 0);
        (void)unlink(rest_path);
    }
    return is_armed && (others || unlink(armed_path) == 0);
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
