#include "common/base/weak.h"

#include "common/base/view.h"

#include <stddef.h>

enum {
    PATTERN_MAX = 20, /* bytes that are written over and over */
    DISTINCT_MIN = 8, /* 32 random hexadecimal digits have fewer once in 10^6 times */
    STEPS_PART = 4,   /* more than a quarter of steps to the next letter is no chance */
    BYTE_VALUES = 256,
};

/* They stand in examples all over the world, with or without something around them. */
static const char *const well_known[] = {
    "change-me",    "changeme",     "change_me",    "change-this", "change_this",
    "changethis",   "your-secret",  "your_secret",  "yoursecret",  "your-super-secret",
    "supersecret",  "super-secret", "super_secret", "mysecret",    "my-secret",
    "my_secret",    "replace-me",   "replaceme",    "replace_me",  "placeholder",
    "example",      "password",     "passw0rd",     "letmein",     "qwerty",
    "keyboard cat", "openssl rand", "<secret",      "insert-",
};
static const char *const first_tries[] = {
    "password", "passw0rd", "postgres",  "redis",  "insien",   "secret", "admin",   "root",
    "test",     "changeme", "change-me", "123456", "12345678", "qwerty", "letmein", "example",
};

static bool contains_well_known(const char *secret)
{
    for (size_t i = 0; i < sizeof well_known / sizeof well_known[0]; i++) {
        if (strcasestr(secret, well_known[i]) != NULL) {
            return true;
        }
    }
    return strcasecmp(secret, "secret") == 0;
}

static bool repeats_itself(const char *secret, size_t len)
{
    for (size_t period = 1; period <= PATTERN_MAX && 2 * period <= len; period++) {
        if (memcmp(secret, secret + period, len - period) == 0) {
            return true;
        }
    }
    return false;
}

/* "abcdef...", "98765...". */
static bool counts(const char *secret, size_t len)
{
    size_t steps = 0;
    for (size_t i = 1; i < len; i++) {
        int step = secret[i] - secret[i - 1];
        steps += step == 1 || step == -1;
    }
    return steps > len / STEPS_PART + SECRET_LEN_MIN / STEPS_PART;
}

static bool is_monotonous(const char *secret, size_t len)
{
    bool seen[BYTE_VALUES] = {false};
    size_t distinct = 0;
    for (size_t i = 0; i < len; i++) {
        bool *here = &seen[(unsigned char)secret[i]];
        distinct += !*here;
        *here = true;
    }
    return distinct < DISTINCT_MIN;
}

const char *weak_reason(const char *secret)
{
    size_t len = strlen(secret);
    if (contains_well_known(secret)) {
        return "is a well-known value";
    }
    if (len < SECRET_LEN_MIN) {
        return "must have at least 32 bytes";
    }
    if (repeats_itself(secret, len) || is_monotonous(secret, len) || counts(secret, len)) {
        return "is not random";
    }
    return NULL;
}

const char *weak_password_reason(const char *password)
{
    for (size_t i = 0; i < sizeof first_tries / sizeof first_tries[0]; i++) {
        if (strcasecmp(password, first_tries[i]) == 0) {
            return "has a well-known password";
        }
    }
    return NULL;
}
