#include "common/base/crash_point.h"

#ifdef INSIEN_CRASH_POINTS
#include <limits.h>
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

void crash_points_open(const char *folder)
{
    int length = snprintf(armed_path, sizeof armed_path, "%s/crash-point", folder);
    if (length < 0 || (size_t)length >= sizeof armed_path) {
        armed_path[0] = '\0';
    }
}

static bool is_armed(const char *name)
{
    char armed[NAME_MAX_LEN + 2] = "";
    FILE *file = armed_path[0] == '\0' ? NULL : fopen(armed_path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(armed, sizeof armed, file) != NULL;
    (void)fclose(file);
    armed[strcspn(armed, "\n")] = '\0';
    return is_read && strcmp(armed, name) == 0;
}

void crash_point_pass(const char *name)
{
    if (is_armed(name) && unlink(armed_path) == 0) {
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
