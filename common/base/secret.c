#include "common/base/secret.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>

bool secret_random(void *buffer, size_t len, struct err *err)
{
    char *next = buffer;
    while (len > 0) {
        ssize_t got = getrandom(next, len, 0);
        if (got < 0 && errno != EINTR) {
            return err_set(err, ERR_INTERNAL, "getrandom: %s", strerror(errno));
        }
        if (got > 0) {
            next += got;
            len -= (size_t)got;
        }
    }
    return true;
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *left = a;
    const volatile unsigned char *right = b;
    unsigned char difference = 0;
    for (size_t i = 0; i < len; i++) {
        difference |= (unsigned char)(left[i] ^ right[i]);
    }
    return difference == 0;
}

void secret_wipe(void *buffer, size_t len)
{
    explicit_bzero(buffer, len);
}

void secret_protect_process(void)
{
#ifndef __SANITIZE_ADDRESS__
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
}

void secret_free_string(char **string)
{
    if (*string != NULL) {
        secret_wipe(*string, strlen(*string));
        free(*string);
        *string = NULL;
    }
}
