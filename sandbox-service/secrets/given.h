/* sandbox-service/secrets/given.h: the secrets that one sandbox is given, in the clear: for as long
 * as it takes to write them to its agent. */
#ifndef SANDBOX_SECRETS_GIVEN_H
#define SANDBOX_SECRETS_GIVEN_H

#include "common/contracts/secrets.h"
#include "sandbox-service/secrets/keyring.h"

struct secrets_given {
    struct json_pair env[SECRETS_PER_SANDBOX_MAX]; /* names lie in the lines, values below */
    struct json_pair files[SECRETS_PER_SANDBOX_MAX];
    size_t env_count;
    size_t file_count;
    uint8_t *values; /* owned */
    size_t values_len;
    struct err left_out; /* why the last that is missing is; ERR_NONE: none is */
};

/* Reads the lines of the SQL function secrets_of_sandbox, which are borrowed as long as given is
 * used. What our keys do not open (any more) is left out and told to the log: a sandbox that lives
 * must not lose its agent for it. False when there is no memory, or the lines are none. The caller
 * ends given in every case. */
bool secrets_given_read(struct secrets_given *given, const struct keyring *keyring,
                        struct view lines, struct err *err) MUST_CHECK;
/* Whether all of them can be read: a sandbox that begins has what it asked for, or does not begin.
 * Fails as secrets_given_read does, and with ERR_UNAVAILABLE "secret_unreadable". */
bool secrets_given_check(const struct keyring *keyring, struct view lines,
                         struct err *err) MUST_CHECK;
/* Wipes and frees. */
void secrets_given_end(struct secrets_given *given);

#endif
