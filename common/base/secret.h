/* common/base/secret.h: randomness, comparing and wiping of what must not leak. */
#ifndef COMMON_BASE_SECRET_H
#define COMMON_BASE_SECRET_H

#include "common/base/err.h"

#include <stddef.h>

/* Fills buffer from the kernel's generator (getrandom). */
bool secret_random(void *buffer, size_t len, struct err *err) MUST_CHECK;

/* Compares in time that depends on len alone. */
bool secret_equal(const void *a, const void *b, size_t len) MUST_CHECK;

/* Overwrites in a way the compiler can't leave out. */
void secret_wipe(void *buffer, size_t len);

/* Makes this process's memory, environment and descriptors unreadable to others, and keeps it out
 * of core dumps. (Not under AddressSanitizer, whose leak check must read it.) */
void secret_protect_process(void);

/* Wipes and frees a NUL-terminated string; NULL is fine. */
void secret_free_string(char **string);

#endif
