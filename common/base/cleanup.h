/* common/base/cleanup.h: scope-bound ownership for the temporaries of one function. */
#ifndef COMMON_BASE_CLEANUP_H
#define COMMON_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

/* AUTO(free_string) char *body = ...; runs free_string(&body) when the scope ends. */
#define AUTO(function) __attribute__((cleanup(function)))

/* Hands an AUTO pointer over: returns it and leaves NULL behind. */
#define TAKE(pointer)                                                                              \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_argument)                                                  \
    __attribute__((format(printf, format_index, first_argument)))

static inline void free_string(char **string)
{
    free(*string);
}

/* Hands a descriptor over, as TAKE does a pointer. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Closes a descriptor that is not negative. */
static inline void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
}

#endif
