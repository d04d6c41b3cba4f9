/* common/base/crash_point.h: places at which a test kills the process: behind each act outside of
 * it that can't be undone by forgetting, so that what the next start has to clear up is known and
 * tried. Builds with INSIEN_CRASH_POINTS alone have them; elsewhere nothing is left of them. */
#ifndef COMMON_BASE_CRASH_POINT_H
#define COMMON_BASE_CRASH_POINT_H

#include <stdbool.h>

#ifdef INSIEN_CRASH_POINTS

/* name is a literal, "act.after_what", and unique in a program. */
#define CRASH_POINT(name)                                                                          \
    do {                                                                                           \
        static const char *const point_of_crash                                                    \
            __attribute__((section("insien_crash_points"), used)) = (name);                        \
        crash_point_pass(point_of_crash);                                                          \
    } while (0)

/* Points are armed by their names in the file "crash-point" of this folder, a line each. Before
 * that, none is. */
void crash_points_open(const char *folder);
/* For CRASH_POINT. Of an armed point it does not return: its line goes first, and with the last the
 * file, so that the next process gets further. */
void crash_point_pass(const char *name);
/* "--crash-points": prints the names, a line each, in no order, and says that this was all. */
bool crash_points_are_asked_for(int argc, char *const argv[]);

#else

#define CRASH_POINT(name) ((void)sizeof(name))

static inline void crash_points_open(const char *folder)
{
    (void)folder;
}
static inline bool crash_points_are_asked_for(int argc, char *const argv[])
{
    (void)argc;
    (void)argv;
    return false;
}

#endif
#endif
